"""Convolution as one matrix product: im2col, for every kernel, stride and padding.

im2col lays the kh·kw·C numbers that an output pixel sees side by side as a row of a matrix; then, with P pixels,

    y (P × O)           = columns (P × kh·kw·C) @ w (kh·kw·C × O)
    ∂L/∂w (kh·kw·C × O) = columnsᵀ @ g (P × O)
    ∂L/∂columns         = g (P × O) @ wᵀ,     and col2im adds each of its numbers back to the pixel it came from

The matrix is kh·kw times as large as the image, so it is made a few rows of output at a time, used while it is in
the cache, and never stored: backward makes it again, which is cheaper than reading it back from memory.
"""

import numpy as np

from .. import backend

PIECE_BYTES = 1 << 19  # columns of one piece, which stay in a core's L2 cache beside what they are made of
ROWS = 512  # pixels × images in a piece, at least: with fewer, BLAS spends its time on arranging w
SMALL = 1_000_000  # M·N·K up to which OpenBLAS multiplies without rearranging first: up to thrice as fast
NARROWEST = 64  # columns of a product that is cut by channels
FEW_CHANNELS = 4  # up to so many, the columns are laid out the other way round
PARTIAL_SUMS = 4  # what runs over all pixels is summed in this many parts, whatever the number of threads


def output_size(length, kernel, stride, padding):
    """Number of windows along an axis: ⌊(length + 2·padding − kernel) / stride⌋ + 1."""
    return (length + 2 * padding - kernel) // stride + 1


# ---------------------------------------------------------------- the three products, on arrays


def convolve(x, w, stride, padding, finish=None):
    """x (H, W, N, C) ∗ w (O, C, kh, kw) → (H', W', N, O).

    finish(pixels, channels): what else to do to each piece of the result, in place.
    """
    o = len(w)
    unfold = unfolding(x, w.shape, stride, padding)
    y = backend.empty((*unfold.out, x.shape[2], o), x.dtype)
    matrix = backend.as_hwio(w).reshape(-1, o)
    # Where the pixels are so few that they are one piece, two threads share many channels.
    parts = backend.shares(o, 2 if len(unfold.pieces) == 1 and o >= 2 * NARROWEST else 1)

    def piece(index):
        rows, channels = unfold.pieces[index // len(parts)], parts[index % len(parts)]
        columns, factors = unfold.columns(rows), matrix[:, channels]
        out = y[rows].reshape(-1, o)[:, channels]
        for cut in small(len(out), factors.size):
            np.matmul(columns[cut], factors, out=out[cut])
        if finish:
            pixels = y[rows][..., channels]
            together = np.ascontiguousarray(pixels)
            finish(together, channels)
            if together is not pixels:
                pixels[...] = together

    backend.parallel_for(piece, len(unfold.pieces) * len(parts))
    return y


def weight_gradient(x, g, w_shape, stride, padding):
    """x (H, W, N, C), g (H', W', N, O) → (kh, kw, C, O); pieces are added in a fixed order."""
    o, c, kh, kw = w_shape
    unfold = unfolding(x, w_shape, stride, padding)
    shares = backend.shares(len(unfold.pieces), PARTIAL_SUMS)
    parts = backend.empty((len(shares), unfold.length, o), x.dtype)

    def share(index):
        product = backend.scratch("im2col.product", parts.shape[1:], x.dtype)
        parts[index] = 0
        for rows in unfold.pieces[shares[index]]:
            columns, gradients = unfold.columns(rows).T, g[rows].reshape(-1, o)
            for cut in small(len(gradients), product.size):
                parts[index] += np.matmul(columns[:, cut], gradients[cut], out=product)

    backend.parallel_for(share, len(shares))
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total.reshape(kh, kw, c, o)


def input_gradient(g, w, x_shape, stride, padding, finish=None):
    """g (H', W', N, O), w (O, C, kh, kw) → (H, W, N, C), x_shape. Channels of x are independent: one thread each.

    finish(pixels, channels): what else to do to each piece of the result, in place.
    """
    (h, width, n, c), (o, _, kh, kw), (out_h, out_w) = x_shape, w.shape, g.shape[:2]
    dx = backend.empty(x_shape, g.dtype)
    padded_shape = max(h + 2 * padding, kh), max(width + 2 * padding, kw)
    channels = backend.slices(c, -(-c // PARTIAL_SUMS))

    def some_channels(index):
        some = channels[index]
        matrix = np.ascontiguousarray(w[:, some].transpose(0, 2, 3, 1)).reshape(o, -1)
        padded = np.zeros((*padded_shape, n, some.stop - some.start), g.dtype)
        row_bytes = matrix.shape[1] * out_w * n * g.itemsize
        for rows in cut(out_h, out_w * n, row_bytes):
            columns = backend.scratch(
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
        if finish:
            finish(inside, some)
        dx[..., some] = inside

    backend.parallel_for(some_channels, len(channels))
    return dx


# ---------------------------------------------------------------- im2col


def unfolding(x, w_shape, stride, padding):
    """The form of im2col that suits x (H, W, N, C)."""
    thin = x.shape[3] <= FEW_CHANNELS and stride == 1
    return (UnfoldThin if thin else Unfold)(x, w_shape[2:], stride, padding)


class Unfold:
    """im2col of x (H, W, N, C), piece by piece. pieces: slices of output rows; they depend on shapes alone."""

    def __init__(self, x, kernel, stride, padding):
        self.kernel, self.stride = kernel, stride
        self.out = tuple(
            output_size(length, k, stride, padding) for length, k in zip(x.shape[:2], kernel, strict=True)
        )
        self.padded = frame(x, padding)
        self.images, self.channels = x.shape[2:]
        self.length = self.channels * kernel[0] * kernel[1]
        per_row = self.out[1] * self.images
        self.pieces = cut(self.out[0], per_row, per_row * self.length * x.itemsize)

    def columns(self, rows):
        """What the pixels of some output rows see: (rows · W' · N, kh·kw·C), in scratch memory."""
        (_, w, n, c), (kh, kw), s = self.padded.shape, self.kernel, self.stride
        count = rows.stop - rows.start
        shape = count, self.out[1], n, kh, kw, c
        steps = w * n * c * s, n * c * s, c, w * n * c, n * c, 1
        windows = view(self.padded, rows.start * s * w * n * c, shape, steps)
        if kh == kw == self.stride == 1:
            return windows.reshape(-1, self.length)
        columns = backend.scratch("im2col.columns", (count * shape[1] * shape[2], self.length), windows.dtype)
        np.copyto(columns.reshape(shape), windows)
        return columns


class UnfoldThin(Unfold):
    """The same for a few channels (RGB) and stride 1, made the other way round: as (kh·kw·C, pixels).

    Each of its rows is then a contiguous stretch of one channel's image. BLAS takes the transpose as it is.
    """

    def __init__(self, x, kernel, stride, padding):
        super().__init__(x, kernel, stride, padding)
        self.planes = backend.contiguous(self.padded.transpose(3, 0, 1, 2))  # (C, H, W, N)

    def columns(self, rows):
        (c, h, w, n), (kh, kw), count = self.planes.shape, self.kernel, rows.stop - rows.start
        shape = kh, kw, c, count, self.out[1] * n
        windows = view(self.planes, rows.start * w * n, shape, (w * n, n, h * w * n, w * n, 1))
        columns = backend.scratch("im2col.columns", (self.length, count * shape[4]), self.planes.dtype)
        np.copyto(columns.reshape(shape), windows)
        return columns.T


def view(x, start, shape, steps):
    """Elements of a contiguous x in another order, some of them more than once; counted in elements.

    What as_strided gives, at a tenth of its price.
    """
    return np.ndarray(shape, x.dtype, x, start * x.itemsize, [step * x.itemsize for step in steps])


def small(length, others):
    """Slices of `length` that make products of M·N·K = slice · others SMALL, unless they would be too thin for that."""
    longest = SMALL // others // 16 * 16
    return backend.slices(length, longest) if longest >= 64 else [slice(0, length)]


def cut(out_h, pixels, row_bytes):
    """Slices of output rows: about PIECE_BYTES of columns each, but no fewer than ROWS pixels · images."""
    rows = max(PIECE_BYTES // max(row_bytes, 1), -(-ROWS // max(pixels, 1)))
    rows = min(max(rows, 1), max(out_h, 1))
    rows = -(-out_h // -(-out_h // rows))  # the same number of pieces, but equally tall ones
    return backend.slices(out_h, max(rows, 1))


def frame(x, padding, value=0):
    """x (H, W, …) with `padding` rows and columns of `value` around it; x itself for no padding."""
    if not padding:
        return x
    h, w, *rest = x.shape
    framed = backend.empty((h + 2 * padding, w + 2 * padding, *rest), x.dtype)
    framed[:padding] = framed[padding + h :] = value
    rows = backend.slices(h, max((1 << 20) // max(x[0].nbytes, 1), 1))

    def piece(index):
        inside = framed[padding + rows[index].start : padding + rows[index].stop]
        inside[:, :padding] = inside[:, padding + w :] = value
        inside[:, padding : padding + w] = x[rows[index]]

    backend.parallel_for(piece, len(rows))
    return framed
