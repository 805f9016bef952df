"""Batch normalisation over (N, H, W) for each channel (Ioffe & Szegedy 2015).

x̂ = (x − μ) / √(σ² + ε),   y = γ·x̂ + β,        m = N·H·W values per channel

training: μ, σ² are this batch's mean and (biased) variance, and the running statistics are updated:
          running ← (1 − momentum)·running + momentum·batch    (with the unbiased variance, as PyTorch does)
evaluation: μ, σ² are the running statistics, constants for backward.

∂L/∂β = Σ g,   ∂L/∂γ = Σ g·x̂
training:   ∂L/∂x = γ/√(σ² + ε) · (g − (∂L/∂β + x̂·∂L/∂γ)/m)
evaluation: ∂L/∂x = γ/√(σ² + ε) · g
"""

import numpy as np

from ..core import Function, Tensor


class BatchNorm(Function):
    op = "batch_norm"
    computes_in_float = True

    def __init__(self, running_mean, running_var, training, momentum, eps):
        self.running_mean, self.running_var = running_mean, running_var
        self.training, self.momentum, self.eps = training, momentum, eps

    def check(self, x, gamma, beta, *slope):
        shapes = [a.shape for a in (gamma, beta, self.running_mean, self.running_var, *slope)]
        if x.ndim < 2 or any(shape != x.shape[1:2] for shape in shapes):
            wanted = "gamma, beta, running_mean, running_var (and slope) of shape (channels,)"
            raise ValueError(f"{self.op}: x of shape {x.shape} needs {wanted}, got {shapes}")
        self.m = max(x.size // max(x.shape[1], 1), 1)
        if self.training and self.m < 2:
            raise ValueError(f"{self.op}: needs more than one value per channel in training, got {x.shape}")

    def forward(self, x, gamma, beta):
        self.axes = (0, *range(2, x.ndim))
        self.gamma, mean, var = gamma, self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(axis=self.axes), x.var(axis=self.axes)
            self.update_running(mean, var)
        self.rstd = (1 / (var + self.eps) ** 0.5).astype(x.dtype)
        self.xhat = (x - over_maps(mean.astype(x.dtype), x)) * over_maps(self.rstd, x)
        return over_maps(gamma, x) * self.xhat + over_maps(beta, x)

    def update_running(self, mean, var):
        for running, batch in ((self.running_mean, mean), (self.running_var, var * (self.m / (self.m - 1)))):
            running[...] = (1 - self.momentum) * running + self.momentum * batch

    def backward(self, g):
        dbeta, dgamma = g.sum(axis=self.axes), (g * self.xhat).sum(axis=self.axes)
        through_statistics = (over_maps(dbeta, g) + self.xhat * over_maps(dgamma, g)) / self.m
        dz = g - through_statistics if self.training else g
        return over_maps(self.gamma * self.rstd, g) * dz, dgamma, dbeta


def over_maps(per_channel, x):
    """(C,) with axes so that it broadcasts to x (N, C, …)."""
    return per_channel.reshape(-1, *[1] * (x.ndim - 2))


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor,
    running_mean: np.ndarray, running_var: np.ndarray, training: bool, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel of x (N, C, …) → the same shape; gamma, beta: tensors (C,).

    running_mean, running_var: arrays (C,), read in evaluation and updated in place in training.
    Raises ValueError where shapes don't fit or, in training, where a channel has a single value.
    """
    return BatchNorm(running_mean, running_var, training, momentum, eps)(x, gamma, beta)
