"""Max pooling on a GPU (max_pool2d.cu)."""

from ...ops.max_pool2d import MaxPool2d
from ...runtime.devices import cupy
from ...runtime.dispatch import register
from .pooling import pool, pool_backward


@register(MaxPool2d, "cuda")
class MaxPool2dCuda(MaxPool2d):
    def supports(self, x):
        return self.kernel <= 15  # the number of the largest cell is kept in one byte

    def forward(self, x):
        self.shape = x.shape
        self.argmax = cupy().empty((*x.shape[:2], *self.out), "u1") if self.needs_grad[0] else None
        return pool(self, x, self.argmax)

    def backward(self, g):
        return pool_backward(self, self.shape, g, self.argmax)
