"""Mean over all positions of each channel (Lin et al. 2014, "Network in Network").

y[n,c] = (1/HW) Σ_p x[n,c,p],      ∂L/∂x[n,c,p] = g[n,c] / HW
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor

KERNELS = Path(__file__).with_suffix(".cu")


class GlobalAvgPool2d(Function):
    op = "global_avg_pool2d"

    def forward(self, x):
        if x.ndim != 4:
            raise ValueError(f"global_avg_pool2d: x must have shape (N, C, H, W), got {x.shape}")
        backend.need_float(self.op, x)
        self.shape = x.shape
        if backend.on_gpu(x):
            return self._launch("global_avg_pool2d", x, x.shape[:2])
        return x.mean(axis=(2, 3))

    def backward(self, g):
        if backend.on_gpu(g):
            return self._launch("global_avg_pool2d_backward", g, self.shape)
        n, c, h, w = self.shape
        return backend.as_nchw(backend.contiguous(np.broadcast_to(g / (h * w), (h, w, n, c))))

    def _launch(self, name, source, shape):
        n, c, h, w = self.shape
        result = backend.get_array_module(source).empty(shape, source.dtype)
        kernel = backend.load_kernels(KERNELS, source.dtype).get_function(name)
        sizes = np.int32(n * c), np.int32(h * w)
        warps = n * c  # one for each plane
        backend.launch(kernel, 32 * warps, backend.contiguous(source), result, *sizes)
        return result


def global_avg_pool2d(x: Tensor) -> Tensor:
    """x (N, C, H, W) → (N, C)."""
    return GlobalAvgPool2d()(x)
