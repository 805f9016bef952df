"""Spatial pyramid pooling: means over the cells of ever finer grids, concatenated (He et al. 2014, SPPNet).

level l cuts the map into l×l cells; cell i spans rows ⌊i·H/l⌋ … ⌈(i+1)·H/l⌉ − 1, columns likewise
y[n, (l, c, i, j)] = mean of x[n, c] over cell (i, j) of level l,     coarse level first
∂L/∂x              = every g / |cell| added to all positions of its cell
"""

import math
from collections.abc import Sequence

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class SpatialPyramidPool(Function):
    op = "spatial_pyramid_pool"
    computes_in_float = True

    def __init__(self, levels):
        self.levels = tuple(levels)
        if not self.levels or min(self.levels) < 1:
            raise ValueError(f"spatial_pyramid_pool: levels must be numbers of at least 1, got {levels}")

    def check(self, x):
        if x.ndim != 4 or not all(x.shape[2:]):
            raise ValueError(
                f"spatial_pyramid_pool: x must have shape (N, C, H, W) with pixels, got {x.shape}"
            )

    def forward(self, x):
        self.shape = x.shape
        means = [[x[cell].mean(axis=(2, 3)) for cell in cells] for cells in self.cells()]
        xp = get_array_module(x)
        levels = [xp.stack(level, axis=2).reshape(len(x), x.shape[1] * len(level)) for level in means]
        return xp.concatenate(levels, axis=1)

    def backward(self, g):
        dx, start = get_array_module(g).zeros(self.shape, g.dtype), 0
        for cells in self.cells():
            stop = start + self.shape[1] * len(cells)
            level = g[:, start:stop].reshape(*self.shape[:2], len(cells))
            for i, cell in enumerate(cells):
                dx[cell] += level[:, :, i, None, None] / math.prod(dx[cell].shape[2:])
            start = stop
        return dx

    def cells(self):
        """For each level the indices of its cells in x, row by row."""
        everything = slice(None), slice(None)
        for level in self.levels:
            rows, columns = (cell_bounds(length, level) for length in self.shape[2:])
            yield [(*everything, slice(*row), slice(*column)) for row in rows for column in columns]


def spatial_pyramid_pool(x: Tensor, levels: Sequence[int] = (1, 2)) -> Tensor:
    """x (N, C, H, W) → (N, C·Σ l²): for each level the means (C, l, l), flattened, coarse level first."""
    return SpatialPyramidPool(levels)(x)


def cell_bounds(length, cells):
    """[(start, stop), …] of the cells along an axis."""
    return [(i * length // cells, -(-(i + 1) * length // cells)) for i in range(cells)]
