"""Spatial pyramid pooling as products of matrices: maps (H, W, N·C) are few large ones.

Along one axis "mean over cell i" is a small matrix A (l, H); a level is A_h · x · A_wᵀ, its gradient A_hᵀ · g · A_w.
"""

import numpy as np

from ...ops.spatial_pyramid_pool import SpatialPyramidPool, cell_bounds
from ...runtime.dispatch import register
from ...runtime.layout import as_nchw


@register(SpatialPyramidPool, "cpu")
class SpatialPyramidPoolCpu(SpatialPyramidPool):
    def forward(self, x):
        n, c, h, w = self.shape = x.shape
        self.means = [(cell_means(h, l, x.dtype), cell_means(w, l, x.dtype)) for l in self.levels]
        rows = x.transpose(2, 3, 0, 1).reshape(h, w * n * c)  # as maps lie in memory
        cells = (b @ (a @ rows).reshape(len(a), w, n * c) for a, b in self.means)  # (l, l, N·C)
        levels = [y.reshape(len(y) ** 2, n, c).transpose(1, 2, 0) for y in cells]
        return np.concatenate([y.reshape(n, c * y.shape[2]) for y in levels], axis=1)

    def backward(self, g):
        n, c, h, w = self.shape
        dx, start = 0, 0
        for level, (a, b) in zip(self.levels, self.means, strict=True):
            stop = start + c * level * level
            cells = g[:, start:stop].reshape(n, c, level * level).transpose(2, 0, 1)
            dx = dx + a.T @ (b.T @ cells.reshape(level, level, n * c)).reshape(level, w * n * c)
            start = stop
        return as_nchw(dx.reshape(h, w, n, c))


def cell_means(length, cells, dtype):
    """The matrix (cells, length) whose row i averages cell i."""
    matrix = np.zeros((cells, length), dtype)
    for i, (start, stop) in enumerate(cell_bounds(length, cells)):
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
