"""2-D convolution (cross-correlation, as everywhere in deep learning).

    y[n,o,i,j] = b[o] + Σ_{c,u,v} w[o,c,u,v] · x[n, c, i·s + u − p, j·s + v − p]

    ∂L/∂w[o,c,u,v] = Σ_{n,i,j} g[n,o,i,j] · x[n, c, i·s + u − p, j·s + v − p]
    ∂L/∂x          = every g[n,o,i,j] · w[o,c,u,v] added to the pixel that w[o,c,u,v] was multiplied with
    ∂L/∂b[o]       = Σ_{n,i,j} g[n,o,i,j]

with stride s, padding p, and g = ∂L/∂y. Each sum of products is one matrix product: `tensordot` writes the window of
each output pixel as a row of a matrix (im2col) and multiplies with w as a matrix (C·kh·kw × O).
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module
from .windows import add_windows, output_size, windows_of


class Conv2d(Function):
    op = "conv2d"
    computes_in_float = True

    def __init__(self, stride, padding):
        check_options(self.op, stride, padding)
        self.stride, self.padding = stride, padding

    def check(self, x, w, b=None):
        check_shapes(self.op, x, w, b, channels_axis=1)
        convolved_size(self.op, x, w, self.stride, self.padding)

    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        y = convolve(x, w, self.stride, self.padding)
        return y if b is None else y + b[:, None, None]

    def backward(self, g):
        dx = input_gradient(g, self.w, self.x.shape, self.stride, self.padding)
        dw = weight_gradient(self.x, g, self.w.shape, self.stride, self.padding)
        return dx, dw, *[g.sum(axis=(0, 2, 3)) for _ in self.needs_grad[2:]]


def conv2d(x: Tensor, w: Tensor, b: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve x (N, C, H, W) with w (O, C, kh, kw), add b (O,) → (N, O, H', W').

    H' = ⌊(H + 2·padding − kh) / stride⌋ + 1, W' likewise. Raises ValueError where shapes don't fit.
    """
    return Conv2d(stride, padding)(x, w) if b is None else Conv2d(stride, padding)(x, w, b)


def convolve(x, w, stride, padding):
    """Σ_{c,u,v} of the formula for y."""
    out = convolved_size("conv2d", x, w, stride, padding)
    windows = windows_of(x, w.shape[2:], stride, padding, out)  # (N, C, H', W', kh, kw)
    return get_array_module(x).tensordot(windows, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def weight_gradient(x, g, w_shape, stride, padding):
    """Σ_{n,i,j} of the formula for ∂L/∂w."""
    windows = windows_of(x, w_shape[2:], stride, padding, g.shape[2:])
    return get_array_module(x).tensordot(g, windows, ((0, 2, 3), (0, 2, 3)))


def input_gradient(g, w, x_shape, stride, padding):
    """∂L/∂x of x_shape: the products g·w, added where they belong."""
    products = get_array_module(g).tensordot(g, w, (1, 0))  # (N, H', W', C, kh, kw)
    return add_windows(products.transpose(0, 3, 1, 2, 4, 5), x_shape, stride, padding)


def convolved_size(op, x, w, stride, padding):
    """(H', W'). Raises ValueError where the kernel does not fit."""
    out = [
        output_size(length, k, stride, padding) for length, k in zip(x.shape[2:], w.shape[2:], strict=True)
    ]
    if min(out) < 1:
        kh, kw = w.shape[2:]
        raise ValueError(f"{op}: a {kh}×{kw} kernel does not fit into {x.shape} with padding {padding}")
    return out


def check_options(op, stride, padding):
    """One clear error for both convolutions."""
    if stride < 1 or padding < 0:
        raise ValueError(
            f"{op}: stride must be at least 1 and padding at least 0, got {stride} and {padding}"
        )


def check_shapes(op, x, w, b, channels_axis):
    """One error for both convolutions: channels of x against axis `channels_axis` of w, bias against the other."""
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(f"{op}: x and w must have 4 axes, got shapes {x.shape} and {w.shape}")
    if x.shape[1] != w.shape[channels_axis]:
        raise ValueError(
            f"{op}: x of shape {x.shape} has {x.shape[1]} channels, w of shape {w.shape} "
            f"expects {w.shape[channels_axis]}"
        )
    if b is not None and b.shape != (w.shape[1 - channels_axis],):
        raise ValueError(f"{op}: bias must have shape {(w.shape[1 - channels_axis],)}, got {b.shape}")
    if x.dtype != w.dtype:
        raise TypeError(f"{op}: x is {x.dtype} but w is {w.dtype}; make them one type")
