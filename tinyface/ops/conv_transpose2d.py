"""Transposed 2-D convolution ("deconvolution"): the convolution's input gradient, used as a forward operation.

    y[n, o, i·s + u − p, j·s + v − p]  +=  x[n,c,i,j] · w[c,o,u,v]        (over all c, i, j, u, v),   then + b[o]

    ∂L/∂x = conv2d(g, w)                     w read as (out = C, in = O, kh, kw)
    ∂L/∂w = conv2d's weight gradient with g as the input and x as the gradient
    ∂L/∂b[o] = Σ_{n,i,j} g[n,o,i,j]

Shelhamer, Long, Darrell, "Fully Convolutional Networks" (2016), section 3.3: what a convolution does forward,
this does backward, and the other way round.
"""

from ..core import Function, Tensor
from .conv2d import check_options, check_shapes, convolve, input_gradient, weight_gradient


class ConvTranspose2d(Function):
    op = "conv_transpose2d"
    computes_in_float = True

    def __init__(self, stride, padding, output_padding):
        check_options(self.op, stride, padding)
        if not 0 <= output_padding < stride:
            raise ValueError(
                f"conv_transpose2d: output_padding {output_padding} must lie between 0 and stride {stride} − 1"
            )
        self.stride, self.padding, self.output_padding = stride, padding, output_padding

    def check(self, x, w, b=None):
        check_shapes(self.op, x, w, b, channels_axis=0)
        self.y_shape = transposed_shape(self.op, x, w, self.stride, self.padding, self.output_padding)

    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        y = input_gradient(x, w, self.y_shape, self.stride, self.padding)
        return y if b is None else y + b[:, None, None]

    def backward(self, g):
        dx = convolve(g, self.w, self.stride, self.padding)
        dw = weight_gradient(g, self.x, self.w.shape, self.stride, self.padding)
        return dx, dw, *[g.sum(axis=(0, 2, 3)) for _ in self.needs_grad[2:]]


def conv_transpose2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """Transposed convolution of x (N, C, H, W) with w (C, O, kh, kw), plus b (O,) → (N, O, H', W').

    H' = (H − 1)·stride − 2·padding + kh + output_padding, W' likewise.
    Raises ValueError where shapes don't fit.
    """
    inputs = (x, w) if b is None else (x, w, b)
    return ConvTranspose2d(stride, padding, output_padding)(*inputs)


def transposed_shape(op, x, w, stride, padding, output_padding):
    """(N, O, H', W'). Raises ValueError where nothing is left."""
    out = [
        (length - 1) * stride - 2 * padding + k + output_padding
        for length, k in zip(x.shape[2:], w.shape[2:], strict=True)
    ]
    if min(out) < 1:
        raise ValueError(f"{op}: padding {padding} leaves nothing of x of shape {x.shape}")
    return (len(x), w.shape[1], *out)
