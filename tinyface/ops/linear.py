"""Affine map of the last axis.

y = x·Wᵀ + b,      ∂L/∂x = g·W,      ∂L/∂W = gᵀ·x,      ∂L/∂b = Σ g      (sums over all other axes)
"""

from ..core import Function


class Linear(Function):
    op = "linear"

    def forward(self, x, w, b=None):
        if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[1]:
            raise ValueError(f"linear: x of shape {x.shape} does not fit w of shape {w.shape} (out, in)")
        if b is not None and b.shape != w.shape[:1]:
            raise ValueError(f"linear: bias must have shape {w.shape[:1]}, got {b.shape}")
        self.x, self.w = x, w
        y = x @ w.T
        if b is not None:
            y += b
        return y

    def backward(self, g):
        rows, x_rows = g.reshape(-1, g.shape[-1]), self.x.reshape(-1, self.x.shape[-1])
        grads = g @ self.w, rows.T @ x_rows, rows.sum(axis=0)
        return grads[: len(self.needs_grad)]


def linear(x, w, b=None):
    """x (…, in), w (out, in), b (out,) → (…, out)."""
    return Linear()(x, w) if b is None else Linear()(x, w, b)
