"""Softmax along an axis.

    y_k = e^{x_k} / Σ_j e^{x_j},        ∂L/∂x_k = y_k·(g_k − Σ_j g_j·y_j)

The maximum is subtracted first: y does not change, and nothing overflows.
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class Softmax(Function):
    op = "softmax"
    computes_in_float = True

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        self.y = softmax_of(x, self.axis) if x.size else x  # an empty axis has no maximum
        return self.y

    def backward(self, g):
        return self.y * (g - (g * self.y).sum(axis=self.axis, keepdims=True))


def softmax(x: Tensor, axis: int = 1) -> Tensor:
    """Positive numbers that sum to 1 along `axis`, of x's shape."""
    return Softmax(axis)(x)


def softmax_of(x, axis):
    """Softmax of a plain array."""
    e = get_array_module(x).exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
