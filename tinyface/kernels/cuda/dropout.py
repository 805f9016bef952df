"""Dropout on a GPU (dropout.cu): the host sends one byte for each element."""

from pathlib import Path

import numpy as np

from ...ops.dropout import Dropout
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy, to_device
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")


@register(Dropout, "cuda")
class DropoutCuda(Dropout):
    def forward(self, x):
        self.keep = to_device(self.draw(x.shape), "cuda")
        return self._apply(x)

    def backward(self, g):
        return self._apply(g)

    def _apply(self, x):
        y, one = cupy().empty_like(x), x.dtype.type(1)
        kernel = load_kernels(KERNELS, x.dtype).get_function("dropout")
        launch(kernel, x.size, x, self.keep, y, one / x.dtype.type(1 - self.p), np.int64(x.size))
        return y
