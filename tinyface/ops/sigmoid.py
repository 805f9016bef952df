"""σ(x) = 1 / (1 + e^{−x}),   ∂L/∂x = g·σ·(1 − σ)."""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class Sigmoid(Function):
    op = "sigmoid"
    computes_in_float = True

    def forward(self, x):
        self.y = logistic(x)
        return self.y

    def backward(self, g):
        return g * self.y * (1 - self.y)


def sigmoid(x: Tensor) -> Tensor:
    """Element-wise logistic function."""
    return Sigmoid()(x)


def logistic(x):
    """σ on an array, without overflow: e^{−|x|} is at most 1."""
    xp = get_array_module(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, e) / (1 + e)
