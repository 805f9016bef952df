"""y = max(x, 0),   ∂L/∂x = g where x > 0, else 0."""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class ReLU(Function):
    op = "relu"
    computes_in_float = True

    def forward(self, x):
        self.y = get_array_module(x).maximum(x, 0)
        return self.y

    def backward(self, g):
        return g * (self.y > 0)


def relu(x: Tensor) -> Tensor:
    """Element-wise maximum of x and 0."""
    return ReLU()(x)
