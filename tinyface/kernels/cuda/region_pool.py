"""SSP on a GPU (region_pool.cu): a block takes several regions along with every x that it reads."""

from pathlib import Path

import numpy as np

from ...ops.region_pool import EPSILON, RegionPool
from ...runtime.cuda import load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")
BLOCK, CHANNELS, REGIONS = (
    256,
    32,
    8,
)  # threads of a block; channels and regions that it takes, as in the .cu file


@register(RegionPool, "cuda")
class RegionPoolCuda(RegionPool):
    def forward(self, x, masks):
        self.x, self.m = x, masks
        n, c, h, w = x.shape
        r = masks.shape[1]
        self.sizes = np.int32(c), np.int32(r), np.int32(h * w)
        self.y, self.total = cupy().empty((n, r, c), x.dtype), cupy().empty((n, r), x.dtype)
        arguments = x, masks, self.y, self.total, *self.sizes, x.dtype.type(EPSILON)
        self._launch("region_pool", (-(-c // CHANNELS), -(-r // REGIONS), n), arguments)
        return self.y

    def backward(self, g):
        dx, dm, (c, r, pixels) = None, None, map(int, self.sizes)
        if self.needs_grad[0]:
            dx = cupy().empty_like(self.x)
            grid = -(-pixels // 32), -(-c // CHANNELS), len(g)
            self._launch("region_pool_dx", grid, (g, self.m, self.total, dx, *self.sizes))
        if self.needs_grad[1]:
            dm = cupy().empty_like(self.m)
            grid = -(-pixels // 32), -(-r // REGIONS), len(g)
            self._launch("region_pool_dm", grid, (g, self.x, self.y, self.total, dm, *self.sizes))
        return dx, dm

    def _launch(self, name, grid, arguments):
        load_kernels(KERNELS, self.x.dtype).get_function(name)(grid, (BLOCK,), arguments)
