"""Nearest-neighbour up-sampling to a given size.

    y[n,c,i,j] = x[n, c, ⌊i·H/H'⌋, ⌊j·W/W'⌋]
    ∂L/∂x[n,c,a,b] = Σ of g over all (i, j) that copied from (a, b)

For H' = 2H or 2H − 1 this is "twice, then cropped": what undoes a ceil-mode 2×2 pooling (28 → 55).
"""

import numpy as np

from .. import backend
from ..core import Function
from .max_pool2d import for_planes


class UpsampleNearest(Function):
    op = "upsample_nearest"

    def __init__(self, size):
        self.size = tuple(size)

    def forward(self, x):
        backend.need_cpu(self.op, x)
        if x.ndim != 4 or any(out < length for out, length in zip(self.size, x.shape[2:], strict=True)):
            raise ValueError(f"upsample_nearest: cannot bring x of shape {x.shape} up to {self.size}")
        self.shape = x.shape
        rows, cols = (sources(out, length) for out, length in zip(self.size, x.shape[2:], strict=True))
        y = np.empty((*x.shape[:2], *self.size), x.dtype)

        def planes(piece):
            wide = np.take(x[piece], cols, axis=3)
            np.take(wide, rows, axis=2, out=y[piece], mode="clip")

        for_planes(planes, y)
        return y

    def backward(self, g):
        dx = np.empty(self.shape, g.dtype)
        first_row, first_col = (
            np.searchsorted(sources(out, length), np.arange(length))
            for out, length in zip(self.size, self.shape[2:], strict=True)
        )

        def planes(piece):
            narrow = add_runs(g[piece], first_row, axis=2)
            dx[piece] = add_runs(narrow, first_col, axis=3)

        for_planes(planes, dx)
        return dx


def upsample_nearest(x, size):
    """x (N, C, H, W) → (N, C, *size); size = (H', W'), no smaller than x in either direction."""
    return UpsampleNearest(size)(x)


def sources(out, length):
    """For each of `out` positions, which of `length` it copies."""
    return np.arange(out) * length // out


def add_runs(x, first, axis):
    """Sums over runs along an axis: run a begins at first[a] and ends where the next one begins."""
    x = np.moveaxis(x, axis, -1)
    counts = np.diff(np.append(first, x.shape[-1]))
    total = x[..., first].copy()
    for extra in range(1, counts.max()):
        longer = counts > extra
        total[..., longer] += x[..., first[longer] + extra]
    return np.moveaxis(total, -1, axis)
