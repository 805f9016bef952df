"""y = max(x, 0),   ∂L/∂x = g where x > 0, else 0."""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor

KERNELS = Path(__file__).with_suffix(".cu")


class ReLU(Function):
    op = "relu"

    def forward(self, x):
        backend.need_float(self.op, x)
        self.y = backend.get_array_module(x).maximum(x, 0)
        return self.y

    def backward(self, g):
        if backend.on_gpu(g):
            return self._backward_gpu(g)
        return g * (self.y > 0)

    def _backward_gpu(self, g):
        """In one kernel: as array expressions it would be two, with a mask between them."""
        y, g = backend.contiguous(self.y), backend.contiguous(g)
        dx = backend.get_array_module(y).empty_like(y)
        kernel = backend.load_kernels(KERNELS, y.dtype).get_function("relu_backward")
        backend.launch(kernel, y.size, y, g, dx, np.int64(y.size))
        return dx


def relu(x: Tensor) -> Tensor:
    """Element-wise maximum of x and 0."""
    return ReLU()(x)
