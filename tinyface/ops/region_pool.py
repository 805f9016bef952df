"""Semantic-segmentation-based pooling, SSP (Kalayeh et al. 2017, section 3.1.2): mask-weighted means.

    S[n,r] = Σ_p m[n,r,p] + ε,        y[n,r,c] = Σ_p m[n,r,p]·x[n,c,p] / S[n,r]

    ∂L/∂x[n,c,p] = Σ_r g[n,r,c]·m[n,r,p] / S[n,r]
    ∂L/∂m[n,r,p] = Σ_c g[n,r,c]·(x[n,c,p] − y[n,r,c]) / S[n,r]

With m and x as matrices (R, P) and (C, P) per image, all three are products of small matrices. BLAS makes them on the
CPU; on a GPU kernels of our own, which take several regions along with every x they read.
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor

EPSILON = 1e-12  # only there so that an empty region gives 0 and not 0/0

# As in the .cu file: threads of a block; channels that it takes, and regions.
BLOCK, CHANNELS, REGIONS = 256, 32, 8


class RegionPool(Function):
    op = "region_pool"

    def forward(self, x, masks):
        masks = check_masks(self.op, x, masks)
        if backend.on_gpu(x):
            return self.forward_gpu(x, masks)
        (n, c, h, w), r = x.shape, masks.shape[1]
        self.shapes = x.shape, masks.shape
        self.x, self.m = x.reshape(n, c, h * w), masks.reshape(n, r, h * w)
        self.total = self.m.sum(axis=2, keepdims=True) + EPSILON
        self.y = self.m @ self.x.transpose(0, 2, 1) / self.total
        return self.y

    def forward_gpu(self, x, masks):
        self.x, self.m = backend.contiguous(x), backend.contiguous(masks)
        n, c, h, w = x.shape
        r = masks.shape[1]
        self.sizes = np.int32(c), np.int32(r), np.int32(h * w)
        self.y = backend.cupy().empty((n, r, c), x.dtype)
        self.total = backend.cupy().empty((n, r), x.dtype)
        arguments = self.x, self.m, self.y, self.total, *self.sizes, x.dtype.type(EPSILON)
        self.run("region_pool", (-(-c // CHANNELS), -(-r // REGIONS), n), arguments)
        return self.y

    def backward_gpu(self, g):
        if not g.size:  # no channels or no regions
            return tuple(backend.cupy().zeros_like(a) for a in (self.x, self.m))
        g, dx, dm = backend.contiguous(g), None, None
        c, r, pixels = (int(size) for size in self.sizes)
        if self.needs_grad[0]:
            dx = backend.cupy().empty_like(self.x)
            grid = -(-pixels // 32), -(-c // CHANNELS), len(g)
            self.run("region_pool_dx", grid, (g, self.m, self.total, dx, *self.sizes))
        if self.needs_grad[1]:
            dm = backend.cupy().empty_like(self.m)
            grid = -(-pixels // 32), -(-r // REGIONS), len(g)
            self.run("region_pool_dm", grid, (g, self.x, self.y, self.total, dm, *self.sizes))
        return dx, dm

    def run(self, name, grid, arguments):
        if all(grid):
            kernel = backend.load_kernels(Path(__file__).with_suffix(".cu"), self.x.dtype).get_function(name)
            kernel(grid, (BLOCK,), arguments)

    def backward(self, g):
        if backend.on_gpu(g):
            return self.backward_gpu(g)
        g = g / self.total
        dx = g.transpose(0, 2, 1) @ self.m
        dm = g @ self.x - (g * self.y).sum(axis=2, keepdims=True)
        return as_map(dx, self.shapes[0]), as_map(dm, self.shapes[1])


def region_pool(x: Tensor, masks: Tensor | np.ndarray) -> Tensor:
    """Pool x (N, C, H, W) within each of R regions, masks (N, R, H, W) ≥ 0 → (N, R, C)."""
    return RegionPool()(x, masks)


def as_map(matrices, shape):
    """Matrices (N, C, P) as an array (N, C, H, W) that lies in memory as maps do."""
    return backend.as_nchw(backend.as_hwnc(matrices.reshape(shape)))


def check_masks(op, x, masks):
    """The masks in x's type. Raises ValueError where the shapes don't fit, TypeError where x is no float."""
    if x.ndim != 4 or masks.ndim != 4 or x.shape[:1] + x.shape[2:] != masks.shape[:1] + masks.shape[2:]:
        raise ValueError(
            f"{op}: x (N, C, H, W) and masks (N, R, H, W) must agree in N, H, W; got {x.shape} and {masks.shape}"
        )
    backend.need_float(op, x)
    return masks.astype(x.dtype, copy=False)
