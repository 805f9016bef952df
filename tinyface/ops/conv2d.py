"""2-D convolution (cross-correlation, as everywhere in deep learning).

    y[n,o,i,j] = b[o] + Σ_{c,u,v} w[o,c,u,v] · x[n, c, i·s + u − p, j·s + v − p]

    ∂L/∂w[o,c,u,v] = Σ_{n,i,j} g[n,o,i,j] · x[n, c, i·s + u − p, j·s + v − p]
    ∂L/∂x          = every g[n,o,i,j] · w[o,c,u,v] added back to the pixel it came from (a transposed convolution)
    ∂L/∂b[o]       = Σ_{n,i,j} g[n,o,i,j]

with stride s, padding p, and g = ∂L/∂y. Three ways to compute the sums on the CPU, chosen by shape in `choose`:

    im2col.py         any kernel and stride, as one matrix product
    winograd.py       3×3 at stride 1: a quarter or a fifth of the multiplications, at the price of transforms
    few_outputs.py    stride 1, to few channels: products first, sums of shifted maps afterwards

The ways of the GPU are in conv2d_gpu.py.
"""

import contextlib

from .. import backend
from ..core import Function, Tensor
from . import conv2d_gpu, few_outputs, im2col, winograd
from .batch_norm import Rows

FEWEST_TILES = 24  # tiles × images below which U of many channels costs more than Winograd's products save
_forced = None


class Conv2d(Function):
    op = "conv2d"

    def __init__(self, stride, padding):
        check_options(self.op, stride, padding)
        self.stride, self.padding = stride, padding

    def forward(self, x, w, b=None):
        check_shapes(self.op, x, w, b, channels_axis=1)
        self.x, self.w = settled(x), w
        return convolve(self.x, w, b, self.stride, self.padding)

    def backward(self, g):
        dx = dw = None
        if self.needs_grad[0]:
            dx = input_gradient(g, self.w, self.x.shape, self.stride, self.padding)
        if self.needs_grad[1]:
            dw = weight_gradient(self.x, g, self.w.shape, self.stride, self.padding)
        if len(self.needs_grad) == 2:
            return dx, dw
        return dx, dw, bias_gradient(g) if self.needs_grad[2] else None


def conv2d(x: Tensor, w: Tensor, b: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve x (N, C, H, W) with w (O, C, kh, kw), add b (O,) → (N, O, H', W').

    H' = ⌊(H + 2·padding − kh) / stride⌋ + 1, W' likewise. Raises ValueError where shapes don't fit.
    """
    return Conv2d(stride, padding)(x, w) if b is None else Conv2d(stride, padding)(x, w, b)


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
    backend.need_float(op, x)


def settled(x):
    """x lying as the products want it, so that it is copied once at most."""
    return backend.contiguous(x) if backend.on_gpu(x) else backend.as_nchw(backend.as_hwnc(x))


# ---------------------------------------------------------------- which way to compute


def choose(x_shape, w_shape, stride, padding, backward_to_weights=False):
    """On the CPU: "im2col", "few_outputs" or one of winograd.FORMS, for x (N, C, H, W) and w (O, C, kh, kw).

    docs/performance.md has the measurements.

    Winograd pays where it is possible and there is something to save: not on RGB, and not where the maps are
    so small that the transformed kernels, four times the size of w, are used for a few tiles only. The weight
    gradient transforms no kernels on the way in.
    """
    if few_outputs.fits(w_shape, stride, padding) and not backward_to_weights and not _forced:
        return "few_outputs"
    if not winograd.fits(w_shape[2:], stride, padding):
        return "im2col"
    if _forced:
        return _forced
    n, c, h, w = x_shape
    output = h + 2 * padding - 2, w + 2 * padding - 2
    tiles = n * winograd.FORMS["winograd4"].tiles(*output)
    many_weights = c * w_shape[0] > 128 * 128
    if c <= im2col.FEW_CHANNELS or (many_weights and tiles < FEWEST_TILES and not backward_to_weights):
        return "im2col"
    return winograd.choose_form(*output, n)


@contextlib.contextmanager
def force(algorithm):
    """Compute every convolution that can be in one way: for tests and measurements.

    "winograd4", "winograd6", "few_outputs" or "im2col" on the CPU, "direct", "winograd" or "im2col" on a GPU.
    """
    global _forced
    before, _forced = _forced, algorithm
    try:
        yield
    finally:
        _forced = before


# ---------------------------------------------------------------- the three products, on arrays (N, C, H, W)


def convolve(x, w, b, stride, padding, finish=None):
    """y of the formula above. finish: see conv_norm_prelu.py, on the CPU only."""
    out = [
        im2col.output_size(length, k, stride, padding)
        for length, k in zip(x.shape[2:], w.shape[2:], strict=True)
    ]
    if min(out) < 1:
        raise ValueError(
            f"conv2d: a {w.shape[2]}×{w.shape[3]} kernel does not fit into {x.shape} with padding {padding}"
        )
    if not (x.size and w.size):
        return sums_of_nothing(x, (x.shape[0], w.shape[0], *out), b, finish)
    if backend.on_gpu(x):
        return conv2d_gpu.convolve(x, w, b, stride, padding, out, _forced)
    lying = backend.as_hwnc(x)
    algorithm = choose(x.shape, w.shape, stride, padding)
    if algorithm == "im2col":
        y = im2col.convolve(lying, w, stride, padding, finish)
    else:
        y = _convolve_at_stride_1(algorithm, lying, w, padding, finish)
    if b is not None:
        add_bias(y, b)
    return backend.as_nchw(y)


def input_gradient(g, w, x_shape, stride, padding, finish=None, b=None):
    """∂L/∂x. At stride 1 it is itself a convolution, of g with the kernels turned by 180° and C, O exchanged.

    b: added to the channels, where this is a transposed convolution.
    """
    if not (g.size and w.size and all(x_shape)):
        return sums_of_nothing(g, x_shape, b, finish)
    if backend.on_gpu(g):
        return conv2d_gpu.input_gradient(g, w, b, x_shape, stride, padding, _forced)
    lying = backend.as_hwnc(g)
    n, c, h, width = x_shape
    turned = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    around = w.shape[2] - 1 - padding
    algorithm = choose(g.shape, turned.shape, stride, around)
    if algorithm == "im2col":
        dx = im2col.input_gradient(lying, w, (h, width, n, c), stride, padding, finish)
    else:
        dx = _convolve_at_stride_1(algorithm, lying, turned, around, finish)
    if b is not None:
        add_bias(dx, b)
    return backend.as_nchw(dx)


def _convolve_at_stride_1(algorithm, x, w, padding, finish):
    if algorithm == "few_outputs":
        return few_outputs.convolve(x, w, padding, finish)
    return winograd.convolve(x, w, padding, winograd.FORMS[algorithm], finish)


def weight_gradient(x, g, w_shape, stride, padding):
    """∂L/∂w."""
    if not (x.size and g.size):
        return sums_of_nothing(x, w_shape)
    if backend.on_gpu(x):
        return conv2d_gpu.weight_gradient(x, g, w_shape, stride, padding, _forced)
    form = winograd.FORMS.get(choose(x.shape, w_shape, stride, padding, backward_to_weights=True))
    x, g = backend.as_hwnc(x), backend.as_hwnc(g)
    if form:
        return backend.as_oihw(winograd.weight_gradient(x, g, padding, form))
    return backend.as_oihw(im2col.weight_gradient(x, g, w_shape, stride, padding))


def sums_of_nothing(like, shape, b=None, finish=None):
    """What comes of no images, no pixels or no channels: zeros, plus b where channels have one."""
    y = backend.get_array_module(like).zeros(shape, like.dtype)
    if b is not None:
        y += b[:, None, None]
    if finish and y.size:
        lying = backend.as_hwnc(y)
        finish(lying)
        y = backend.as_nchw(lying)
    return y


def add_bias(y, b):
    """y (H, W, N, O) += b, in place."""
    rows = Rows(y)
    matrix, pieces, row = rows.of, rows.pieces, rows.spread(b)

    def piece(index):
        matrix[pieces[index]] += row

    backend.parallel_for(piece, len(pieces))


def bias_gradient(g):
    """∂L/∂b: Σ over images and pixels of g (N, O, H, W), pieces of it first."""
    if backend.on_gpu(g):
        return conv2d_gpu.bias_gradient(g)
    rows = Rows(backend.as_hwnc(g))
    sums = rows.empty_sums(1)

    def piece(index):
        rows.sum(rows.of[rows.pieces[index]], out=sums[index, 0])

    backend.parallel_for(piece, len(rows.pieces))
    return rows.per_channel(sums)[0].astype(g.dtype)
