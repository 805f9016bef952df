"""Semantic-segmentation-based pooling, SSP (Kalayeh et al. 2017, section 3.1.2): mask-weighted means.

    S[n,r] = Σ_p m[n,r,p] + ε,        y[n,r,c] = Σ_p m[n,r,p]·x[n,c,p] / S[n,r]

    ∂L/∂x[n,c,p] = Σ_r g[n,r,c]·m[n,r,p] / S[n,r]
    ∂L/∂m[n,r,p] = Σ_c g[n,r,c]·(x[n,c,p] − y[n,r,c]) / S[n,r]

With m and x as matrices (R, P) and (C, P) per image, all three are products of small matrices.
"""

import numpy as np

from ..core import Function, Tensor

EPSILON = 1e-12  # only there so that an empty region gives 0 and not 0/0


class RegionPool(Function):
    op = "region_pool"
    computes_in_float = True

    def check(self, x, masks):
        check_masks(self.op, x, masks)

    def forward(self, x, masks):
        (n, c, h, w), r = x.shape, masks.shape[1]
        self.shapes = x.shape, masks.shape
        self.x, self.m = x.reshape(n, c, h * w), masks.reshape(n, r, h * w)
        self.total = self.m.sum(axis=2, keepdims=True) + EPSILON
        self.y = self.m @ self.x.transpose(0, 2, 1) / self.total
        return self.y

    def backward(self, g):
        g = g / self.total
        dx = g.transpose(0, 2, 1) @ self.m
        dm = g @ self.x - (g * self.y).sum(axis=2, keepdims=True)
        return dx.reshape(self.shapes[0]), dm.reshape(self.shapes[1])


def region_pool(x: Tensor, masks: Tensor | np.ndarray) -> Tensor:
    """Pool x (N, C, H, W) within each of R regions, masks (N, R, H, W) ≥ 0 → (N, R, C)."""
    return RegionPool()(x, masks)


def check_masks(op, x, masks):
    """Raises ValueError where the shapes don't fit."""
    if x.ndim != 4 or masks.ndim != 4 or x.shape[:1] + x.shape[2:] != masks.shape[:1] + masks.shape[2:]:
        raise ValueError(
            f"{op}: x (N, C, H, W) and masks (N, R, H, W) must agree in N, H, W; got {x.shape} and {masks.shape}"
        )
