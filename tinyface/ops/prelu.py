"""Parametric ReLU (He et al. 2015, "Delving Deep into Rectifiers", equations 1 and 8).

    y = x            where x > 0            ∂L/∂x = g            where x > 0,   slope·g   elsewhere
        slope·x      elsewhere              ∂L/∂slope = Σ g·min(x, 0)     over all that shares the slope

At x = 0 both one-sided slopes are subgradients; like PyTorch we take `slope`. Behind a batch normalisation,
batch_norm_prelu does the same in fewer passes over memory. On a GPU, prelu.cu.
"""

import math
from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from .batch_norm import Rows

KERNELS = Path(__file__).with_suffix(".cu")
SHARE = 4096  # values of a channel for one block of 256 threads


class PReLU(Function):
    op = "prelu"

    def forward(self, x, slope):
        if x.ndim < 2 or slope.shape not in ((1,), x.shape[1:2]):
            raise ValueError(
                f"prelu: x of shape {x.shape} needs a slope of shape (1,) or (channels,), got {slope.shape}"
            )
        backend.need_float(self.op, x)
        if backend.on_gpu(x):
            return self._forward_gpu(x, slope)
        self.rows, self.slope = Rows(backend.as_hwnc(x)), slope
        self.per_channel = np.broadcast_to(slope.astype(x.dtype, copy=False), x.shape[1])
        rows, slopes = self.rows, self.rows.spread(self.per_channel)
        y = backend.empty_like(rows.of)

        def piece(index):
            some = rows.pieces[index]
            negative = backend.scratch("prelu", y[some].shape, y.dtype)
            np.minimum(rows.of[some], 0, out=negative)
            negative *= slopes
            np.maximum(rows.of[some], 0, out=y[some])
            y[some] += negative

        backend.parallel_for(piece, len(rows.pieces))
        return rows.back(y)

    def backward(self, g):
        if backend.on_gpu(g):
            return self._backward_gpu(g)
        rows = self.rows
        slope, rest = rows.spread(self.per_channel), rows.spread(1 - self.per_channel)
        g, dx = backend.as_hwnc(g).reshape(rows.of.shape), backend.empty_like(rows.of)
        sums = rows.empty_sums(1)

        def piece(index):
            some = rows.pieces[index]
            x, factor = rows.of[some], dx[some]
            negative = backend.scratch("prelu", x.shape, x.dtype)
            np.minimum(x, 0, out=negative)
            negative *= g[some]
            rows.sum(negative, out=sums[index, 0])
            np.copyto(factor, np.greater(x, 0))  # 1 or 0: arithmetic is faster than branches
            factor *= rest
            factor += slope
            factor *= g[some]

        backend.parallel_for(piece, len(rows.pieces))
        dslope = rows.per_channel(sums)[0]
        if self.slope.shape != dslope.shape:
            dslope = dslope.sum(keepdims=True)
        return rows.back(dx), dslope.astype(self.slope.dtype)

    def _forward_gpu(self, x, slope):
        xp = backend.get_array_module(x)
        self.x, self.slope = backend.contiguous(x), xp.ascontiguousarray(slope, x.dtype)
        y = xp.empty_like(self.x)
        self._launch("prelu", self.x, self.slope, y)
        return y

    def _backward_gpu(self, g):
        x, c = self.x, self.x.shape[1]
        xp, g = backend.get_array_module(x), backend.contiguous(g)
        shares = self._shares()
        dx, dslope, sums = xp.empty_like(x), xp.empty_like(self.slope), xp.empty((c, shares))
        self._launch("prelu_backward", x, g, self.slope, dx, sums)
        slopes, finish = dslope.size, backend.load_kernels(KERNELS, x.dtype).get_function("prelu_finish")
        finish(
            (slopes,), (256 if slopes == 1 else 32,), (sums, dslope, np.int32(c * shares // max(slopes, 1)))
        )
        return dx, dslope

    def _shares(self):
        return max(-(-self.x.size // max(self.x.shape[1], 1) // SHARE), 1)

    def _launch(self, name, *arrays):
        n, c, *spatial = self.x.shape
        p = max(math.prod(spatial), 1)
        block = max(min(-(-n * p // 32) * 32, 256), 32)
        kernel = backend.load_kernels(KERNELS, self.x.dtype).get_function(name)
        sizes = map(np.int32, (c, p, self.x.size // max(c, 1), SHARE))
        kernel((c, self._shares()), (block,), (*arrays, *sizes, np.bool_(self.slope.size == 1)))


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """max(x, 0) + slope·min(x, 0) for x (N, C, …); slope (C,), one per channel, or (1,), one for all."""
    return PReLU()(x, slope)
