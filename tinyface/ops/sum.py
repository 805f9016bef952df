"""y = Σ x over some axes.   ∂L/∂x = g repeated along them."""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class Sum(Function):
    op = "sum"

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.shape = x.shape
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, g):
        return repeat(g, self.shape, self.axis, self.keepdims)


def sum(x: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over an axis, several, or all."""
    return Sum(axis, keepdims)(x)


def repeat(g, shape, axis, keepdims):
    """The gradient of a sum: g (reduced over `axis`) repeated to `shape`."""
    xp = get_array_module(g)
    if axis is not None and not keepdims:
        g = xp.expand_dims(g, axis)
    return xp.broadcast_to(g, shape)
