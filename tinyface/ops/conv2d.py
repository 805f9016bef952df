"""2-D convolution (cross-correlation, as everywhere in deep learning), by im2col and matrix products.

    y[n,o,i,j] = b[o] + Σ_{c,u,v} w[o,c,u,v] · x[n, c, i·s + u − p, j·s + v − p]

    ∂L/∂w[o,c,u,v] = Σ_{n,i,j} g[n,o,i,j] · x[n, c, i·s + u − p, j·s + v − p]
    ∂L/∂x          = every g[n,o,i,j] · w[o,c,u,v] added back to the pixel it came from (a transposed convolution)
    ∂L/∂b[o]       = Σ_{n,i,j} g[n,o,i,j]

with stride s, padding p, and g = ∂L/∂y. im2col lays the k×k neighbourhoods of a few output rows side by side
as the columns of a matrix; then each of the three sums is one matrix product. The columns of one piece (one
image, a few rows) fit the cache and are never stored: backward builds them again, which is cheaper than
reading them back from memory.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import backend
from ..core import Function

PIECE_BYTES = 1 << 21  # columns of one piece: about a core's L2 cache, and few enough pieces for Python
PARTIAL_SUMS = 4  # the weight gradient is summed in this many parts, whatever the number of threads


class Conv2d(Function):
    op = "conv2d"

    def __init__(self, stride, padding):
        check_options(self.op, stride, padding)
        self.stride, self.padding = stride, padding

    def forward(self, x, w, b=None):
        backend.need_cpu(self.op, x)
        check_shapes(self.op, x, w, b, channels_axis=1)
        self.x, self.w = x, w
        return convolve(x, w, b, self.stride, self.padding)

    def backward(self, g):
        dx = dw = None
        if self.needs_grad[0]:
            dx = input_gradient(g, self.w, self.x.shape, self.stride, self.padding)
        if self.needs_grad[1]:
            dw = weight_gradient(self.x, g, self.w.shape, self.stride, self.padding)
        if len(self.needs_grad) == 2:
            return dx, dw
        return dx, dw, g.sum(axis=(0, 2, 3)) if self.needs_grad[2] else None


def conv2d(x, w, b=None, stride=1, padding=0):
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


# ---------------------------------------------------------------- the three products, on arrays


def convolve(x, w, b, stride, padding):
    """y of the formula above: for each piece, W (O, C·kh·kw) @ columns (C·kh·kw, pixels)."""
    (n, _, h, width), (o, _, kh, kw) = x.shape, w.shape
    out_h, out_w = output_size(h, kh, stride, padding), output_size(width, kw, stride, padding)
    if out_h < 1 or out_w < 1:
        raise ValueError(f"conv2d: a {kh}×{kw} kernel does not fit into {x.shape} with padding {padding}")
    y = np.empty((n, o, out_h, out_w), x.dtype)
    matrix = w.reshape(o, -1)
    unfold = Unfold(x, (out_h, out_w), (kh, kw), stride, padding)

    def piece(index):
        image, rows = unfold.pieces[index]
        columns = unfold.columns(image, rows)
        wide = backend.scratch("conv2d.wide", (o, rows.stop - rows.start, unfold.pitch), x.dtype)
        np.matmul(matrix, columns, out=wide.reshape(o, -1))
        if b is None:
            np.copyto(y[image, :, rows], wide[:, :, :out_w])
        else:
            np.add(wide[:, :, :out_w], b[:, None, None], out=y[image, :, rows])

    backend.parallel_for(piece, len(unfold.pieces))
    return y


def input_gradient(g, w, x_shape, stride, padding):
    """∂L/∂x. At stride 1 it is itself a convolution, of g with the kernels turned by 180° and C, O exchanged."""
    (n, c, h, width), (o, _, kh, kw) = x_shape, w.shape
    if stride == 1 and kh == kw and padding < kh:
        turned = np.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
        return convolve(g, turned, None, 1, kh - 1 - padding)
    out_h, out_w = g.shape[2:]
    dx = np.empty(x_shape, g.dtype)
    matrix = np.ascontiguousarray(w.reshape(o, -1).T)

    def image(index):
        columns = matrix @ g[index].reshape(o, -1)
        columns = columns.reshape(c, kh, kw, out_h, out_w)
        padded = np.zeros((c, max(h + 2 * padding, kh), max(width + 2 * padding, kw)), g.dtype)
        for u in range(kh):
            for v in range(kw):
                rows = slice(u, u + stride * (out_h - 1) + 1, stride)
                cols = slice(v, v + stride * (out_w - 1) + 1, stride)
                padded[:, rows, cols] += columns[:, u, v]
        dx[index] = padded[:, padding : padding + h, padding : padding + width]

    backend.parallel_for(image, n)
    return dx


def weight_gradient(x, g, w_shape, stride, padding):
    """∂L/∂w, transposed: Σ over pieces of columns (C·kh·kw, pixels) @ gᵀ (pixels, O), in a fixed order.

    This way round the product has C·kh·kw rows, not O; with few output channels that is twice as fast.
    """
    o, c, kh, kw = w_shape
    out_h, out_w = g.shape[2:]
    unfold = Unfold(x, (out_h, out_w), (kh, kw), stride, padding)
    g = frame(g, right=unfold.pitch - out_w)  # zeros keep what stands beyond a row's end out of the sum
    shares = backend.slices(len(unfold.pieces), -(-len(unfold.pieces) // PARTIAL_SUMS))
    parts = np.empty((len(shares), c * kh * kw, o), x.dtype)

    def share(index):
        product = backend.scratch("conv2d.product", parts.shape[1:], x.dtype)
        for position, (image, rows) in enumerate(unfold.pieces[shares[index]]):
            columns, g_piece = unfold.columns(image, rows), g[image, :, rows].reshape(o, -1)
            if position == 0:
                np.matmul(columns, g_piece.T, out=parts[index])
            else:
                np.matmul(columns, g_piece.T, out=product)
                parts[index] += product

    backend.parallel_for(share, len(shares))
    total = parts[0]
    for part in parts[1:]:
        total += part
    return np.ascontiguousarray(total.T).reshape(w_shape)


# ---------------------------------------------------------------- helpers


def output_size(length, kernel, stride, padding):
    """Number of windows along an axis: ⌊(length + 2·padding − kernel) / stride⌋ + 1."""
    return (length + 2 * padding - kernel) // stride + 1


class Unfold:
    """im2col of a batch x (N, C, H, W), piece by piece.

    pieces: [(image, output rows), …], each of about PIECE_BYTES of columns; they depend on shapes alone.
    pitch: how many columns a row of output takes. At stride 1 each line of the columns is one contiguous
        stretch of the padded image, which copies at full speed; the price is that rows come out as wide as
        the padded image, W + 2·padding ≥ out_w, and that what stands beyond out_w belongs to no output.
    """

    def __init__(self, x, out, kernel, stride, padding):
        (n, c), (out_h, out_w) = x.shape[:2], out
        self.kernel, self.stride, self.out_w = kernel, stride, out_w
        self.padded = np.ascontiguousarray(frame(x, padding, padding, padding, padding))
        self.pitch = self.padded.shape[3] if stride == 1 else out_w
        row_bytes = c * kernel[0] * kernel[1] * self.pitch * x.itemsize
        self.pieces = cut(n, out_h, row_bytes)

    def columns(self, image, rows):
        """The neighbourhoods that some output rows see: (C·kh·kw, len(rows)·pitch), in scratch memory."""
        (kh, kw), stride, count = self.kernel, self.stride, rows.stop - rows.start
        x = self.padded[image, :, rows.start * stride :]
        c, (sc, sh, sw) = len(x), x.strides
        if kh == kw == stride == 1:
            return x[:, :count].reshape(c, -1)
        if stride == 1:
            # The very last stretch would end kw − 1 elements beyond the image; no output needs them.
            length = count * self.pitch - (kw - 1)
            shape, strides = (c, kh, kw, length), (sc, sh, sw, sw)
        else:
            length = count * self.pitch
            shape, strides = (c, kh, kw, count, self.out_w), (sc, sh, sw, sh * stride, sw * stride)
        columns = backend.scratch("conv2d.columns", (c * kh * kw, count * self.pitch), x.dtype)
        columns[:, length:] = 0
        np.copyto(columns[:, :length].reshape(shape), as_strided(x, shape, strides))
        return columns


def cut(images, out_h, row_bytes):
    """[(image, output rows), …]: pieces whose columns take about PIECE_BYTES, `row_bytes` for each row."""
    rows = min(max(PIECE_BYTES // max(row_bytes, 1), 1), out_h)
    rows = -(-out_h // -(-out_h // rows))  # the same number of pieces, but equally tall ones
    return [(image, piece) for image in range(images) for piece in backend.slices(out_h, rows)]


def frame(x, top=0, bottom=0, left=0, right=0):
    """x (N, C, H, W) with rows and columns of zeros around it; x itself where none are asked for."""
    if not (top or bottom or left or right):
        return x
    n, c, h, w = x.shape
    framed = np.empty((n, c, top + h + bottom, left + w + right), x.dtype)

    def image(i):
        inside = framed[i]
        inside[:, :top] = inside[:, top + h :] = 0
        inside[:, :, :left] = inside[:, :, left + w :] = 0
        inside[:, top : top + h, left : left + w] = x[i]

    backend.parallel_for(image, n)
    return framed
