"""Semantic-segmentation-based gating, SSG (Kalayeh et al. 2017, section 3.1.3): one masked copy per region.

    m̂[n,r,p] = m[n,r,p] / S[n,r],     S[n,r] = Σ_p m[n,r,p] + ε,      y[n, r·C + c, p] = m̂[n,r,p]·x[n,c,p]

    ∂L/∂x[n,c,p] = Σ_r g[n,r,c,p]·m̂[n,r,p]
    ∂L/∂m[n,r,p] = (h[n,r,p] − Σ_q h[n,r,q]·m̂[n,r,q]) / S[n,r],       h[n,r,p] = Σ_c g[n,r,c,p]·x[n,c,p]

so that the max pooling which follows never mixes activations of different regions.
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from ._old_pooling import for_rows
from .region_pool import EPSILON, check_masks

BLOCK, CHANNELS = 256, 8  # as in the .cu file


class RegionGate(Function):
    op = "region_gate"

    def forward(self, x, masks):
        masks = check_masks(self.op, x, masks)
        if backend.on_gpu(x):
            return self.forward_gpu(x, masks)
        n, c, h, w = self.shape = x.shape
        r = masks.shape[1]
        self.x = backend.as_hwnc(x).reshape(h * w, n, c)
        masks = backend.as_hwnc(masks).reshape(h * w, n, r)
        self.total = masks.sum(axis=0) + EPSILON
        self.m = np.divide(masks, self.total, out=backend.empty_like(masks))
        x, m = self.x, self.m
        y = backend.empty((h * w, n, r, c), x.dtype)

        def piece(pixels):
            np.multiply(m[pixels][..., None], x[pixels, :, None], out=y[pixels])

        for_rows(piece, h * w, y.nbytes // max(h * w, 1))
        return backend.as_nchw(y.reshape(h, w, n, r * c))

    def forward_gpu(self, x, masks):
        self.x, self.m = backend.contiguous(x), backend.contiguous(masks)
        n, c, h, w = x.shape
        r = masks.shape[1]
        self.sizes = np.int32(c), np.int32(r), np.int32(h * w)
        self.total = backend.cupy().empty((n, r), x.dtype)
        y = backend.cupy().empty((n, r * c, h, w), x.dtype)
        self.run("mask_totals", (n * r,), (self.m, self.total, self.sizes[2], x.dtype.type(EPSILON)))
        grid = -(-h * w // BLOCK), -(-c // CHANNELS), n
        self.run("region_gate", grid, (self.x, self.m, self.total, y, *self.sizes))
        return y

    def backward_gpu(self, g):
        if not g.size:  # no channels or no regions
            return tuple(backend.cupy().zeros_like(a) for a in (self.x, self.m))
        dx, dm = (
            backend.cupy().empty_like(a) if needed else None
            for a, needed in zip((self.x, self.m), self.needs_grad, strict=True)
        )
        n, r, h, w = self.m.shape
        arguments = backend.contiguous(g), self.x, self.m, self.total, dx, dm, *self.sizes
        self.run("region_gate_backward", (-(-h * w // 32), n), arguments)
        if dm is not None:
            self.run("region_gate_dm", (n * r,), (dm, self.m, self.total, self.sizes[2]))
        return dx, dm

    def run(self, name, grid, arguments):
        if all(grid):
            kernel = backend.load_kernels(Path(__file__).with_suffix(".cu"), self.x.dtype).get_function(name)
            kernel(grid, (BLOCK,), arguments)

    def backward(self, g):
        if backend.on_gpu(g):
            return self.backward_gpu(g)
        x, m = self.x, self.m
        n, c, h, w = self.shape
        g = backend.as_hwnc(g).reshape(*m.shape, c)
        dx = backend.empty_like(x) if self.needs_grad[0] else None
        dm = backend.empty_like(m) if self.needs_grad[1] else None

        def piece(pixels):  # at each pixel g is a matrix (R, C): dx is its product with m, h that with x
            if dx is not None:
                np.matmul(m[pixels, :, None], g[pixels], out=dx[pixels, :, None])
            if dm is not None:
                np.matmul(g[pixels], x[pixels, :, :, None], out=dm[pixels, :, :, None])

        for_rows(piece, h * w, g.nbytes // max(h * w, 1))
        if dm is not None:
            dm -= (dm * m).sum(axis=0)
            dm /= self.total
        return tuple(d if d is None else backend.as_nchw(d.reshape(h, w, n, d.shape[2])) for d in (dx, dm))


def region_gate(x: Tensor, masks: Tensor | np.ndarray) -> Tensor:
    """x (N, C, H, W), masks (N, R, H, W) ≥ 0 → (N, R·C, H, W): x times each normalised mask, region-major."""
    return RegionGate()(x, masks)
