"""y = a + b with broadcasting.   ∂L/∂a = g, ∂L/∂b = g, each summed over the axes along which it was repeated."""

from ..core import Function, Operand, Tensor


class Add(Function):
    op = "add"

    def check(self, a, b):
        check_broadcast(self.op, a, b)

    def forward(self, a, b):
        self.shapes = a.shape, b.shape
        return a + b

    def backward(self, g):
        return tuple(sum_to(g, shape) for shape in self.shapes)


def add(a: Operand, b: Operand) -> Tensor:
    """Element-wise sum; b or a may be a number or broadcast to the other."""
    return Add()(a, b)


def check_broadcast(op, a, b):
    for i, j in zip(a.shape[::-1], b.shape[::-1], strict=False):
        if i != j and 1 not in (i, j):
            raise ValueError(f"{op}: shapes {a.shape} and {b.shape} don't broadcast")


def sum_to(g, shape):
    """The gradient of broadcasting `shape` to g's shape: g summed over every repeated axis."""
    if g.shape == shape:
        return g
    added = g.ndim - len(shape)
    repeated = tuple(i + added for i, length in enumerate(shape) if length == 1)
    return g.sum(axis=(*range(added), *repeated), keepdims=True).reshape(shape)
