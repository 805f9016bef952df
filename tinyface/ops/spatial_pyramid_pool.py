"""Spatial pyramid pooling: means over the cells of ever finer grids, concatenated (He et al. 2014, SPPNet).

    level l cuts the map into l×l cells; cell i spans rows ⌊i·H/l⌋ … ⌈(i+1)·H/l⌉ − 1, columns likewise
    y[n, (l, c, i, j)] = mean of x[n, c] over cell (i, j) of level l,     coarse level first
    ∂L/∂x              = every g / |cell| added to all positions of its cell

Along one axis "mean over cell i" is a small matrix A (l, H); a level is A_h · x · A_wᵀ, and its gradient
A_hᵀ · g · A_w. With a map as (H, W, N·C) both are products of few large matrices. On a GPU
(spatial_pyramid_pool.cu) a warp adds up the cells of one map.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor

KERNELS = Path(__file__).with_suffix(".cu")


class SpatialPyramidPool(Function):
    op = "spatial_pyramid_pool"

    def __init__(self, levels):
        self.levels = tuple(levels)
        if not self.levels or min(self.levels) < 1:
            raise ValueError(f"spatial_pyramid_pool: levels must be numbers of at least 1, got {levels}")

    def forward(self, x):
        if x.ndim != 4 or not all(x.shape[2:]):
            raise ValueError(
                f"spatial_pyramid_pool: x must have shape (N, C, H, W) with pixels, got {x.shape}"
            )
        backend.need_float(self.op, x)
        self.shape = n, c, h, w = x.shape
        if backend.on_gpu(x):
            return self._forward_gpu(x)
        self.means = [(cell_means(h, l, x.dtype), cell_means(w, l, x.dtype)) for l in self.levels]
        rows = x.transpose(2, 3, 0, 1).reshape(h, w * n * c)  # as maps lie in memory
        cells = (b @ (a @ rows).reshape(len(a), w, n * c) for a, b in self.means)  # (l, l, N·C)
        levels = [y.reshape(len(y) ** 2, n, c).transpose(1, 2, 0) for y in cells]
        return np.concatenate([y.reshape(n, c * y.shape[2]) for y in levels], axis=1)

    def backward(self, g):
        if backend.on_gpu(g):
            return self._backward_gpu(g)
        n, c, h, w = self.shape
        dx, start = 0, 0
        for level, (a, b) in zip(self.levels, self.means, strict=True):
            stop = start + c * level * level
            cells = g[:, start:stop].reshape(n, c, level * level).transpose(2, 0, 1)
            dx = dx + a.T @ (b.T @ cells.reshape(level, level, n * c)).reshape(level, w * n * c)
            start = stop
        return backend.as_nchw(dx.reshape(h, w, n, c))

    def _forward_gpu(self, x):
        n, c, h, w = self.shape
        features = sum(level**2 for level in self.levels)
        y = backend.get_array_module(x).empty((n, c * features), x.dtype)
        kernel = backend.load_kernels(KERNELS, x.dtype).get_function("spatial_pyramid_pool")
        arguments = backend.contiguous(x), on_gpu(self.levels, backend.gpu_of(x)), y
        sizes = map(np.int32, (len(self.levels), n * c, c, h, w, features))
        backend.launch(kernel, 32 * n * c, *arguments, *sizes)  # a warp for each plane
        return y

    def _backward_gpu(self, g):
        n, c, h, w = self.shape
        features = sum(level**2 for level in self.levels)
        dx = backend.get_array_module(g).empty(self.shape, g.dtype)
        kernel = backend.load_kernels(KERNELS, g.dtype).get_function("spatial_pyramid_pool_backward")
        arguments = backend.contiguous(g), on_gpu(self.levels, backend.gpu_of(g)), dx
        sizes = map(np.int32, (len(self.levels), n * c * h, c, h, w, features))
        backend.launch_rows(kernel, n * c * h, w, *arguments, *sizes)
        return dx


def spatial_pyramid_pool(x: Tensor, levels: Sequence[int] = (1, 2)) -> Tensor:
    """x (N, C, H, W) → (N, C·Σ l²): for each level the means (C, l, l), flattened, coarse level first."""
    return SpatialPyramidPool(levels)(x)


@lru_cache(maxsize=16)
def on_gpu(levels, gpu):
    """The levels as an array on the GPU of that number: moved there once, not in every step."""
    return backend.to_gpu(np.array(levels, np.int32), gpu)


def cell_means(length, cells, dtype):
    """The matrix (cells, length) whose row i averages cell i."""
    matrix = np.zeros((cells, length), dtype)
    for i in range(cells):
        start, stop = i * length // cells, -(-(i + 1) * length // cells)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
