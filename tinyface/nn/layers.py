"""Layers: each owns the parameters of one op and calls it."""

import numpy as np

from .. import ops
from ..core import Tensor
from .init import constant, he_normal
from .module import Module

PRELU_SLOPE = 0.25  # where PReLU starts (He et al. 2015)


class Conv2d(Module):
    """`ops.conv2d` with a weight (out, in, k, k) and, unless bias=False, a bias (out,)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        self.stride, self.padding = stride, padding
        self.weight = he_normal(
            (out_channels, in_channels, kernel, kernel), in_channels * kernel**2, slope=PRELU_SLOPE
        )
        self.bias = constant(out_channels, 0) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class ConvTranspose2d(Module):
    """`ops.conv_transpose2d` with a weight (in, out, k, k) and, unless bias=False, a bias (out,)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        bias: bool = True,
    ) -> None:
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        fan_in = in_channels * kernel**2 / stride**2  # how many products one output pixel sums
        self.weight = he_normal((in_channels, out_channels, kernel, kernel), fan_in, slope=PRELU_SLOPE)
        self.bias = constant(out_channels, 0) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)


class BatchNorm2d(Module):
    """`ops.batch_norm` with gamma, beta and the running statistics, each (channels,)."""

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        self.momentum, self.eps = momentum, eps
        self.gamma, self.beta = constant(channels, 1), constant(channels, 0)
        self.running_mean = np.zeros(channels, np.float32)
        self.running_var = np.ones(channels, np.float32)

    def forward(self, x: Tensor) -> Tensor:
        return ops.batch_norm(
            x,
            self.gamma,
            self.beta,
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
        )


class PReLU(Module):
    """`ops.prelu` with one slope per channel."""

    def __init__(self, channels: int, slope: float = PRELU_SLOPE) -> None:
        self.slope = constant(channels, slope)

    def forward(self, x: Tensor) -> Tensor:
        return ops.prelu(x, self.slope)


class ReLU(Module):
    """`ops.relu`."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Linear(Module):
    """`ops.linear` with a weight (out, in) and a bias (out,)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        self.weight = he_normal((out_features, in_features), in_features, slope=1)
        self.bias = constant(out_features, 0)

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)


class MaxPool2d(Module):
    """`ops.max_pool2d`."""

    def __init__(
        self, kernel: int, stride: int | None = None, padding: int = 0, ceil_mode: bool = False
    ) -> None:
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.kernel, self.stride, self.padding, self.ceil_mode)


class AvgPool2d(MaxPool2d):
    """`ops.avg_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, self.kernel, self.stride, self.padding, self.ceil_mode)


class GlobalAvgPool2d(Module):
    """`ops.global_avg_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_avg_pool2d(x)


class UpsampleNearest(Module):
    """`ops.upsample_nearest`; the size comes with each call."""

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return ops.upsample_nearest(x, size)


class Dropout(Module):
    """`ops.dropout`, active in training only."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training)
