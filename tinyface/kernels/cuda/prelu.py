"""PReLU on a GPU (prelu.cu): blocks of threads for each channel and each part of its values."""

import math
from pathlib import Path

import numpy as np

from ...ops.prelu import PReLU
from ...runtime.cuda import load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")
PART = 4096  # values of a channel for one block of 256 threads


@register(PReLU, "cuda")
class PReLUCuda(PReLU):
    def forward(self, x, slope):
        self.x, self.slope = x, slope
        y = cupy().empty_like(x)
        self._launch("prelu", x, slope, y)
        return y

    def backward(self, g):
        x, slope, xp = self.x, self.slope, cupy()
        channels, parts = x.shape[1], self._parts()
        dx, dslope, sums = xp.empty_like(x), xp.empty_like(slope), xp.empty((channels, parts))
        self._launch("prelu_backward", x, g, slope, dx, sums)
        add_parts = load_kernels(KERNELS, x.dtype).get_function("prelu_add_parts")
        count = np.int32(channels * parts // slope.size)
        add_parts((slope.size,), (256 if slope.size == 1 else 32,), (sums, dslope, count))
        return dx, dslope

    def _parts(self):
        return -(-self.x.size // self.x.shape[1] // PART)

    def _launch(self, name, *arrays):
        n, c, *spatial = self.x.shape
        p = math.prod(spatial)
        block = max(min(-(-n * p // 32) * 32, 256), 32)
        sizes = map(np.int32, (c, p, n * p, PART))
        kernel = load_kernels(KERNELS, self.x.dtype).get_function(name)
        kernel((c, self._parts()), (block,), (*arrays, *sizes, np.bool_(self.slope.size == 1)))
