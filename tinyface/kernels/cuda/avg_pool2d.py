"""Average pooling on a GPU (avg_pool2d.cu)."""

from ...ops.avg_pool2d import AvgPool2d
from ...runtime.dispatch import register
from .pooling import pool, pool_backward


@register(AvgPool2d, "cuda")
class AvgPool2dCuda(AvgPool2d):
    def forward(self, x):
        self.shape = x.shape
        return pool(self, x)

    def backward(self, g):
        return pool_backward(self, self.shape, g)
