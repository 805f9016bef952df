"""Batch normalisation over (N, H, W) for each channel (Ioffe & Szegedy 2015).

    x̂ = (x − μ) / √(σ² + ε),   y = γ·x̂ + β,        m = N·H·W values per channel

    training: μ, σ² are this batch's mean and (biased) variance, and the running statistics move:
              running ← (1 − momentum)·running + momentum·batch    (with the unbiased variance, as PyTorch does)
    evaluation: μ, σ² are the running statistics, constants for backward.

    ∂L/∂β = Σ g,   ∂L/∂γ = Σ g·x̂
    training:   ∂L/∂x = γ/√(σ² + ε) · (g − (∂L/∂β + x̂·∂L/∂γ)/m)
    evaluation: ∂L/∂x = γ/√(σ² + ε) · g

Channels are independent, so the work is cut by channels and every pass over a piece stays in the cache.
x̂ is not kept: x itself is, and x̂ is one multiplication away.
"""

import numpy as np

from .. import backend
from ..core import Function

PIECE_BYTES = 1 << 20


class BatchNorm(Function):
    op = "batch_norm"

    def __init__(self, running_mean, running_var, training, momentum, eps):
        self.running_mean, self.running_var = running_mean, running_var
        self.training, self.momentum, self.eps = training, momentum, eps

    def forward(self, x, gamma, beta):
        backend.need_cpu(self.op, x)
        per_channel = gamma.shape, beta.shape, self.running_mean.shape, self.running_var.shape
        if x.ndim < 2 or any(shape != x.shape[1:2] for shape in per_channel):
            raise ValueError(
                f"batch_norm: x of shape {x.shape} needs gamma, beta, running_mean and running_var of shape "
                f"(channels,), got {', '.join(map(str, per_channel))}"
            )
        m = x.size // x.shape[1]
        if self.training and m < 2:
            raise ValueError(
                f"batch_norm: needs more than one value per channel in training, got x of {x.shape}"
            )
        self.x, self.gamma, self.m = x, gamma, m
        if self.training:
            self.mean = np.empty_like(gamma)
            self.scale = np.empty_like(gamma)
        else:
            self.mean = self.running_mean.astype(x.dtype)
            self.scale = (1 / np.sqrt(self.running_var + self.eps)).astype(x.dtype)
        y = np.empty_like(x)
        pieces = cut_channels(x)

        def piece(index):
            c = pieces[index]
            if self.training:
                mean = channel_sum(x[:, c]) / m
                self.mean[c] = mean
                centred = np.subtract(x[:, c], spread(self.mean[c], x), out=y[:, c])
                square = backend.scratch("batch_norm", centred.shape, x.dtype)
                variance = channel_sum(np.square(centred, out=square)) / m
                self.scale[c] = 1 / np.sqrt(variance + self.eps)
                self._update_running(c, mean, variance)
            else:
                centred = np.subtract(x[:, c], spread(self.mean[c], x), out=y[:, c])
            centred *= spread(gamma[c] * self.scale[c], x)
            centred += spread(beta[c], x)

        backend.parallel_for(piece, len(pieces))
        return y

    def _update_running(self, c, mean, variance):
        for running, new in (
            (self.running_mean, mean),
            (self.running_var, variance * (self.m / (self.m - 1))),
        ):
            running[c] = (1 - self.momentum) * running[c] + self.momentum * new

    def backward(self, g):
        x, m = self.x, self.m
        dx = np.empty_like(x) if self.needs_grad[0] else None
        dgamma, dbeta = np.empty_like(self.gamma), np.empty_like(self.gamma)
        pieces = cut_channels(x)

        def piece(index):
            c = pieces[index]
            g_c = g[:, c]
            x_hat = backend.scratch("batch_norm", g_c.shape, x.dtype)
            np.subtract(x[:, c], spread(self.mean[c], x), out=x_hat)
            x_hat *= spread(self.scale[c], x)
            product = backend.scratch("batch_norm.product", g_c.shape, x.dtype)
            dbeta[c] = channel_sum(g_c)
            dgamma[c] = channel_sum(np.multiply(g_c, x_hat, out=product))
            if dx is None:
                return
            if self.training:
                x_hat *= spread(dgamma[c] / m, x)
                x_hat += spread(dbeta[c] / m, x)
                np.subtract(g_c, x_hat, out=x_hat)
                g_c = x_hat
            np.multiply(g_c, spread(self.gamma[c] * self.scale[c], x), out=dx[:, c])

        backend.parallel_for(piece, len(pieces))
        return dx, dgamma, dbeta


def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Normalise each channel of x (N, C, …) → the same shape; gamma, beta: tensors (C,).

    running_mean, running_var: arrays (C,), read in evaluation and updated in place in training.
    Raises ValueError where shapes don't fit or, in training, where a channel has a single value.
    """
    return BatchNorm(running_mean, running_var, training, momentum, eps)(x, gamma, beta)


def cut_channels(x):
    """Slices of channels that take about PIECE_BYTES over the whole batch."""
    per_channel = x.nbytes // max(x.shape[1], 1)
    return backend.slices(x.shape[1], max(PIECE_BYTES // max(per_channel, 1), 1))


def channel_sum(x):
    """Σ over all axes but the channels', in float64 across images: (N, C, …) → (C,) float64."""
    rows = x.reshape(x.shape[0], x.shape[1], -1).sum(axis=2)
    return rows.sum(axis=0, dtype=np.float64)


def spread(per_channel, like):
    """(C,) → (C, 1, …, 1), to meet an array of like's number of axes."""
    return per_channel.reshape(-1, *(1,) * (like.ndim - 2))
