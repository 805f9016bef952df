"""Softmax on a GPU (softmax.cu): a thread for each position, the classes one after the other."""

import math
from pathlib import Path

import numpy as np

from ...ops.softmax import Softmax
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")


@register(Softmax, "cuda")
class SoftmaxCuda(Softmax):
    def forward(self, x):
        self.y = self._launch("softmax", x)
        return self.y

    def backward(self, g):
        return self._launch("softmax_backward", g, self.y)

    def _launch(self, name, *arrays):
        """A kernel on arrays of one shape, seen as (outer, classes, inner); → another such array."""
        result = cupy().empty_like(arrays[0])
        shape, axis = result.shape, range(result.ndim)[self.axis]
        inner = math.prod(shape[axis + 1 :])
        positions = math.prod(shape[:axis]) * inner
        kernel = load_kernels(KERNELS, result.dtype).get_function(name)
        launch(
            kernel, positions, *arrays, result, np.int32(shape[axis]), np.int64(inner), np.int64(positions)
        )
        return result
