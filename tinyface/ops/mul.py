"""y = a·b with broadcasting.   ∂L/∂a = g·b, ∂L/∂b = g·a, each summed over the axes along which it was repeated."""

from ..core import Function, Operand, Tensor
from .add import check_broadcast, sum_to


class Mul(Function):
    op = "mul"

    def check(self, a, b):
        check_broadcast(self.op, a, b)

    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, g):
        da = sum_to(g * self.b, self.a.shape) if self.needs_grad[0] else None
        db = sum_to(g * self.a, self.b.shape) if self.needs_grad[1] else None
        return da, db


def mul(a: Operand, b: Operand) -> Tensor:
    """Element-wise product; b or a may be a number or broadcast to the other."""
    return Mul()(a, b)
