"""The sigmoid on a GPU: forward and backward as one kernel each (sigmoid.cu)."""

from pathlib import Path

import numpy as np

from ...ops.sigmoid import Sigmoid
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")


@register(Sigmoid, "cuda")
class SigmoidCuda(Sigmoid):
    def forward(self, x):
        self.y = self._launch("sigmoid", x)
        return self.y

    def backward(self, g):
        return self._launch("sigmoid_backward", g, self.y)

    def _launch(self, name, *arrays):
        result = cupy().empty_like(arrays[0])
        kernel = load_kernels(KERNELS, result.dtype).get_function(name)
        launch(kernel, result.size, *arrays, result, np.int64(result.size))
        return result
