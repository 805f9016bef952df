"""Arrays joined along an axis.   The gradient of each is its own part of g."""

from collections.abc import Sequence

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class Concat(Function):
    op = "concat"

    def __init__(self, axis):
        self.axis = axis

    def forward(self, *arrays):
        xp = get_array_module(*arrays)
        self.lengths = [a.shape[self.axis] for a in arrays]
        try:
            return xp.concatenate(arrays, axis=self.axis)
        except ValueError:
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise ValueError(f"concat: shapes {shapes} differ elsewhere than on axis {self.axis}") from None

    def backward(self, g):
        grads, start = [], 0
        for length in self.lengths:
            index = [slice(None)] * g.ndim
            index[self.axis] = slice(start, start + length)
            grads.append(g[tuple(index)])
            start += length
        return tuple(grads)


def concat(tensors: Sequence[Tensor], axis: int = 1) -> Tensor:
    """Join tensors along `axis`; they must agree on all others."""
    return Concat(axis)(*tensors)
