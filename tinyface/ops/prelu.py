"""Parametric ReLU (He et al. 2015, "Delving Deep into Rectifiers", equations 1 and 8).

    y = x            where x > 0            ∂L/∂x = g            where x > 0,   slope·g   elsewhere
        slope·x      elsewhere              ∂L/∂slope = Σ g·min(x, 0)     over all that shares the slope

At x = 0 both one-sided slopes are subgradients; like PyTorch we take `slope`. Behind a batch normalisation,
batch_norm_prelu does the same in fewer passes over memory.
"""

import numpy as np

from .. import backend
from ..core import Function
from .batch_norm import Rows


class PReLU(Function):
    op = "prelu"

    def forward(self, x, slope):
        backend.need_cpu(self.op, x)
        if x.ndim < 2 or slope.shape not in ((1,), x.shape[1:2]):
            raise ValueError(
                f"prelu: x of shape {x.shape} needs a slope of shape (1,) or (channels,), got {slope.shape}"
            )
        self.rows, self.slope = Rows(backend.as_hwnc(x)), slope
        self.per_channel = np.broadcast_to(slope, x.shape[1])
        rows, slopes = self.rows, self.rows.spread(self.per_channel)
        y = np.empty_like(rows.of)

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
        rows = self.rows
        slope, rest = rows.spread(self.per_channel), rows.spread(1 - self.per_channel)
        g, dx = backend.as_hwnc(g).reshape(rows.of.shape), np.empty_like(rows.of)
        dslope = np.empty((len(rows.pieces), rows.channels))

        def piece(index):
            some = rows.pieces[index]
            x, factor = rows.of[some], dx[some]
            negative = backend.scratch("prelu", x.shape, x.dtype)
            np.minimum(x, 0, out=negative)
            negative *= g[some]
            dslope[index] = rows.sum(negative)
            np.copyto(factor, np.greater(x, 0))  # 1 or 0: arithmetic is faster than branches
            factor *= rest
            factor += slope
            factor *= g[some]

        backend.parallel_for(piece, len(rows.pieces))
        dslope = dslope.sum(axis=0)
        if self.slope.shape != dslope.shape:
            dslope = dslope.sum(keepdims=True)
        return rows.back(dx), dslope.astype(self.slope.dtype)


def prelu(x, slope):
    """max(x, 0) + slope·min(x, 0) for x (N, C, …); slope (C,), one per channel, or (1,), one for all."""
    return PReLU()(x, slope)
