"""A part of a tensor by slices and integers.   The gradient is g in that part and 0 elsewhere."""

from ..core import Function, Index, Tensor
from ..runtime.devices import get_array_module


class GetItem(Function):
    op = "getitem"

    def __init__(self, index):
        self.index = index if isinstance(index, tuple) else (index,)
        if any(not (i is Ellipsis or isinstance(i, slice | int)) for i in self.index):
            raise TypeError(f"getitem: only slices, integers and … are understood, got {index}")

    def forward(self, x):
        self.x = x
        return x[self.index]

    def backward(self, g):
        dx = get_array_module(g).zeros_like(self.x, dtype=g.dtype)  # in the memory order of x
        dx[self.index] = g
        return dx


def getitem(x: Tensor, index: Index) -> Tensor:
    """x[index], for slices, integers and …; written `x[:, 2:5]` on tensors."""
    return GetItem(index)(x)
