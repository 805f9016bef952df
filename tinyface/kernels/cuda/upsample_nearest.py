"""Up-sampling on a GPU (upsample_nearest.cu): a thread for each number of x and all its copies."""

from pathlib import Path

import numpy as np

from ...ops.upsample_nearest import UpsampleNearest
from ...runtime.cuda import launch_rows, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")


@register(UpsampleNearest, "cuda")
class UpsampleNearestCuda(UpsampleNearest):
    def forward(self, x):
        self.shape = x.shape
        y = cupy().empty((*x.shape[:2], *self.size), x.dtype)
        self._launch("upsample_nearest", x, y)
        return y

    def backward(self, g):
        dx = cupy().empty(self.shape, g.dtype)
        self._launch("upsample_nearest_backward", g, dx)
        return dx

    def _launch(self, name, source, target):
        n, c, h, w = self.shape
        kernel = load_kernels(KERNELS, source.dtype).get_function(name)
        sizes = map(np.int32, (n * c * h, h, w, *self.size))
        launch_rows(kernel, n * c * h, w, source, target, *sizes)
