"""Softmax along an axis.

    y_k = e^{x_k} / Σ_j e^{x_j},        ∂L/∂x_k = y_k·(g_k − Σ_j g_j·y_j)

The maximum is subtracted first: y does not change, and nothing overflows.
"""

import math
from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from ._old_pooling import for_rows


class Softmax(Function):
    op = "softmax"

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        backend.need_float(self.op, x)
        if not x.size:  # which has no maximum
            self.y = x
        elif backend.on_gpu(x):
            self.y = self.run("softmax", x)
        elif x.ndim == 4 and self.axis == 1:
            self.y = softmax_of_maps(x)
        else:
            self.y = x - x.max(axis=self.axis, keepdims=True)
            np.exp(self.y, out=self.y)
            self.y /= self.y.sum(axis=self.axis, keepdims=True)
        return self.y

    def backward(self, g):
        if backend.on_gpu(g):
            return self.run("softmax_backward", g, self.y)
        return self.y * (g - (g * self.y).sum(axis=self.axis, keepdims=True))

    def run(self, name, *arrays):
        """A kernel of softmax.cu on arrays of one shape, seen as (outer, classes, inner); → another such array."""
        arrays = [backend.contiguous(a) for a in arrays]
        result = backend.cupy().empty_like(arrays[0])
        shape, axis = result.shape, range(result.ndim)[self.axis]
        inner = math.prod(shape[axis + 1 :])
        positions = math.prod(shape[:axis]) * inner if result.size else 0
        kernel = backend.load_kernels(Path(__file__).with_suffix(".cu"), result.dtype).get_function(name)
        sizes = np.int32(shape[axis]), np.int64(inner), np.int64(positions)
        backend.launch(kernel, positions, *arrays, result, *sizes)
        return result


def softmax(x: Tensor, axis: int = 1) -> Tensor:
    """Positive numbers that sum to 1 along `axis`, of x's shape."""
    return Softmax(axis)(x)


def softmax_of_maps(x):
    """Softmax of a plain array (N, C, H, W) over its channels."""
    x = backend.as_hwnc(x)
    y = backend.empty_like(x)

    def piece(rows):
        planes = class_planes(x[rows])
        np.exp(planes, out=planes)
        planes /= planes.sum(axis=0)
        y[rows] = planes.T.reshape(y[rows].shape)

    for_rows(piece, len(x), 2 * x[0].nbytes)
    return backend.as_nchw(y)


def class_planes(x):
    """x (…, C) less its maximum over C, as scratch memory (C, positions).

    So a sum over the classes adds a few long rows, which is what NumPy is fast at; in x they are many short ones.
    """
    x = x.reshape(-1, x.shape[-1])
    planes = backend.scratch("softmax.planes", x.shape[::-1], x.dtype)
    planes[...] = x.T
    planes -= planes.max(axis=0)
    return planes
