"""Convolution, batch normalisation and PReLU in one op, for networks that are only evaluated.

    y = prelu(batch_norm(x ∗ w))    with the running statistics: a multiplication and an addition for each channel

There is no gradient: training has other statistics, and backward would need what stands between the three.
"""

import numpy as np

from ..core import Function, Tensor
from .batch_norm_prelu import BatchNormPReLU
from .conv2d import check_shapes, convolve, convolved_size, input_gradient
from .conv_transpose2d import transposed_shape


class ConvNormPReLU(Function):
    op = "conv_norm_prelu"
    computes_in_float = True

    def __init__(self, running_mean, running_var, eps, padding, transposed):
        self.running_mean, self.running_var, self.eps = running_mean, running_var, eps
        self.padding, self.transposed = padding, transposed

    def check(self, x, w, gamma, beta, slope):
        check_shapes(self.op, x, w, None, channels_axis=0 if self.transposed else 1)
        if self.transposed:
            self.y_shape = transposed_shape(self.op, x, w, 1, self.padding, 0)
        else:
            convolved_size("conv2d", x, w, 1, self.padding)

    def forward(self, x, w, gamma, beta, slope):
        if self.transposed:
            y = input_gradient(x, w, self.y_shape, 1, self.padding)
        else:
            y = convolve(x, w, 1, self.padding)
        norm = BatchNormPReLU(self.running_mean, self.running_var, training=False, momentum=0, eps=self.eps)
        return norm.forward(y, gamma, beta, slope)

    def backward(self, g):
        raise RuntimeError("conv_norm_prelu: has no gradient; use conv2d and batch_norm_prelu")


def conv_norm_prelu(
    x: Tensor, w: Tensor, gamma: Tensor, beta: Tensor, slope: Tensor, running_mean: np.ndarray,
    running_var: np.ndarray, eps: float = 1e-5, padding: int = 0, transposed: bool = False,
) -> Tensor:  # fmt: skip
    """prelu(batch_norm(conv2d(x, w)), slope) in evaluation, at stride 1: x (N, C, H, W), w (O, C, kh, kw).

    transposed: of conv_transpose2d instead, with w (C, O, kh, kw). The others: (O,). Raises RuntimeError where a
    gradient is asked for.
    """
    return ConvNormPReLU(running_mean, running_var, eps, padding, transposed)(x, w, gamma, beta, slope)
