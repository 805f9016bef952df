"""Nearest-neighbour up-sampling to a given size.

    y[n,c,i,j] = x[n, c, ⌊i·H/H'⌋, ⌊j·W/W'⌋]
    ∂L/∂x[n,c,a,b] = Σ of g over all (i, j) that copied from (a, b)

For H' = 2H or 2H − 1 this is "twice, then cropped": what undoes a ceil-mode 2×2 pooling (28 → 55). A pixel and a
row of pixels are long stretches of memory, so up-sampling is copying stretches. On a GPU (upsample_nearest.cu) a
thread looks after one number of x and all its copies.
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from ._old_pooling import PIECE_BYTES, as_rows, combine, every, for_rows

KERNELS = Path(__file__).with_suffix(".cu")


class UpsampleNearest(Function):
    op = "upsample_nearest"

    def __init__(self, size):
        self.size = tuple(size)

    def forward(self, x):
        if x.ndim != 4 or any(not 0 < n <= out for out, n in zip(self.size, x.shape[2:], strict=True)):
            raise ValueError(f"upsample_nearest: cannot bring x of shape {x.shape} up to {self.size}")
        backend.need_float(self.op, x)
        n, c, _, w = self.shape = x.shape
        if backend.on_gpu(x):
            y = backend.get_array_module(x).empty((n, c, *self.size), x.dtype)
            self._launch("upsample_nearest", backend.contiguous(x), y)
            return y
        x = as_rows(x)
        y = backend.empty((*self.size, n * c), x.dtype)
        columns = copies(self.size[1], w)

        def piece(rows, lines, times):
            first = y[lines][::times]
            for _, sources, targets in columns:
                first[:, targets] = x[rows, sources]
            for u in range(1, times):
                other = y[lines][u::times]
                other[...] = first[: len(other)]

        self._for_runs(piece, y[0].nbytes)
        return backend.as_nchw(y.reshape(*self.size, n, c))

    def backward(self, g):
        n, c, h, w = self.shape
        if backend.on_gpu(g):
            dx = backend.get_array_module(g).empty(self.shape, g.dtype)
            self._launch("upsample_nearest_backward", backend.contiguous(g), dx)
            return dx
        g = as_rows(g)
        dx = backend.empty((h, w, n * c), g.dtype)
        columns = copies(self.size[1], w)

        def piece(rows, lines, times):
            total = backend.scratch("upsample.total", (len(dx[rows]), *g.shape[1:]), g.dtype)
            combine(np.add, every(g[lines], len(total), times, times), total)
            for u, sources, targets in columns:
                if u == 0:
                    dx[rows, sources] = total[:, targets]
                else:
                    dx[rows, sources] += total[:, targets]

        self._for_runs(piece, g[0].nbytes)
        return backend.as_nchw(dx.reshape(h, w, n, c))

    def _launch(self, name, source, target):
        n, c, h, w = self.shape
        kernel = backend.load_kernels(KERNELS, source.dtype).get_function(name)
        sizes = map(np.int32, (n * c * h, h, w, *self.size))
        backend.launch_rows(kernel, n * c * h, w, source, target, *sizes)

    def _for_runs(self, body, line_bytes):
        """body(rows, lines, times): for pieces of x's rows and the lines of y, `times` of each, that copy them."""
        out, h = self.size[0], self.shape[2]
        times = -(-out // h)

        def piece(rows):
            lines = slice(*(-(-row * out // h) for row in (rows.start, rows.stop)))
            body(rows, lines, -(-(lines.stop - lines.start) // (rows.stop - rows.start)))

        one_by_one = not is_even(out, h)
        for_rows(piece, h, PIECE_BYTES if one_by_one else times * line_bytes)


def upsample_nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """x (N, C, H, W) → (N, C, *size); size = (H', W'), no smaller than x in either direction."""
    return UpsampleNearest(size)(x)


def sources(out, length):
    """For each of `out` positions, which of `length` it copies."""
    return np.arange(out) * length // out


def is_even(out, length):
    """Whether every position has the same number of copies, save the last, which may have fewer."""
    return np.array_equal(sources(out, length), np.arange(out) // -(-out // length))


def copies(out, length):
    """[(u, slice of sources, slice of targets), …]: which positions have their u-th copy where."""
    if is_even(out, length):
        times = -(-out // length)
        return [(u, slice(len(range(u, out, times))), slice(u, None, times)) for u in range(times)]
    source = sources(out, length)
    return [(i - np.searchsorted(source, a), slice(a, a + 1), slice(i, i + 1)) for i, a in enumerate(source)]
