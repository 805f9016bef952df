"""Sigmoid (binary) cross-entropy on logits, averaged over all elements.

    ℓ = −[w·t·log σ(x) + (1 − t)·log(1 − σ(x))],        L = mean of ℓ
    ∂ℓ/∂x = (1 − t)·σ(x) − w·t·(1 − σ(x))

with targets t in [0, 1] and positive weights w (1 unless given). In the stable form, with
softplus(−x) = log(1 + e^{−|x|}) + max(−x, 0):   ℓ = (1 − t)·x + (1 + (w − 1)·t)·softplus(−x).
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from .sigmoid import logistic

BLOCK, MOST_BLOCKS = 256, 1024  # of the kernels that sum; BLOCK as in the .cu file


class SigmoidCrossEntropy(Function):
    op = "sigmoid_cross_entropy"

    def __init__(self, targets, pos_weight):
        self.targets, self.pos_weight = targets, pos_weight

    def forward(self, x):
        if self.targets.shape != x.shape:
            raise ValueError(
                f"sigmoid_cross_entropy: logits of shape {x.shape} need targets of the same shape, "
                f"got {self.targets.shape}"
            )
        backend.need_float(self.op, x)
        if backend.on_gpu(x):
            return self.forward_gpu(x)
        t = self.targets.astype(x.dtype)
        w = 1 if self.pos_weight is None else np.asarray(self.pos_weight, dtype=x.dtype)
        softplus = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, 0)
        loss = (1 - t) * x + (1 + (w - 1) * t) * softplus
        s = logistic(x)
        self.gradient = ((1 - t) * s - w * t * (1 - s)) / x.size
        return loss.mean()

    def forward_gpu(self, x):
        cupy = backend.cupy()
        self.x, targets = (backend.contiguous(cupy.asarray(a, x.dtype)) for a in (x, self.targets))
        weights, period = None, 1
        if self.pos_weight is not None:
            weights = cupy.asarray(self.pos_weight, x.dtype)
            if weights.shape != x.shape[x.ndim - weights.ndim :]:
                weights = cupy.broadcast_to(weights, x.shape)
            weights, period = backend.contiguous(weights), max(weights.size, 1)
        self.arguments = self.x, targets, weights, np.int64(period), np.int64(x.size)
        blocks = min(max(-(-x.size // BLOCK), 1), MOST_BLOCKS)
        losses, mean = cupy.empty(blocks, np.float64), cupy.empty((), x.dtype)
        backend.launch(self.kernel(self.op), blocks * BLOCK, *self.arguments, losses, block=BLOCK)
        backend.launch(
            self.kernel("finish"), BLOCK, losses, np.int32(blocks), np.int64(x.size), mean, block=BLOCK
        )
        return mean

    def backward_gpu(self, g):
        dx = backend.cupy().empty_like(self.x)
        kernel = self.kernel("sigmoid_cross_entropy_backward")
        backend.launch(kernel, dx.size, *self.arguments, g, dx, block=BLOCK)
        return dx

    def kernel(self, name):
        return backend.load_kernels(Path(__file__).with_suffix(".cu"), self.x.dtype).get_function(name)

    def backward(self, g):
        if backend.on_gpu(g):
            return self.backward_gpu(g)
        return self.gradient * g


def sigmoid_cross_entropy(x: Tensor, targets: np.ndarray, pos_weight: np.ndarray | None = None) -> Tensor:
    """Mean binary cross-entropy of logits x against targets, an array of x's shape; → scalar.

    pos_weight: array that broadcasts to x, e.g. (40,): how much more a positive counts, (1 − p)/p to balance.
    """
    return SigmoidCrossEntropy(targets, pos_weight)(x)
