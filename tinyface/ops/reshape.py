"""The same elements in another shape.   ∂L/∂x = g in x's shape."""

from ..core import Function, Tensor


class Reshape(Function):
    op = "reshape"

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        self.before = x.shape
        try:
            return x.reshape(self.shape)
        except ValueError:
            raise ValueError(
                f"reshape: {x.size} elements of shape {x.shape} don't fill {self.shape}"
            ) from None

    def backward(self, g):
        return g.reshape(self.before)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x in the given shape; one length may be −1."""
    return Reshape(tuple(shape))(x)
