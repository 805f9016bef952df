"""Semantic-segmentation-based gating, SSG (Kalayeh et al. 2017, section 3.1.3): one masked copy per region.

    m̂[n,r,p] = m[n,r,p] / S[n,r],     S[n,r] = Σ_p m[n,r,p] + ε,      y[n, r·C + c, p] = m̂[n,r,p]·x[n,c,p]

    ∂L/∂x[n,c,p] = Σ_r g[n,r,c,p]·m̂[n,r,p]
    ∂L/∂m[n,r,p] = (h[n,r,p] − Σ_q h[n,r,q]·m̂[n,r,q]) / S[n,r],       h[n,r,p] = Σ_c g[n,r,c,p]·x[n,c,p]

so that the max pooling which follows never mixes activations of different regions.
"""

import numpy as np

from .. import backend
from ..core import Function
from .region_pool import EPSILON, check_masks


class RegionGate(Function):
    op = "region_gate"

    def forward(self, x, masks):
        backend.need_cpu(self.op, x)
        check_masks(self.op, x, masks)
        n, c, h, w = x.shape
        r = masks.shape[1]
        self.x, self.total = x, masks.sum(axis=(2, 3), keepdims=True) + EPSILON
        self.m = masks / self.total
        y = np.empty((n, r, c, h, w), x.dtype)

        def image(i):
            for region in range(r):
                np.multiply(x[i], self.m[i, region], out=y[i, region])

        backend.parallel_for(image, n)
        return y.reshape(n, r * c, h, w)

    def backward(self, g):
        x, m = self.x, self.m
        g = g.reshape(len(x), m.shape[1], *x.shape[1:])
        dx = np.zeros_like(x) if self.needs_grad[0] else None
        dm = np.empty_like(m) if self.needs_grad[1] else None

        def image(i):
            product = backend.scratch("region_gate", x[i].shape, x.dtype)
            for region in range(m.shape[1]):
                if dx is not None:
                    dx[i] += np.multiply(g[i, region], m[i, region], out=product)
                if dm is not None:
                    h = np.multiply(g[i, region], x[i], out=product).sum(axis=0)
                    dm[i, region] = (h - (h * m[i, region]).sum()) / self.total[i, region]

        backend.parallel_for(image, len(x))
        return dx, dm


def region_gate(x, masks):
    """x (N, C, H, W), masks (N, R, H, W) ≥ 0 → (N, R·C, H, W): x times each normalised mask, region-major."""
    return RegionGate()(x, masks)
