"""Affine map of the last axis.

y = x·Wᵀ + b,      ∂L/∂x = g·W,      ∂L/∂W = gᵀ·x,      ∂L/∂b = Σ g      (sums over all other axes)
"""

import math

from ..core import Function, Tensor


class Linear(Function):
    op = "linear"

    def check(self, x, w, b=None):
        if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[1]:
            raise ValueError(f"linear: x of shape {x.shape} does not fit w of shape {w.shape} (out, in)")
        if b is not None and b.shape != w.shape[:1]:
            raise ValueError(f"linear: bias must have shape {w.shape[:1]}, got {b.shape}")

    def forward(self, x, w, b=None):
        self.shape, self.w = x.shape, w
        # One product of two matrices, whatever x's other axes.
        self.x = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        y = self.x @ w.T
        if b is not None:
            y += b
        return y.reshape(*x.shape[:-1], len(w))

    def backward(self, g):
        g = g.reshape(len(self.x), g.shape[-1])
        needs_x, needs_w, *needs_b = self.needs_grad
        dx = (g @ self.w).reshape(self.shape) if needs_x else None
        dw = g.T @ self.x if needs_w else None
        return dx, dw, *(g.sum(axis=0) if needed else None for needed in needs_b)


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x (…, in), w (out, in), b (out,) → (…, out)."""
    return Linear()(x, w) if b is None else Linear()(x, w, b)
