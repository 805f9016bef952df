"""Convolution at stride 1 to few channels, such as the heads that tell seven regions apart: products first, then sums.

    z[u,v,o,q] = Σ_c w[o,c,u,v] · x[q,c]            for all pixels q at once: (kh·kw·O × C) @ (C × pixels)
    y[o,i,j]   = Σ_{u,v} z[u,v,o, i + u − p, j + v − p]

im2col copies the kh·kw·C numbers that a pixel sees and multiplies afterwards; here kh·kw·O are multiplied first and
added up, shifted, afterwards. With O far below C these are few, and each sum runs along whole rows of a map.
"""

import numpy as np

from ...runtime.memory import contiguous_copy, empty, scratch
from ...runtime.threads import parallel_for, slices

MOST_OUTPUTS = 8  # output channels
ROWS, PIXELS = 16, 4096  # of a block, at least: its border of kh − 1 rows is multiplied twice


def fits(w_shape, stride, padding):
    """Whether this is the way for kernels w (O, C, kh, kw)."""
    o, c, kh, kw = w_shape
    return stride == 1 and padding >= 0 and kh == kw > 1 and o <= MOST_OUTPUTS and 2 * o <= c


def convolve(x, w, padding, epilogue=None):
    """x (H, W, N, C) ∗ w (O, C, kh, kw) → (H', W', N, O). epilogue(pixels): what else to do to each block, in place."""
    (h, width, n, c), (o, _, kh, kw) = x.shape, w.shape
    out_h, out_w = h + 2 * padding - kh + 1, width + 2 * padding - kw + 1
    y = empty((out_h, out_w, n, o), x.dtype)
    matrix = contiguous_copy(w.transpose(2, 3, 0, 1)).reshape(-1, c)
    blocks = slices(out_h, max(ROWS, -(-PIXELS // (out_w * n))))

    def block(index):
        rows = blocks[index]
        top = min(max(rows.start - padding, 0), h)
        bottom = max(min(rows.stop + kh - 1 - padding, h), top)
        z = scratch("shift_and_add.z", (len(matrix), (bottom - top) * width * n), x.dtype)
        np.matmul(matrix, x[top:bottom].reshape(-1, c).T, out=z)
        z = z.reshape(kh, kw, o, bottom - top, width, n)
        sums = scratch("shift_and_add.sums", (o, rows.stop - rows.start, out_w, n), x.dtype)
        sums[...] = 0
        for u, v in np.ndindex(kh, kw):
            down, to_down = overlap(rows.start + u - padding - top, sums.shape[1], bottom - top)
            right, to_right = overlap(v - padding, out_w, width)
            sums[:, to_down, to_right] += z[u, v, :, down, right]
        y[rows] = sums.transpose(1, 2, 3, 0)
        if epilogue:
            epilogue(y[rows])

    parallel_for(block, len(blocks))
    return y


def overlap(start, count, length):
    """Of `count` places from `start` on: those within 0 … length, as a slice, and which of the `count` they are."""
    first, last = max(start, 0), min(start + count, length)
    last = max(first, last)
    return slice(first, last), slice(first - start, last - start)
