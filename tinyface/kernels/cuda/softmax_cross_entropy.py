"""Softmax cross-entropy on a GPU (softmax_cross_entropy.cu). A label that is no class makes the loss NaN."""

import math
from pathlib import Path

import numpy as np

from ...ops.softmax_cross_entropy import SoftmaxCrossEntropy
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register
from ...runtime.memory import contiguous

KERNELS = Path(__file__).with_suffix(".cu")
BLOCK = 256  # threads, as in the .cu file
MOST_BLOCKS = 1024


@register(SoftmaxCrossEntropy, "cuda")
class SoftmaxCrossEntropyCuda(SoftmaxCrossEntropy):
    def forward(self, x):
        xp = cupy()
        labels = contiguous(xp.asarray(self.labels))
        label_type = labels.dtype.itemsize * (-1 if labels.dtype.kind == "i" else 1)
        classes, pixels = x.shape[1], math.prod(x.shape[2:])
        self.x, self.positions = x, labels.size
        numbers = np.int64(self.ignore), np.int32(classes), np.int64(pixels), np.int64(labels.size)
        self.arguments = self.x, labels, np.int32(label_type), *numbers
        blocks = min(-(-labels.size // BLOCK), MOST_BLOCKS)
        losses, counts = xp.empty(blocks, np.float64), xp.empty(blocks, np.int64)
        mean, self.weight_of_one = xp.empty((), x.dtype), xp.empty((), x.dtype)
        launch(self._kernel(self.op), blocks * BLOCK, *self.arguments, losses, counts, block=BLOCK)
        launch(
            self._kernel("add_blocks"),
            BLOCK,
            losses,
            counts,
            np.int32(blocks),
            mean,
            self.weight_of_one,
            block=BLOCK,
        )
        return mean

    def backward(self, g):
        dx = cupy().empty_like(self.x)
        kernel = self._kernel("softmax_cross_entropy_backward")
        launch(kernel, self.positions, *self.arguments, g, self.weight_of_one, dx, block=BLOCK)
        return dx

    def _kernel(self, name):
        return load_kernels(KERNELS, self.x.dtype).get_function(name)
