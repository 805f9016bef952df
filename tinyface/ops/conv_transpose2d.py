"""Transposed 2-D convolution ("deconvolution"): the convolution's input gradient, used as a forward operation.

    y[n, o, i·s + u − p, j·s + v − p]  +=  x[n,c,i,j] · w[c,o,u,v]        (over all c, i, j, u, v),   then + b[o]

    ∂L/∂x = conv2d(g, w)                     w read as (out = C, in = O, kh, kw)
    ∂L/∂w = conv2d's weight gradient with g as the input and x as the gradient
    ∂L/∂b[o] = Σ_{n,i,j} g[n,o,i,j]

Shelhamer, Long, Darrell, "Fully Convolutional Networks" (2016), section 3.3: what a convolution does forward,
this does backward, and the other way round.
"""

from ..core import Function, Tensor
from .conv2d import (
    bias_gradient,
    check_options,
    check_shapes,
    convolve,
    input_gradient,
    settled,
    weight_gradient,
)


class ConvTranspose2d(Function):
    op = "conv_transpose2d"

    def __init__(self, stride, padding, output_padding):
        check_options(self.op, stride, padding)
        if not 0 <= output_padding < stride:
            raise ValueError(
                f"conv_transpose2d: output_padding {output_padding} must lie between 0 and stride {stride} − 1"
            )
        self.stride, self.padding, self.output_padding = stride, padding, output_padding

    def forward(self, x, w, b=None):
        check_shapes(self.op, x, w, b, channels_axis=0)
        self.x, self.w = x, w = settled(x), w
        (n, _, h, width), (_, o, kh, kw) = x.shape, w.shape
        s, p, extra = self.stride, self.padding, self.output_padding
        out_h, out_w = (h - 1) * s - 2 * p + kh + extra, (width - 1) * s - 2 * p + kw + extra
        if out_h < 1 or out_w < 1:
            raise ValueError(f"conv_transpose2d: padding {p} leaves nothing of x of shape {x.shape}")
        return input_gradient(x, w, (n, o, out_h, out_w), s, p, b=b)

    def backward(self, g):
        dx = dw = None
        if self.needs_grad[0]:
            dx = convolve(g, self.w, None, self.stride, self.padding)
        if self.needs_grad[1]:
            dw = weight_gradient(g, self.x, self.w.shape, self.stride, self.padding)
        if len(self.needs_grad) == 2:
            return dx, dw
        return dx, dw, bias_gradient(g) if self.needs_grad[2] else None


def conv_transpose2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """Transposed convolution of x (N, C, H, W) with w (C, O, kh, kw), plus b (O,) → (N, O, H', W').

    H' = (H − 1)·stride − 2·padding + kh + output_padding, W' likewise.
    Raises ValueError where shapes don't fit.
    """
    inputs = (x, w) if b is None else (x, w, b)
    return ConvTranspose2d(stride, padding, output_padding)(*inputs)
