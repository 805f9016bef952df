"""Semantic-segmentation-based gating, SSG (Kalayeh et al. 2017, section 3.1.3): one masked copy per region.

    m̂[n,r,p] = m[n,r,p] / S[n,r],     S[n,r] = Σ_p m[n,r,p] + ε,      y[n, r·C + c, p] = m̂[n,r,p]·x[n,c,p]

    ∂L/∂x[n,c,p] = Σ_r g[n,r,c,p]·m̂[n,r,p]
    ∂L/∂m[n,r,p] = (h[n,r,p] − Σ_q h[n,r,q]·m̂[n,r,q]) / S[n,r],       h[n,r,p] = Σ_c g[n,r,c,p]·x[n,c,p]

so that the max pooling which follows never mixes activations of different regions.
"""

import numpy as np

from ..core import Function, Tensor
from .region_pool import EPSILON, check_masks


class RegionGate(Function):
    op = "region_gate"
    computes_in_float = True

    def check(self, x, masks):
        check_masks(self.op, x, masks)

    def forward(self, x, masks):
        (n, c, h, w), r = x.shape, masks.shape[1]
        self.total = masks.sum(axis=(2, 3), keepdims=True) + EPSILON
        self.x, self.m = x, masks / self.total
        return (self.m[:, :, None] * x[:, None]).reshape(n, r * c, h, w)

    def backward(self, g):
        n, c, h, w = self.x.shape
        g = g.reshape(n, self.m.shape[1], c, h, w)
        dx = (g * self.m[:, :, None]).sum(axis=1)
        dm_hat = (g * self.x[:, None]).sum(axis=2)  # h
        dm = (dm_hat - (dm_hat * self.m).sum(axis=(2, 3), keepdims=True)) / self.total
        return dx, dm


def region_gate(x: Tensor, masks: Tensor | np.ndarray) -> Tensor:
    """x (N, C, H, W), masks (N, R, H, W) ≥ 0 → (N, R·C, H, W): x times each normalised mask, region-major."""
    return RegionGate()(x, masks)
