"""SSG on a GPU (region_gate.cu)."""

from pathlib import Path

import numpy as np

from ...ops.region_gate import RegionGate
from ...ops.region_pool import EPSILON
from ...runtime.cuda import load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")
BLOCK, CHANNELS = 256, 8  # threads of a block; channels that it takes, as in the .cu file


@register(RegionGate, "cuda")
class RegionGateCuda(RegionGate):
    def forward(self, x, masks):
        self.x, self.m = x, masks
        n, c, h, w = x.shape
        r = masks.shape[1]
        self.sizes = np.int32(c), np.int32(r), np.int32(h * w)
        self.total = cupy().empty((n, r), x.dtype)
        y = cupy().empty((n, r * c, h, w), x.dtype)
        self._launch("mask_totals", (n * r,), (masks, self.total, self.sizes[2], x.dtype.type(EPSILON)))
        grid = -(-h * w // BLOCK), -(-c // CHANNELS), n
        self._launch("region_gate", grid, (x, masks, self.total, y, *self.sizes))
        return y

    def backward(self, g):
        dx, dm = (
            cupy().empty_like(a) if needed else None
            for a, needed in zip((self.x, self.m), self.needs_grad, strict=True)
        )
        n, r, h, w = self.m.shape
        arguments = g, self.x, self.m, self.total, dx, dm, *self.sizes
        self._launch("region_gate_backward", (-(-h * w // 32), n), arguments)
        if dm is not None:
            self._launch("region_gate_dm", (n * r,), (dm, self.m, self.total, self.sizes[2]))
        return dx, dm

    def _launch(self, name, grid, arguments):
        load_kernels(KERNELS, self.x.dtype).get_function(name)(grid, (BLOCK,), arguments)
