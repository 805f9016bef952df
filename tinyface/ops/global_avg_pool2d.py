"""Mean over all positions of each channel (Lin et al. 2014, "Network in Network").

y[n,c] = (1/HW) Σ_p x[n,c,p],      ∂L/∂x[n,c,p] = g[n,c] / HW
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class GlobalAvgPool2d(Function):
    op = "global_avg_pool2d"
    computes_in_float = True

    def check(self, x):
        if x.ndim != 4:
            raise ValueError(f"global_avg_pool2d: x must have shape (N, C, H, W), got {x.shape}")

    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, g):
        h, w = self.shape[2:]
        return get_array_module(g).broadcast_to(g[:, :, None, None] / (h * w), self.shape)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """x (N, C, H, W) → (N, C)."""
    return GlobalAvgPool2d()(x)
