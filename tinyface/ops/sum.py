"""y = Σ x over some axes.   ∂L/∂x = g repeated along them."""

from .. import backend
from ..core import Function, Tensor


class Sum(Function):
    op = "sum"

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        xp = backend.get_array_module(x)
        self.shape = x.shape
        return xp.asarray(x.sum(axis=self.axis, keepdims=self.keepdims))

    def backward(self, g):
        return repeat(g, self.shape, self.axis, self.keepdims)


def sum(x: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over an axis, several, or all."""
    return Sum(axis, keepdims)(x)


def repeat(g, shape, axis, keepdims):
    """The gradient of a sum: g (reduced over `axis`) repeated to `shape`."""
    xp = backend.get_array_module(g)
    if axis is not None and not keepdims:
        g = xp.expand_dims(g, axis)
    return xp.broadcast_to(g, shape)
