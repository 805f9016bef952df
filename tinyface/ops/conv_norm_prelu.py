"""Convolution, batch normalisation and PReLU in one op, for networks that are only evaluated.

With the running statistics, batch normalisation is a multiplication and an addition for each channel:

    a = γ / √(σ² + ε),   y = a · (x ∗ w) + (β − μ·a),   then y where y > 0, slope·y elsewhere

On the CPU they are done to each piece of the convolution's output while it is in the cache, on a GPU by a kernel in
place. There is no gradient: training has other statistics, and backward would need what stands between the three.
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from .batch_norm import is_flat, scale_shift_prelu
from .conv2d import check_shapes, convolve, input_gradient

PIXELS = 1024  # of a block, as in conv_norm_prelu.cu


class ConvNormPReLU(Function):
    op = "conv_norm_prelu"

    def __init__(self, running_mean, running_var, eps, padding, transposed):
        self.running_mean, self.running_var, self.eps = running_mean, running_var, eps
        self.padding, self.transposed = padding, transposed

    def forward(self, x, w, gamma, beta, slope):
        check_shapes(self.op, x, w, None, channels_axis=0 if self.transposed else 1)
        if backend.on_gpu(x):
            return norm_prelu(
                self._convolve(x, w), gamma, beta, slope, self.running_mean, self.running_var, self.eps
            )
        scale = gamma / np.sqrt(self.running_var + self.eps)
        return self._convolve(x, w, finisher(x, scale, beta - self.running_mean * scale, slope))

    def _convolve(self, x, w, finish=None):
        if not self.transposed:
            return convolve(x, w, None, 1, self.padding, finish)
        (n, _, h, width), (_, o, kh, kw), p = x.shape, w.shape, self.padding
        out = h + kh - 1 - 2 * p, width + kw - 1 - 2 * p
        if min(out) < 1:
            raise ValueError(f"conv_norm_prelu: padding {p} leaves nothing of x of shape {x.shape}")
        return input_gradient(x, w, (n, o, *out), 1, p, finish)

    def backward(self, g):
        raise RuntimeError("conv_norm_prelu: has no gradient; use conv2d and batch_norm_prelu")


def conv_norm_prelu(
    x: Tensor,
    w: Tensor,
    gamma: Tensor,
    beta: Tensor,
    slope: Tensor,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    eps: float = 1e-5,
    padding: int = 0,
    transposed: bool = False,
) -> Tensor:
    """prelu(batch_norm(conv2d(x, w)), slope) in evaluation, at stride 1: x (N, C, H, W), w (O, C, kh, kw).

    transposed: of conv_transpose2d instead, with w (C, O, kh, kw). The others: (O,). Raises RuntimeError where a
    gradient is asked for.
    """
    return ConvNormPReLU(running_mean, running_var, eps, padding, transposed)(x, w, gamma, beta, slope)


def finisher(x, scale, shift, slope):
    """A function that does this to some pixels (…, N, O) in place, or to some channels of them."""
    over_images = [np.tile(a.astype(x.dtype), (len(x), 1)) for a in (scale, shift, slope)]
    flat = is_flat(slope)

    def finish(pixels, channels=slice(None)):
        z = pixels.reshape(*pixels.shape[:-2], -1)
        scale_shift_prelu(z, z, *(a[:, channels].reshape(-1) for a in over_images), flat)

    return finish


def norm_prelu(y, gamma, beta, slope, mean, var, eps):
    """Batch normalisation and PReLU of y (N, O, H, W) in place, on a GPU."""
    xp, (n, o, h, w) = backend.cupy(), y.shape
    per_channel = (xp.ascontiguousarray(a, y.dtype) for a in (gamma, beta, slope, mean, var))
    stretches = -(-h * w // PIXELS)
    kernel = backend.load_kernels(Path(__file__).with_suffix(".cu"), y.dtype).get_function("norm_prelu")
    numbers = y.dtype.type(eps), np.int32(o), np.int64(h * w), np.int32(stretches)
    backend.launch(kernel, n * o * stretches * 256, y, *per_channel, *numbers, block=256)
    return y
