"""Mean over all positions of each channel (Lin et al. 2014, "Network in Network").

y[n,c] = (1/HW) Σ_p x[n,c,p],      ∂L/∂x[n,c,p] = g[n,c] / HW
"""

from .. import backend
from ..core import Function


class GlobalAvgPool2d(Function):
    op = "global_avg_pool2d"

    def forward(self, x):
        if x.ndim != 4:
            raise ValueError(f"global_avg_pool2d: x must have shape (N, C, H, W), got {x.shape}")
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, g):
        xp = backend.get_array_module(g)
        n, c, h, w = self.shape
        return backend.as_nchw(xp.broadcast_to(g / (h * w), (h, w, n, c)).copy())


def global_avg_pool2d(x):
    """x (N, C, H, W) → (N, C)."""
    return GlobalAvgPool2d()(x)
