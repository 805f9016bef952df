"""Spatial pyramid pooling: means over the cells of ever finer grids, concatenated (He et al. 2014, SPPNet).

    level l cuts the map into l×l cells; cell i spans rows ⌊i·H/l⌋ … ⌈(i+1)·H/l⌉ − 1, columns likewise
    y[n, (l, c, i, j)] = mean of x[n, c] over cell (i, j) of level l,     coarse level first
    ∂L/∂x              = every g / |cell| added to all positions of its cell

Along one axis "mean over cell i" is a small matrix A (l, H); a level is A_h · x · A_wᵀ, and its gradient
A_hᵀ · g · A_w. With a map as (H, W, N·C) both are products of few large matrices.
"""

from .. import backend
from ..core import Function


class SpatialPyramidPool(Function):
    op = "spatial_pyramid_pool"

    def __init__(self, levels):
        self.levels = tuple(levels)
        if not self.levels or min(self.levels) < 1:
            raise ValueError(f"spatial_pyramid_pool: levels must be numbers of at least 1, got {levels}")

    def forward(self, x):
        if x.ndim != 4:
            raise ValueError(f"spatial_pyramid_pool: x must have shape (N, C, H, W), got {x.shape}")
        xp = backend.get_array_module(x)
        self.shape = n, c, h, w = x.shape
        self.means = [(cell_means(xp, h, l, x.dtype), cell_means(xp, w, l, x.dtype)) for l in self.levels]
        rows = x.transpose(2, 3, 0, 1).reshape(h, w * n * c)  # as maps lie in memory
        cells = (b @ (a @ rows).reshape(len(a), w, n * c) for a, b in self.means)  # (l, l, N·C)
        return xp.concatenate([y.reshape(-1, n, c).transpose(1, 2, 0).reshape(n, -1) for y in cells], axis=1)

    def backward(self, g):
        n, c, h, w = self.shape
        dx, start = 0, 0
        for level, (a, b) in zip(self.levels, self.means, strict=True):
            stop = start + c * level * level
            cells = g[:, start:stop].reshape(n, c, level * level).transpose(2, 0, 1)
            dx = dx + a.T @ (b.T @ cells.reshape(level, level, n * c)).reshape(level, -1)
            start = stop
        return backend.as_nchw(dx.reshape(h, w, n, c))


def spatial_pyramid_pool(x, levels=(1, 2)):
    """x (N, C, H, W) → (N, C·Σ l²): for each level the means (C, l, l), flattened, coarse level first."""
    return SpatialPyramidPool(levels)(x)


def cell_means(xp, length, cells, dtype):
    """The matrix (cells, length) whose row i averages cell i."""
    matrix = xp.zeros((cells, length), dtype)
    for i in range(cells):
        start, stop = i * length // cells, -(-(i + 1) * length // cells)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
