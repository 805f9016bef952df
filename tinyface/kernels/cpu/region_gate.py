"""SSG in blocks of pixels: at each pixel g is a matrix (R, C), ∂L/∂x its product with m̂, h its product with x."""

import numpy as np

from ...ops.region_gate import RegionGate
from ...ops.region_pool import EPSILON
from ...runtime.dispatch import register
from ...runtime.layout import as_hwnc, as_nchw
from ...runtime.memory import empty, empty_like
from .blocks import for_row_blocks


@register(RegionGate, "cpu", maps=(0, 1))
class RegionGateCpu(RegionGate):
    def forward(self, x, masks):
        n, c, h, w = self.shape = x.shape
        r = masks.shape[1]
        self.x = as_hwnc(x).reshape(h * w, n, c)
        masks = as_hwnc(masks).reshape(h * w, n, r)
        self.total = masks.sum(axis=0) + EPSILON
        self.m = np.divide(masks, self.total, out=empty_like(masks))
        x, m = self.x, self.m
        y = empty((h * w, n, r, c), x.dtype)

        def block(pixels):
            np.multiply(m[pixels][..., None], x[pixels, :, None], out=y[pixels])

        for_row_blocks(block, h * w, y.nbytes // (h * w))
        return as_nchw(y.reshape(h, w, n, r * c))

    def backward(self, g):
        x, m = self.x, self.m
        n, c, h, w = self.shape
        g = as_hwnc(g).reshape(*m.shape, c)
        dx = empty_like(x) if self.needs_grad[0] else None
        dm = empty_like(m) if self.needs_grad[1] else None

        def block(pixels):
            if dx is not None:
                np.matmul(m[pixels, :, None], g[pixels], out=dx[pixels, :, None])
            if dm is not None:
                np.matmul(g[pixels], x[pixels, :, :, None], out=dm[pixels, :, :, None])

        for_row_blocks(block, h * w, g.nbytes // (h * w))
        if dm is not None:
            dm -= (dm * m).sum(axis=0)
            dm /= self.total
        return tuple(d if d is None else as_nchw(d.reshape(h, w, n, d.shape[2])) for d in (dx, dm))
