"""Sigmoid cross-entropy on a GPU (sigmoid_cross_entropy.cu): blocks add up their losses, a last block adds these."""

from pathlib import Path

import numpy as np

from ...ops.sigmoid_cross_entropy import SigmoidCrossEntropy
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register
from ...runtime.memory import contiguous

KERNELS = Path(__file__).with_suffix(".cu")
BLOCK = 256  # threads, as in the .cu file
MOST_BLOCKS = 1024


@register(SigmoidCrossEntropy, "cuda")
class SigmoidCrossEntropyCuda(SigmoidCrossEntropy):
    def forward(self, x):
        xp, self.x = cupy(), x
        targets = contiguous(xp.asarray(self.targets, x.dtype))
        weights, period = None, 1
        if self.pos_weight is not None:
            weights = xp.asarray(self.pos_weight, x.dtype)
            if weights.shape != x.shape[x.ndim - weights.ndim :]:
                weights = xp.broadcast_to(weights, x.shape)
            weights, period = contiguous(weights), weights.size
        self.arguments = x, targets, weights, np.int64(period), np.int64(x.size)
        blocks = min(-(-x.size // BLOCK), MOST_BLOCKS)
        losses, mean = xp.empty(blocks, np.float64), xp.empty((), x.dtype)
        launch(self._kernel(self.op), blocks * BLOCK, *self.arguments, losses, block=BLOCK)
        numbers = np.int32(blocks), np.int64(x.size)
        launch(self._kernel("add_blocks"), BLOCK, losses, *numbers, mean, block=BLOCK)
        return mean

    def backward(self, g):
        dx = cupy().empty_like(self.x)
        kernel = self._kernel("sigmoid_cross_entropy_backward")
        launch(kernel, dx.size, *self.arguments, g, dx, block=BLOCK)
        return dx

    def _kernel(self, name):
        return load_kernels(KERNELS, self.x.dtype).get_function(name)
