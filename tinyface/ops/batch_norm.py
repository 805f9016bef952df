"""Batch normalisation over (N, H, W) for each channel (Ioffe & Szegedy 2015), alone or with a PReLU behind it.

    x̂ = (x − μ) / √(σ² + ε),   z = γ·x̂ + β,        m = N·H·W values per channel
    batch_norm: y = z;         batch_norm_prelu: y = z where z > 0, slope·z elsewhere   (see prelu.py)

    training: μ, σ² are this batch's mean and (biased) variance, and the running statistics move:
              running ← (1 − momentum)·running + momentum·batch    (with the unbiased variance, as PyTorch does)
    evaluation: μ, σ² are the running statistics, constants for backward.

    with g = ∂L/∂z, which is ∂L/∂y times 1, or slope where z ≤ 0:
    ∂L/∂β = Σ g,   ∂L/∂γ = Σ g·x̂,   ∂L/∂slope = Σ ∂L/∂y·min(z, 0)
    training:   ∂L/∂x = γ/√(σ² + ε) · (g − (∂L/∂β + x̂·∂L/∂γ)/m)
    evaluation: ∂L/∂x = γ/√(σ² + ε) · g

Two passes over memory each way: one for the sums, one for the result. Pieces of rows go through all arithmetic of
a pass while they are in the cache. Nothing but x is kept: x̂ and z are a few operations away, and storing them
would cost more time than making them again. On a GPU batch_norm.cu does the same.
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor

PIECE_BYTES = 1 << 19  # of each array at most; backward works on six at a time
SHORTEST_ROW = 256  # numbers; NumPy's loops over shorter rows spend their time on starting
LONGEST_ROW = 1 << 14  # numbers; longer ones leave few rows, and much to keep beside them

KERNELS = Path(__file__).with_suffix(".cu")
BLOCKS = 2048  # as many keep every GPU busy
SMALLEST_SHARE, LARGEST_SHARE = 1024, 8192  # values of a channel for one block of 256 threads


class BatchNorm(Function):
    op = "batch_norm"

    def __init__(self, running_mean, running_var, training, momentum, eps):
        self.running_mean, self.running_var = running_mean, running_var
        self.training, self.momentum, self.eps = training, momentum, eps

    def forward(self, x, gamma, beta, slope=None):
        per_channel = [a.shape for a in (gamma, beta, self.running_mean, self.running_var)]
        per_channel += [] if slope is None else [slope.shape]
        if x.ndim < 2 or any(shape != x.shape[1:2] for shape in per_channel):
            names = "gamma, beta, running_mean and running_var" if slope is None else "gamma, …, and slope"
            raise ValueError(
                f"{self.op}: x of shape {x.shape} needs {names} of shape "
                f"(channels,), got {', '.join(map(str, per_channel))}"
            )
        self.m = max(x.size // max(x.shape[1], 1), 1)
        if self.training and self.m < 2:
            raise ValueError(
                f"{self.op}: needs more than one value per channel in training, got x of {x.shape}"
            )
        backend.need_float(self.op, x)
        if backend.on_gpu(x):
            return self._forward_gpu(x, gamma, beta, slope)
        rows = Rows(backend.as_hwnc(x))
        gamma, beta, slope = (a if a is None else a.astype(x.dtype, copy=False) for a in (gamma, beta, slope))
        if self.training:
            mean, var = rows.mean_and_variance()
            self._update_running(mean, var)
        else:
            mean, var = self.running_mean.copy(), self.running_var  # a training pass may come before backward
        self.rows, self.gamma, self.beta, self.slope = rows, gamma, beta, slope
        self.mean, self.rstd = mean, 1 / np.sqrt(var + self.eps)
        scale = gamma * self.rstd
        scale, shift = rows.spread(scale), rows.spread(beta - mean * scale)  # z = x·scale + shift
        slopes = None if slope is None else rows.spread(slope)
        flat = is_flat(slope)
        x, y = rows.of, backend.empty_like(rows.of)

        def piece(index):
            some = rows.pieces[index]
            scale_shift_prelu(x[some], y[some], scale, shift, slopes, flat)

        backend.parallel_for(piece, len(rows.pieces))
        return rows.back(y)

    def _update_running(self, mean, var):
        unbiased = var * (self.m / (self.m - 1))
        for running, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            running[...] = (1 - self.momentum) * running + self.momentum * new

    def backward(self, g):
        if backend.on_gpu(g):
            return self._backward_gpu(g)
        rows, x, slope = self.rows, self.rows.of, self.slope
        g = backend.as_hwnc(g).reshape(x.shape)
        dx = backend.empty_like(x)
        mean = rows.spread(self.mean)
        split = None if slope is None else self._split_by_sign()
        rest = None if slope is None else rows.spread(slope - 1)
        sums = rows.empty_sums(4 if split else 2)  # of ∂L/∂y, ∂L/∂y·(x − μ); both where z ≤ 0

        def add_up(index):
            some = rows.pieces[index]
            here = g[some]
            centred = backend.scratch("batch_norm", here.shape, x.dtype)
            np.subtract(x[some], mean, out=centred)
            rows.sum(here, out=sums[index, 0])
            rows.dot(here, centred, out=sums[index, 1])
            if split:
                below = split(centred, here)
                rows.sum(below, out=sums[index, 2])
                rows.dot(below, centred, out=sums[index, 3])
                below *= rest
                np.add(here, below, out=dx[some])  # ∂L/∂z: ∂L/∂y, times slope where z ≤ 0

        backend.parallel_for(add_up, len(rows.pieces))
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
        return rows.back(dx), *(total.astype(x.dtype) for total in (dgamma, dbeta, *grads))

    def _split_by_sign(self):
        """A function (x − μ, g) → g where z ≤ 0 and 0 elsewhere, of some rows, in scratch memory."""
        rows, scale = self.rows, self.gamma * self.rstd
        dtype = rows.of.dtype
        # z = scale·(x − μ) + β ≤ 0 is x − μ ≤ −β/scale. It turns around where scale < 0: ≥ is the opposite of <.
        turn = scale < 0
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = np.where(scale == 0, np.where(self.beta > 0, -np.inf, np.inf), -self.beta / scale)
        limit = limit.astype(dtype)
        limit = rows.spread(np.where(turn, np.nextafter(limit, dtype.type(-np.inf)), limit))
        turn = rows.spread(turn) if turn.any() else None
        integer = f"i{dtype.itemsize}"

        def split(centred, g):
            negative = backend.scratch("batch_norm.negative", g.shape, bool)
            np.less_equal(centred, limit, out=negative)
            if turn is not None:
                np.not_equal(negative, turn, out=negative)
            # g's bits times 1 or 0, as integers: faster than branches, and anything times 0 is 0, NaN and ∞ too.
            below = backend.scratch("batch_norm.below", g.shape, dtype)
            np.copyto(below.view(integer), negative)
            np.multiply(g.view(integer), below.view(integer), out=below.view(integer))
            return below

        return split

    def _input_gradient(self, g, dbeta, dgamma, out):
        """out = ∂L/∂x of the formula above; `out` may be g itself."""
        rows, x, training = self.rows, self.rows.of, self.training
        # ∂L/∂x = scale · (g − x·by_x − constant)
        by_x = dgamma * self.rstd / self.m
        constant = rows.spread(dbeta / self.m - by_x * self.mean)
        by_x, scale = rows.spread(by_x), rows.spread(self.gamma * self.rstd)

        def piece(index):
            some = rows.pieces[index]
            if not training:
                np.multiply(g[some], scale, out=out[some])
                return
            result = out[some]
            through_statistics = backend.scratch("batch_norm", result.shape, x.dtype)
            np.multiply(x[some], by_x, out=through_statistics)
            through_statistics += constant
            np.subtract(g[some], through_statistics, out=result)
            result *= scale

        backend.parallel_for(piece, len(rows.pieces))

    def _forward_gpu(self, x, gamma, beta, slope):
        xp, dtype = backend.get_array_module(x), x.dtype
        self.x = x = backend.contiguous(x)
        per_channel = (gamma, beta, self.running_mean, self.running_var)
        gamma, beta, *running = (xp.ascontiguousarray(a, dtype) for a in per_channel)
        slope = slope if slope is None else xp.ascontiguousarray(slope, dtype)
        c, p = x.shape[1], max(math.prod(x.shape[2:]), 1)
        share = min(max(-(-x.size // BLOCKS), SMALLEST_SHARE), LARGEST_SHARE)
        self.shares = max(-(-self.m // share), 1)
        self.sizes = tuple(map(np.int32, (c, p, x.size // max(c, 1), share)))
        if self.training:
            sums, mean, var = xp.empty((c, self.shares, 2)), xp.empty(c, dtype), xp.empty(c, dtype)
            self._launch("statistics", x, sums, *self.sizes)
            sizes = *self.sizes[1:3], np.int32(self.shares)
            self._finish("finish_statistics", x, sums, mean, var, *running, *sizes, np.float64(self.momentum))
            for ours, new in zip((self.running_mean, self.running_var), running, strict=True):
                if new is not ours:  # a copy, as ours is of another type or not contiguous
                    ours[...] = new
        elif any(self.needs_grad):
            mean, var = (a.copy() for a in running)  # a training pass may come before backward
        else:
            mean, var = running
        self.channel = gamma, beta, slope, mean, var
        y = xp.empty_like(x)
        self._launch("normalise", x, *self.channel, y, *self.sizes, dtype.type(self.eps))
        return y

    def _backward_gpu(self, g):
        x, c = self.x, self.x.shape[1]
        xp, g, eps = backend.get_array_module(x), backend.contiguous(g), x.dtype.type(self.eps)
        sums = xp.empty((c, self.shares, 3))
        grads = [xp.empty(c, x.dtype) for _ in self.needs_grad[1:]]
        dgamma, dbeta, dslope = grads if len(grads) == 3 else (*grads, None)
        through = xp.empty((2, c), x.dtype)
        self._launch("gradient_sums", x, g, *self.channel, sums, *self.sizes, eps)
        sizes = self.sizes[2], np.int32(self.shares)
        options = np.float64(self.eps), np.bool_(self.training)
        var = self.channel[-1]
        self._finish("finish_gradients", sums, var, dgamma, dbeta, dslope, through, *sizes, *options)
        dx = None
        if self.needs_grad[0]:
            dx = xp.empty_like(x)
            self._launch("input_gradient", x, g, *self.channel, through, dx, *self.sizes, eps)
        return dx, *grads

    def _launch(self, name, *arguments):
        """A kernel of batch_norm.cu on all values: blocks for each channel and share."""
        block = max(min(-(-self.m // 32) * 32, 256), 32)
        kernel = backend.load_kernels(KERNELS, self.x.dtype).get_function(name)
        kernel((self.x.shape[1], self.shares), (block,), arguments)

    def _finish(self, name, *arguments):
        """A kernel that makes something of the shares' sums: a warp for each channel."""
        kernel = backend.load_kernels(KERNELS, self.x.dtype).get_function(name)
        kernel((self.x.shape[1],), (32,), arguments)


class BatchNormPReLU(BatchNorm):
    op = "batch_norm_prelu"


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of x (N, C, …) → the same shape; gamma, beta: tensors (C,).

    running_mean, running_var: arrays (C,), read in evaluation and updated in place in training.
    Raises ValueError where shapes don't fit or, in training, where a channel has a single value.
    """
    return BatchNorm(running_mean, running_var, training, momentum, eps)(x, gamma, beta)


def batch_norm_prelu(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    slope: Tensor,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """prelu(batch_norm(x, …), slope) in the passes of batch_norm; slope: tensor (C,)."""
    return BatchNormPReLU(running_mean, running_var, training, momentum, eps)(x, gamma, beta, slope)


def is_flat(slope):
    """Whether slope·z is the larger of z and slope·z exactly where z is negative; 0 times ∞ would be NaN."""
    return slope is not None and bool(((slope <= 1) & (slope != 0)).all())


def scale_shift_prelu(x, z, scale, shift, slopes, flat):
    """z = prelu(x·scale + shift, slopes), or without PReLU where slopes is None; z may be x. flat: see `is_flat`."""
    np.multiply(x, scale, out=z)
    z += shift
    if slopes is None:
        return
    other = backend.scratch("batch_norm", z.shape, z.dtype)
    if flat:
        np.maximum(z, np.multiply(z, slopes, out=other), out=z)
    else:
        np.minimum(z, 0, out=other)
        other *= slopes
        np.maximum(z, 0, out=z)
        z += other


class Rows:
    """Feature maps (H, W, N, C) as a matrix whose rows are whole pixels, long enough for NumPy's loops.

    of: the matrix, a view. pieces: slices of its rows, about PIECE_BYTES each; they depend on shapes alone.
    """

    def __init__(self, maps):
        self.shape, self.channels = maps.shape, maps.shape[-1]
        self.pixels, self.pieces, self.ones = _cut(maps.shape, maps.dtype)
        width = self.pixels * self.channels
        self.of = maps.reshape(maps.size // max(width, 1), width)

    def __reduce__(self):
        return Rows, (self.of.reshape(self.shape),)

    def spread(self, per_channel):
        """(C,) → one number for each column, of the maps' type, or a truth value."""
        dtype = self.of.dtype if per_channel.dtype.kind == "f" else per_channel.dtype
        spread = np.empty((self.pixels, self.channels), dtype)
        spread[...] = per_channel
        return spread.reshape(-1)

    def empty_sums(self, count):
        """(pieces, count, columns), to be filled by `sum` and `dot` and read by `per_channel`."""
        return backend.empty((len(self.pieces), count, self.of.shape[1]), self.of.dtype)

    def sum(self, rows, out):
        """out (columns,) = Σ down the rows of one piece."""
        np.matmul(self.ones[: len(rows)], rows, out=out)  # BLAS adds faster than np.sum

    def dot(self, rows, others, out):
        """out (columns,) = Σ of products down the rows of one piece."""
        np.einsum("ij,ij->j", rows, others, out=out)

    def per_channel(self, sums):
        """Σ over the pieces and over the columns of each channel, in float64: (count, C)."""
        by_channel = sums.reshape(*sums.shape[:2], self.pixels, self.channels)
        return by_channel.sum(axis=(0, 2), dtype=np.float64)

    def mean_and_variance(self):
        """Mean and biased variance of each channel, float64. A shift near the mean keeps differences exact."""
        shift = self.of[0].reshape(-1, self.channels).mean(axis=0)
        spread = self.spread(shift)
        sums = self.empty_sums(2)

        def piece(index):
            some = self.of[self.pieces[index]]
            shifted = backend.scratch("batch_norm", some.shape, some.dtype)
            np.subtract(some, spread, out=shifted)
            self.sum(shifted, out=sums[index, 0])
            self.dot(shifted, shifted, out=sums[index, 1])

        backend.parallel_for(piece, len(self.pieces))
        m = self.of.size // self.channels
        mean, square = self.per_channel(sums) / m
        return shift + mean, np.maximum(square - mean**2, 0)

    def back(self, rows):
        """A matrix of that form → (N, C, H, W)."""
        return backend.as_nchw(rows.reshape(self.shape))


@lru_cache(maxsize=1024)
def _cut(shape, dtype):
    """Pixels of a row of the matrix, slices of its rows, and as many ones as the longest of them has rows."""
    size, channels = math.prod(shape), max(shape[-1], 1)
    pixels = _pixels_in_a_row(size // channels, channels)
    parts = -(-size * dtype.itemsize // PIECE_BYTES)
    parts += parts % 2 if parts > 1 else 0  # so that two threads have as much to do
    rows = size // (pixels * channels)
    return pixels, backend.shares(rows, parts), np.ones(-(-rows // max(parts, 1)), dtype)


def _pixels_in_a_row(pixels, channels):
    """A divisor of `pixels`: the smallest that makes a row long enough, or where that is too long, the one below."""
    divisors = [d for d in range(1, min(pixels, LONGEST_ROW // channels) + 1) if pixels % d == 0]
    return next((d for d in divisors if d * channels >= SHORTEST_ROW), max(divisors, default=1))
