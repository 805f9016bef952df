"""Parametric ReLU (He et al. 2015, "Delving Deep into Rectifiers", equations 1 and 8).

    y = x            where x > 0            ∂L/∂x = g            where x > 0,   slope·g   elsewhere
        slope·x      elsewhere              ∂L/∂slope = Σ g·min(x, 0)     over all that shares the slope

At x = 0 both one-sided slopes are subgradients; like PyTorch we take `slope`.
"""

import numpy as np

from .. import backend
from ..core import Function
from .batch_norm import channel_sum, cut_channels, spread


class PReLU(Function):
    op = "prelu"

    def forward(self, x, slope):
        backend.need_cpu(self.op, x)
        if x.ndim < 2 or slope.shape not in ((1,), x.shape[1:2]):
            raise ValueError(
                f"prelu: x of shape {x.shape} needs a slope of shape (1,) or (channels,), got {slope.shape}"
            )
        self.x, self.slope = x, slope
        per_channel = np.broadcast_to(slope, x.shape[1])
        y = np.empty_like(x)
        pieces = cut_channels(x)

        def piece(index):
            c = pieces[index]
            negative = backend.scratch("prelu", x[:, c].shape, x.dtype)
            np.minimum(x[:, c], 0, out=negative)
            negative *= spread(per_channel[c], x)
            np.maximum(x[:, c], 0, out=y[:, c])
            y[:, c] += negative

        backend.parallel_for(piece, len(pieces))
        return y

    def backward(self, g):
        x, slope = self.x, self.slope
        per_channel = np.broadcast_to(slope, x.shape[1])
        dslope = np.empty(x.shape[1], np.float64)
        dx = np.empty_like(x)
        pieces = cut_channels(x)

        def piece(index):
            c = pieces[index]
            negative = backend.scratch("prelu", g[:, c].shape, x.dtype)
            np.minimum(x[:, c], 0, out=negative)
            negative *= g[:, c]
            dslope[c] = channel_sum(negative)
            factor = np.greater(x[:, c], 0, out=dx[:, c])  # 1 or 0; then slope where 0
            np.subtract(1, factor, out=negative)
            negative *= spread(per_channel[c], x)
            factor += negative
            factor *= g[:, c]

        backend.parallel_for(piece, len(pieces))
        if slope.shape != dslope.shape:
            dslope = dslope.sum(keepdims=True)
        return dx, dslope.astype(slope.dtype)


def prelu(x, slope):
    """max(x, 0) + slope·min(x, 0) for x (N, C, …); slope (C,), one per channel, or (1,), one for all."""
    return PReLU()(x, slope)
