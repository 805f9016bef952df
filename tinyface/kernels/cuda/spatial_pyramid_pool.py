"""Spatial pyramid pooling on a GPU (spatial_pyramid_pool.cu): a warp adds up the cells of one plane."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ...ops.spatial_pyramid_pool import SpatialPyramidPool
from ...runtime.cuda import launch, launch_rows, load_kernels
from ...runtime.devices import cupy, gpu_of, to_gpu
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")
WARP = 32  # threads


@register(SpatialPyramidPool, "cuda")
class SpatialPyramidPoolCuda(SpatialPyramidPool):
    def forward(self, x):
        n, c, h, w = self.shape = x.shape
        features = sum(level**2 for level in self.levels)
        y = cupy().empty((n, c * features), x.dtype)
        kernel = load_kernels(KERNELS, x.dtype).get_function("spatial_pyramid_pool")
        sizes = map(np.int32, (len(self.levels), n * c, c, h, w, features))
        launch(kernel, WARP * n * c, x, levels_on_gpu(self.levels, gpu_of(x)), y, *sizes)
        return y

    def backward(self, g):
        n, c, h, w = self.shape
        features = sum(level**2 for level in self.levels)
        dx = cupy().empty(self.shape, g.dtype)
        kernel = load_kernels(KERNELS, g.dtype).get_function("spatial_pyramid_pool_backward")
        sizes = map(np.int32, (len(self.levels), n * c * h, c, h, w, features))
        launch_rows(kernel, n * c * h, w, g, levels_on_gpu(self.levels, gpu_of(g)), dx, *sizes)
        return dx


@lru_cache(maxsize=16)
def levels_on_gpu(levels, gpu):
    """The levels as an array on the GPU of that number: moved there once, not in every step."""
    return to_gpu(np.array(levels, np.int32), gpu)
