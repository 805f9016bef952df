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

from .. import backend
from ..core import Function

PIECE_BYTES = 1 << 20  # columns of one piece; half of a core's L2 cache leaves room for the product
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
    (n, c, h, width), (o, _, kh, kw) = x.shape, w.shape
    out_h, out_w = output_size(h, kh, stride, padding), output_size(width, kw, stride, padding)
    if out_h < 1 or out_w < 1:
        raise ValueError(f"conv2d: a {kh}×{kw} kernel does not fit into {x.shape} with padding {padding}")
    y = np.empty((n, o, out_h, out_w), x.dtype)
    matrix = w.reshape(o, -1)
    pieces = cut(n, out_h, out_w, c * kh * kw * x.itemsize)

    def piece(index):
        image, rows = pieces[index]
        columns, pitch = im2col(x[image], rows, out_w, kh, kw, stride, padding)
        target = y[image, :, rows]
        if pitch == out_w:
            np.matmul(matrix, columns, out=target.reshape(o, -1, copy=False))
        else:
            wide = np.matmul(
                matrix, columns, out=backend.scratch("conv2d.wide", (o, columns.shape[1]), x.dtype)
            )
            np.copyto(target, wide.reshape(o, -1, pitch)[:, :, :out_w])
        if b is not None:
            target += b[:, None, None]

    backend.parallel_for(piece, len(pieces))
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
    n, _, out_h, out_w = g.shape
    pieces = cut(n, out_h, out_w, c * kh * kw * x.itemsize)
    shares = backend.slices(len(pieces), -(-len(pieces) // PARTIAL_SUMS))
    parts = np.empty((len(shares), c * kh * kw, o), x.dtype)

    def share(index):
        product = backend.scratch("conv2d.product", parts.shape[1:], x.dtype)
        for position, (image, rows) in enumerate(pieces[shares[index]]):
            columns, pitch = im2col(x[image], rows, out_w, kh, kw, stride, padding)
            g_piece = g[image, :, rows]
            if pitch != out_w:  # zeros keep the columns beyond the row's end out of the sum
                wide = backend.scratch("conv2d.wide", (o, rows.stop - rows.start, pitch), g.dtype)
                wide[:, :, :out_w] = g_piece
                wide[:, :, out_w:] = 0
                g_piece = wide
            g_piece = g_piece.reshape(o, -1)
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


def cut(images, out_h, out_w, bytes_per_pixel):
    """[(image, output rows), …]: pieces whose columns take about PIECE_BYTES. Depends on shapes alone."""
    rows = min(max(PIECE_BYTES // max(bytes_per_pixel * out_w, 1), 1), out_h)
    rows = -(-out_h // -(-out_h // rows))  # the same number of pieces, but equally tall ones
    return [(image, piece) for image in range(images) for piece in backend.slices(out_h, rows)]


def im2col(image, rows, out_w, kh, kw, stride, padding):
    """The neighbourhoods that some output rows see: image (C, H, W) → (C·kh·kw, len(rows)·pitch), pitch.

    At stride 1 each line of the result is one contiguous stretch of the padded image, which copies at full
    speed. The price: rows come out as wide as the padded image, pitch = W + 2·padding ≥ out_w pixels, and what
    stands beyond out_w belongs to no output. The result lies in scratch memory, or is the image itself.
    """
    c, h, w = image.shape
    count = rows.stop - rows.start
    if kh == kw == stride == 1 and not padding:
        return image[:, rows].reshape(c, -1), w
    top = rows.start * stride - padding  # first input row that is seen, may lie above the image
    height, width = (count - 1) * stride + kh, w + 2 * padding
    flat = backend.scratch("conv2d.padded", (c * height * width + kw,), image.dtype)
    flat[-kw:] = 0  # the last row's stretch reads this far
    padded = flat[:-kw].reshape(c, height, width)
    first = max(top, 0)
    last = max(min(top + height, h), first)  # no rows at all where the piece lies in the padding
    padded[:, : first - top] = 0
    padded[:, last - top :] = 0
    padded[:, :, :padding] = 0
    padded[:, :, w + padding :] = 0
    padded[:, first - top : last - top, padding : w + padding] = image[:, first:last]
    sc, sh, sw = padded.strides
    if stride == 1:
        shape, strides = (c, kh, kw, count * width), (sc, sh, sw, sw)
    else:
        shape, strides = (c, kh, kw, count, out_w), (sc, sh, sw, sh * stride, sw * stride)
    columns = backend.scratch("conv2d.columns", shape, image.dtype)
    np.copyto(columns, np.ndarray(shape, image.dtype, flat, strides=strides))
    return columns.reshape(c * kh * kw, -1), width if stride == 1 else out_w
