"""Batch normalisation, alone or with PReLU, in two passes over memory each way: sums first, then the result.

Blocks of rows go through all arithmetic of a pass while they are in the cache. Only x is kept for backward: x̂ and
z = γ·x̂ + β are a few operations away, and storing them would take longer than computing them again.
"""

import numpy as np

from ...ops.batch_norm import BatchNorm
from ...ops.batch_norm_prelu import BatchNormPReLU
from ...runtime.dispatch import register
from ...runtime.layout import as_hwnc
from ...runtime.memory import empty_like, scratch
from ...runtime.threads import parallel_for
from .row_matrix import RowMatrix


@register(BatchNorm, "cpu")
class BatchNormCpu(BatchNorm):
    def forward(self, x, gamma, beta, slope=None):
        rows = RowMatrix(as_hwnc(x))
        if self.training:
            mean, var = rows.mean_and_variance()
            self.update_running(mean, var)
        else:
            mean, var = self.running_mean.copy(), self.running_var  # a training pass may come before backward
        self.rows, self.gamma, self.beta, self.slope = rows, gamma, beta, slope
        self.mean, self.rstd = mean, 1 / np.sqrt(var + self.eps)
        scale = gamma * self.rstd
        scale, shift = rows.per_column(scale), rows.per_column(beta - mean * scale)  # z = x·scale + shift
        slopes = None if slope is None else rows.per_column(slope)
        flat = is_flat(slope)
        x, y = rows.matrix, empty_like(rows.matrix)

        def block(index):
            some = rows.blocks[index]
            scale_shift_prelu(x[some], y[some], scale, shift, slopes, flat)

        parallel_for(block, len(rows.blocks))
        return rows.to_nchw(y)

    def backward(self, g):
        rows, x, slope = self.rows, self.rows.matrix, self.slope
        g = as_hwnc(g).reshape(x.shape)
        dx = empty_like(x)
        mean = rows.per_column(self.mean)
        split = None if slope is None else self._split_by_sign()
        slope_less_1 = None if slope is None else rows.per_column(slope - 1)
        sums = rows.empty_sums(4 if split else 2)  # of ∂L/∂y, ∂L/∂y·(x − μ); both where z ≤ 0

        def add_up(index):
            some = rows.blocks[index]
            here = g[some]
            centred = scratch("batch_norm", here.shape, x.dtype)
            np.subtract(x[some], mean, out=centred)
            rows.sum(here, out=sums[index, 0])
            rows.dot(here, centred, out=sums[index, 1])
            if split:
                below = split(centred, here)
                rows.sum(below, out=sums[index, 2])
                rows.dot(below, centred, out=sums[index, 3])
                below *= slope_less_1
                np.add(here, below, out=dx[some])  # ∂L/∂z: ∂L/∂y, times slope where z ≤ 0

        parallel_for(add_up, len(rows.blocks))
        dbeta, dgamma, *below = rows.per_channel(sums)
        grads = []
        if split:
            below, below_centred = below
            dslope = self.gamma * self.rstd * below_centred + self.beta * below
            dbeta, dgamma = dbeta + (slope - 1) * below, dgamma + (slope - 1) * below_centred
            grads, g = [dslope], dx
        dgamma = dgamma * self.rstd
        if self.needs_grad[0]:
            self._input_gradient(g, dbeta, dgamma, out=dx)
        return rows.to_nchw(dx), *(total.astype(x.dtype) for total in (dgamma, dbeta, *grads))

    def _split_by_sign(self):
        """A function (x − μ, g) → g where z ≤ 0 and 0 elsewhere, of some rows, in scratch memory."""
        rows, scale = self.rows, self.gamma * self.rstd
        dtype = rows.matrix.dtype
        # z = scale·(x − μ) + β ≤ 0 is x − μ ≤ −β/scale. It turns around where scale < 0: ≥ is the opposite of <.
        turn = scale < 0
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = np.where(scale == 0, np.where(self.beta > 0, -np.inf, np.inf), -self.beta / scale)
        limit = limit.astype(dtype)
        limit = rows.per_column(np.where(turn, np.nextafter(limit, dtype.type(-np.inf)), limit))
        turn = rows.per_column(turn) if turn.any() else None
        integer = f"i{dtype.itemsize}"

        def split(centred, g):
            negative = scratch("batch_norm.negative", g.shape, bool)
            np.less_equal(centred, limit, out=negative)
            if turn is not None:
                np.not_equal(negative, turn, out=negative)
            # g's bits times 1 or 0, as integers: faster than branches, and anything times 0 is 0, NaN and ∞ too.
            below = scratch("batch_norm.below", g.shape, dtype)
            np.copyto(below.view(integer), negative)
            np.multiply(g.view(integer), below.view(integer), out=below.view(integer))
            return below

        return split

    def _input_gradient(self, g, dbeta, dgamma, out):
        """out = ∂L/∂x of the formula above; `out` may be g itself."""
        rows, x, training = self.rows, self.rows.matrix, self.training
        # ∂L/∂x = scale · (g − x·by_x − constant)
        by_x = dgamma * self.rstd / self.m
        constant = rows.per_column(dbeta / self.m - by_x * self.mean)
        by_x, scale = rows.per_column(by_x), rows.per_column(self.gamma * self.rstd)

        def block(index):
            some = rows.blocks[index]
            if not training:
                np.multiply(g[some], scale, out=out[some])
                return
            result = out[some]
            through_statistics = scratch("batch_norm", result.shape, x.dtype)
            np.multiply(x[some], by_x, out=through_statistics)
            through_statistics += constant
            np.subtract(g[some], through_statistics, out=result)
            result *= scale

        parallel_for(block, len(rows.blocks))


@register(BatchNormPReLU, "cpu")
class BatchNormPReLUCpu(BatchNormCpu, BatchNormPReLU):
    pass


def is_flat(slope):
    """Whether slope·z is the larger of z and slope·z exactly where z is negative; 0 times ∞ would be NaN."""
    return slope is not None and bool(((slope <= 1) & (slope != 0)).all())


def scale_shift_prelu(x, z, scale, shift, slopes, flat):
    """z = prelu(x·scale + shift, slopes), or without PReLU where slopes is None; z may be x. flat: see `is_flat`."""
    np.multiply(x, scale, out=z)
    z += shift
    if slopes is None:
        return
    other = scratch("batch_norm", z.shape, z.dtype)
    if flat:
        np.maximum(z, np.multiply(z, slopes, out=other), out=z)
    else:
        np.minimum(z, 0, out=other)
        other *= slopes
        np.maximum(z, 0, out=z)
        z += other
