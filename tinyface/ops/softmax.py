"""Softmax along an axis.

    y_k = e^{x_k} / Σ_j e^{x_j},        ∂L/∂x_k = y_k·(g_k − Σ_j g_j·y_j)

The maximum is subtracted first: y does not change, and nothing overflows.
"""

from .. import backend
from ..core import Function


class Softmax(Function):
    op = "softmax"

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        self.y = softmax_array(x, self.axis)
        return self.y

    def backward(self, g):
        return self.y * (g - (g * self.y).sum(axis=self.axis, keepdims=True))


def softmax(x, axis=1):
    """Positive numbers that sum to 1 along `axis`, of x's shape."""
    return Softmax(axis)(x)


def softmax_array(x, axis):
    """Softmax of a plain array."""
    xp = backend.get_array_module(x)
    y = x - x.max(axis=axis, keepdims=True)
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y
