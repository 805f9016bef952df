"""Convolutions on the CPU: which algorithm computes which shape, and the kernels of both convolutions.

im2col.py           any kernel and stride, as one matrix product
winograd.py         3×3 at stride 1: a quarter or a fifth of the multiplications, at the price of transforms
shift_and_add.py    stride 1, to few channels: products first, sums of shifted maps afterwards
"""

from ...ops.conv2d import Conv2d
from ...ops.conv_transpose2d import ConvTranspose2d
from ...runtime.dispatch import register
from ...runtime.layout import as_hwnc, as_nchw, as_oihw
from ...runtime.threads import parallel_for
from .. import algorithms
from . import im2col, shift_and_add, winograd
from .row_matrix import RowMatrix

FEWEST_TILES = 24  # tiles × images below which U of many channels costs more than Winograd's products save
MANY_WEIGHTS = 128 * 128  # input × output channels: "many" in that sense


@register(Conv2d, "cpu")
class Conv2dCpu(Conv2d):
    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        return convolve(x, w, b, self.stride, self.padding)

    def backward(self, g):
        needs_x, needs_w, *needs_b = self.needs_grad
        dx = input_gradient(g, self.w, self.x.shape, self.stride, self.padding) if needs_x else None
        dw = weight_gradient(self.x, g, self.w.shape, self.stride, self.padding) if needs_w else None
        return dx, dw, *[bias_gradient(g) if needed else None for needed in needs_b]


@register(ConvTranspose2d, "cpu")
class ConvTranspose2dCpu(ConvTranspose2d):
    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        return input_gradient(x, w, self.y_shape, self.stride, self.padding, b=b)

    def backward(self, g):
        needs_x, needs_w, *needs_b = self.needs_grad
        dx = convolve(g, self.w, None, self.stride, self.padding) if needs_x else None
        dw = weight_gradient(g, self.x, self.w.shape, self.stride, self.padding) if needs_w else None
        return dx, dw, *[bias_gradient(g) if needed else None for needed in needs_b]


def choose(x_shape, w_shape, stride, padding, backward_to_weights=False):
    """ "im2col", "shift_and_add" or one of winograd.CONFIGS, for x (N, C, H, W) and w (O, C, kh, kw).

    docs/performance.md has the measurements.

    Winograd pays where it is possible and there is something to save: not on RGB, and not where the maps are
    so small that the transformed kernels, four times the size of w, are used for a few tiles only. The weight
    gradient transforms no kernels on the way in.
    """
    if shift_and_add.fits(w_shape, stride, padding) and not backward_to_weights and not algorithms.forced:
        return "shift_and_add"
    if not winograd.fits(w_shape[2:], stride, padding):
        return "im2col"
    if algorithms.forced in ("im2col", "shift_and_add", *winograd.CONFIGS):
        return algorithms.forced
    n, c, h, w = x_shape
    output = h + 2 * padding - 2, w + 2 * padding - 2
    tiles = n * winograd.CONFIGS["winograd4"].tiles(*output)
    many_weights = c * w_shape[0] > MANY_WEIGHTS
    if c <= im2col.FEW_CHANNELS or (many_weights and tiles < FEWEST_TILES and not backward_to_weights):
        return "im2col"
    return winograd.choose_config(*output, n)


# ---------------------------------------------------------------- the three products, on arrays (N, C, H, W)


def convolve(x, w, b, stride, padding, epilogue=None):
    """y = x ∗ w + b, with b (O,) or None.

    epilogue(pixels, channels=slice(None)): what else to do to each block of y (…, N, O) in place (conv_norm_prelu.py).
    """
    x_hwnc = as_hwnc(x)
    algorithm = choose(x.shape, w.shape, stride, padding)
    if algorithm == "im2col":
        y = im2col.convolve(x_hwnc, w, stride, padding, epilogue)
    else:
        y = _convolve_at_stride_1(algorithm, x_hwnc, w, padding, epilogue)
    if b is not None:
        add_bias(y, b)
    return as_nchw(y)


def input_gradient(g, w, x_shape, stride, padding, epilogue=None, b=None):
    """∂L/∂x. At stride 1 it is itself a convolution, of g with the kernels flipped and C, O exchanged.

    b: added to the channels, where this is a transposed convolution.
    """
    g_hwnc = as_hwnc(g)
    n, c, h, width = x_shape
    flipped = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    grad_padding = w.shape[2] - 1 - padding
    algorithm = choose(g.shape, flipped.shape, stride, grad_padding)
    if algorithm == "im2col":
        dx = im2col.input_gradient(g_hwnc, w, (h, width, n, c), stride, padding, epilogue)
    else:
        dx = _convolve_at_stride_1(algorithm, g_hwnc, flipped, grad_padding, epilogue)
    if b is not None:
        add_bias(dx, b)
    return as_nchw(dx)


def _convolve_at_stride_1(algorithm, x, w, padding, epilogue):
    if algorithm == "shift_and_add":
        return shift_and_add.convolve(x, w, padding, epilogue)
    return winograd.convolve(x, w, padding, winograd.CONFIGS[algorithm], epilogue)


def weight_gradient(x, g, w_shape, stride, padding):
    """∂L/∂w."""
    config = winograd.CONFIGS.get(choose(x.shape, w_shape, stride, padding, backward_to_weights=True))
    x, g = as_hwnc(x), as_hwnc(g)
    if config:
        return as_oihw(winograd.weight_gradient(x, g, padding, config))
    return as_oihw(im2col.weight_gradient(x, g, w_shape, stride, padding))


def add_bias(y, b):
    """y (H, W, N, O) += b, in place."""
    rows = RowMatrix(y)
    matrix, blocks, row = rows.matrix, rows.blocks, rows.per_column(b)

    def block(index):
        matrix[blocks[index]] += row

    parallel_for(block, len(blocks))


def bias_gradient(g):
    """∂L/∂b: Σ over images and pixels of g (N, O, H, W), blocks of it first."""
    rows = RowMatrix(as_hwnc(g))
    sums = rows.empty_sums(1)

    def block(index):
        rows.sum(rows.matrix[rows.blocks[index]], out=sums[index, 0])

    parallel_for(block, len(rows.blocks))
    return rows.per_channel(sums)[0].astype(g.dtype)
