"""y = (1/m) Σ x over some axes, m elements each.   ∂L/∂x = g/m repeated along them."""

from ..core import Function, Tensor
from .sum import repeat


class Mean(Function):
    op = "mean"

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        y = x.mean(axis=self.axis, keepdims=self.keepdims)
        self.shape, self.m = x.shape, x.size // max(y.size, 1)
        return y

    def backward(self, g):
        return repeat(g / self.m, self.shape, self.axis, self.keepdims)


def mean(x: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Mean over an axis, several, or all."""
    return Mean(axis, keepdims)(x)
