"""Convolution as one matrix product: im2col, for every kernel, stride and padding.

im2col lays the kh·kw·C numbers that an output pixel sees side by side as a row of a matrix; then, with P pixels,

    y (P × O)           = columns (P × kh·kw·C) @ w (kh·kw·C × O)
    ∂L/∂w (kh·kw·C × O) = columnsᵀ @ g (P × O)
    ∂L/∂columns         = g (P × O) @ wᵀ,     and col2im adds each of its numbers back to the pixel it came from

The matrix is kh·kw times as large as the image, so it is made a few rows of output at a time, used while it is in
the cache, and never stored: backward makes it again, which is cheaper than reading it back from memory.
"""

import numpy as np

from ...ops.windows import output_size
from ...runtime.layout import as_hwio
from ...runtime.memory import contiguous, empty, scratch
from ...runtime.threads import equal_slices, parallel_for, slices
from .padding import pad_rows

BLOCK_BYTES = 1 << 19  # columns of one block, which stay in a core's L2 cache beside what they are made of
ROWS = 512  # pixels × images in a block, at least: with fewer, BLAS spends its time on arranging w
BLAS_SMALL = (
    1_000_000  # M·N·K up to which OpenBLAS multiplies without rearranging first: up to thrice as fast
)
NARROWEST = 64  # columns of a product that is cut by channels
FEW_CHANNELS = 4  # up to so many, the columns are laid out the other way round
PARTIAL_SUMS = 4  # what runs over all pixels is summed in this many parts, whatever the number of threads


# ---------------------------------------------------------------- the three products, on arrays


def convolve(x, w, stride, padding, epilogue=None):
    """x (H, W, N, C) ∗ w (O, C, kh, kw) → (H', W', N, O).

    epilogue(pixels, channels): what else to do to each block of the result, in place.
    """
    o = len(w)
    unfold = make_unfold(x, w.shape, stride, padding)
    y = empty((*unfold.out, x.shape[2], o), x.dtype)
    matrix = as_hwio(w).reshape(-1, o)
    # Where the pixels are so few that they are one block, two threads take half of many channels each.
    halves = equal_slices(o, 2 if len(unfold.blocks) == 1 and o >= 2 * NARROWEST else 1)

    def block(index):
        rows, channels = unfold.blocks[index // len(halves)], halves[index % len(halves)]
        columns, factors = unfold.columns(rows), matrix[:, channels]
        out = y[rows].reshape(-1, o)[:, channels]
        for some in blas_blocks(len(out), factors.size):
            np.matmul(columns[some], factors, out=out[some])
        if epilogue:
            pixels = y[rows][..., channels]
            together = np.ascontiguousarray(pixels)
            epilogue(together, channels)
            if together is not pixels:
                pixels[...] = together

    parallel_for(block, len(unfold.blocks) * len(halves))
    return y


def weight_gradient(x, g, w_shape, stride, padding):
    """x (H, W, N, C), g (H', W', N, O) → (kh, kw, C, O); blocks are added in a fixed order."""
    o, c, kh, kw = w_shape
    unfold = make_unfold(x, w_shape, stride, padding)
    ranges = equal_slices(len(unfold.blocks), PARTIAL_SUMS)
    partial_sums = empty((len(ranges), unfold.length, o), x.dtype)

    def add_up(index):
        product = scratch("im2col.product", partial_sums.shape[1:], x.dtype)
        partial_sums[index] = 0
        for rows in unfold.blocks[ranges[index]]:
            columns, gradients = unfold.columns(rows).T, g[rows].reshape(-1, o)
            for some in blas_blocks(len(gradients), product.size):
                partial_sums[index] += np.matmul(columns[:, some], gradients[some], out=product)

    parallel_for(add_up, len(ranges))
    total = partial_sums[0]
    for part in partial_sums[1:]:
        total += part
    return total.reshape(kh, kw, c, o)


def input_gradient(g, w, x_shape, stride, padding, epilogue=None):
    """g (H', W', N, O), w (O, C, kh, kw) → (H, W, N, C), x_shape. Channels of x are independent: one thread each.

    epilogue(pixels, channels): what else to do to each block of the result, in place.
    """
    (h, width, n, c), (o, _, kh, kw), (out_h, out_w) = x_shape, w.shape, g.shape[:2]
    dx = empty(x_shape, g.dtype)
    padded_shape = max(h + 2 * padding, kh), max(width + 2 * padding, kw)
    channels = slices(c, -(-c // PARTIAL_SUMS))

    def some_channels(index):
        some = channels[index]
        matrix = np.ascontiguousarray(w[:, some].transpose(0, 2, 3, 1)).reshape(o, -1)
        padded = np.zeros((*padded_shape, n, some.stop - some.start), g.dtype)
        row_bytes = matrix.shape[1] * out_w * n * g.itemsize
        for rows in row_blocks(out_h, out_w * n, row_bytes):
            columns = scratch(
                "im2col.columns", ((rows.stop - rows.start) * out_w * n, matrix.shape[1]), g.dtype
            )
            np.matmul(g[rows].reshape(-1, o), matrix, out=columns)
            columns = columns.reshape(rows.stop - rows.start, out_w, n, kh, kw, -1)
            for u in range(kh):
                for v in range(kw):
                    first = rows.start * stride + u
                    last = (rows.stop - 1) * stride + u
                    across = slice(v, v + stride * (out_w - 1) + 1, stride)
                    padded[first : last + 1 : stride, across] += columns[:, :, :, u, v]
        inside = padded[padding : padding + h, padding : padding + width]
        if epilogue:
            epilogue(inside, some)
        dx[..., some] = inside

    parallel_for(some_channels, len(channels))
    return dx


# ---------------------------------------------------------------- im2col


def make_unfold(x, w_shape, stride, padding):
    """The config of im2col that suits x (H, W, N, C)."""
    few = x.shape[3] <= FEW_CHANNELS and stride == 1
    return (UnfoldFewChannels if few else Unfold)(x, w_shape[2:], stride, padding)


class Unfold:
    """im2col of x (H, W, N, C), block by block. blocks: slices of output rows; they depend on shapes alone."""

    def __init__(self, x, kernel, stride, padding):
        self.kernel, self.stride = kernel, stride
        self.out = tuple(
            output_size(length, k, stride, padding) for length, k in zip(x.shape[:2], kernel, strict=True)
        )
        self.padded = pad_rows(x, padding)
        self.images, self.channels = x.shape[2:]
        self.length = self.channels * kernel[0] * kernel[1]
        per_row = self.out[1] * self.images
        self.blocks = row_blocks(self.out[0], per_row, per_row * self.length * x.itemsize)

    def columns(self, rows):
        """What the pixels of some output rows see: (rows · W' · N, kh·kw·C), in scratch memory."""
        (_, w, n, c), (kh, kw), s = self.padded.shape, self.kernel, self.stride
        count = rows.stop - rows.start
        shape = count, self.out[1], n, kh, kw, c
        steps = w * n * c * s, n * c * s, c, w * n * c, n * c, 1
        windows = strided_view(self.padded, rows.start * s * w * n * c, shape, steps)
        if kh == kw == self.stride == 1:
            return windows.reshape(-1, self.length)
        columns = scratch("im2col.columns", (count * shape[1] * shape[2], self.length), windows.dtype)
        np.copyto(columns.reshape(shape), windows)
        return columns


class UnfoldFewChannels(Unfold):
    """The same for a few channels (RGB) and stride 1, made the other way round: as (kh·kw·C, pixels).

    Each of its rows is then a contiguous run of one channel's image. BLAS takes the transpose as it is.
    """

    def __init__(self, x, kernel, stride, padding):
        super().__init__(x, kernel, stride, padding)
        self.planes = contiguous(self.padded.transpose(3, 0, 1, 2))  # (C, H, W, N)

    def columns(self, rows):
        (c, h, w, n), (kh, kw), count = self.planes.shape, self.kernel, rows.stop - rows.start
        shape = kh, kw, c, count, self.out[1] * n
        windows = strided_view(self.planes, rows.start * w * n, shape, (w * n, n, h * w * n, w * n, 1))
        columns = scratch("im2col.columns", (self.length, count * shape[4]), self.planes.dtype)
        np.copyto(columns.reshape(shape), windows)
        return columns.T


def strided_view(x, start, shape, steps):
    """Elements of a contiguous x in another order, some of them more than once; counted in elements.

    What as_strided gives, at a tenth of its price.
    """
    return np.ndarray(shape, x.dtype, x, start * x.itemsize, [step * x.itemsize for step in steps])


def blas_blocks(length, others):
    """Slices of `length` for products of at most BLAS_SMALL multiplications, unless those would be too narrow."""
    longest = BLAS_SMALL // others // 16 * 16
    return slices(length, longest) if longest >= 64 else [slice(0, length)]


def row_blocks(out_h, pixels, row_bytes):
    """Slices of output rows: about BLOCK_BYTES of columns each, but no fewer than ROWS pixels · images."""
    rows = max(BLOCK_BYTES // max(row_bytes, 1), -(-ROWS // max(pixels, 1)))
    rows = min(max(rows, 1), max(out_h, 1))
    rows = -(-out_h // -(-out_h // rows))  # the same number of blocks, but equally tall ones
    return slices(out_h, max(rows, 1))
