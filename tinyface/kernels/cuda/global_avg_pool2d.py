"""Global average pooling on a GPU (global_avg_pool2d.cu): a warp for each plane."""

from pathlib import Path

import numpy as np

from ...ops.global_avg_pool2d import GlobalAvgPool2d
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")
WARP = 32  # threads


@register(GlobalAvgPool2d, "cuda")
class GlobalAvgPool2dCuda(GlobalAvgPool2d):
    def forward(self, x):
        self.shape = x.shape
        return self._launch("global_avg_pool2d", x, x.shape[:2])

    def backward(self, g):
        return self._launch("global_avg_pool2d_backward", g, self.shape)

    def _launch(self, name, source, shape):
        n, c, h, w = self.shape
        result = cupy().empty(shape, source.dtype)
        kernel = load_kernels(KERNELS, source.dtype).get_function(name)
        launch(kernel, WARP * n * c, source, result, np.int32(n * c), np.int32(h * w))
        return result
