"""Sigmoid (binary) cross-entropy on logits, averaged over all elements.

    ℓ = −[w·t·log σ(x) + (1 − t)·log(1 − σ(x))],        L = mean of ℓ
    ∂ℓ/∂x = (1 − t)·σ(x) − w·t·(1 − σ(x))

with targets t in [0, 1] and positive weights w (1 unless given). In the stable form, with
softplus(−x) = log(1 + e^{−|x|}) + max(−x, 0):   ℓ = (1 − t)·x + (1 + (w − 1)·t)·softplus(−x).
"""

import numpy as np

from ..core import Function, Tensor
from ..runtime.devices import get_array_module
from .sigmoid import logistic


class SigmoidCrossEntropy(Function):
    op = "sigmoid_cross_entropy"
    computes_in_float = True

    def __init__(self, targets, pos_weight):
        self.targets, self.pos_weight = targets, pos_weight

    def check(self, x):
        if self.targets.shape != x.shape:
            raise ValueError(
                f"sigmoid_cross_entropy: logits of shape {x.shape} need targets of the same shape, "
                f"got {self.targets.shape}"
            )

    def forward(self, x):
        xp = get_array_module(x)
        t = xp.asarray(self.targets, x.dtype)
        w = 1 if self.pos_weight is None else xp.asarray(self.pos_weight, x.dtype)
        softplus = xp.log1p(xp.exp(-xp.abs(x))) + xp.maximum(-x, 0)
        loss = (1 - t) * x + (1 + (w - 1) * t) * softplus
        s = logistic(x)
        self.gradient = ((1 - t) * s - w * t * (1 - s)) / x.size
        return loss.mean()

    def backward(self, g):
        return self.gradient * g


def sigmoid_cross_entropy(x: Tensor, targets: np.ndarray, pos_weight: np.ndarray | None = None) -> Tensor:
    """Mean binary cross-entropy of logits x against targets, an array of x's shape; → scalar.

    pos_weight: array that broadcasts to x, e.g. (40,): how much more a positive counts, (1 − p)/p to balance.
    """
    return SigmoidCrossEntropy(targets, pos_weight)(x)
