"""Softmax cross-entropy against class labels, averaged over all labelled positions.

    L = −(1/M) Σ_{positions with label t ≠ ignore} log softmax(x)_t
    ∂L/∂x_k = (softmax(x)_k − [k = t]) / M,      0 where the label is `ignore`

M counts the positions that are not ignored; with none, loss and gradient are 0.
"""

import numpy as np

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class SoftmaxCrossEntropy(Function):
    op = "softmax_cross_entropy"
    computes_in_float = True

    def __init__(self, labels, ignore):
        self.labels, self.ignore = labels, ignore

    def check(self, x):
        expected = x.shape[:1] + x.shape[2:]
        if self.labels.shape != expected:
            need = f"logits of shape {x.shape} need labels of shape {expected}"
            raise ValueError(f"softmax_cross_entropy: {need}, got {self.labels.shape}")
        if self.labels.dtype.kind not in "iu":
            raise TypeError(f"softmax_cross_entropy: labels must be integers, got {self.labels.dtype}")

    def forward(self, x):
        xp = get_array_module(x)
        labels, counted, m = self.checked_labels(x)
        one_hot = labels[:, None] == xp.arange(x.shape[1]).reshape(-1, *[1] * (x.ndim - 2))  # [k = t]
        shifted = x - x.max(axis=1, keepdims=True)  # softmax does not change, and nothing overflows
        log_softmax = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
        self.gradient = xp.where(counted[:, None], xp.exp(log_softmax) - one_hot, 0) / m
        return -xp.where(counted[:, None] & one_hot, log_softmax, 0).sum() / m

    def checked_labels(self, x):
        """The labels, which of them count, and how many. Raises ValueError for one that is no class of x."""
        xp, labels = get_array_module(x), self.labels
        if labels.dtype == np.uint64:
            labels = xp.minimum(labels, np.iinfo(np.int64).max)  # or the largest would become −1
        labels = xp.asarray(labels).astype(np.int64)  # as NumPy 2.2 may crash comparing bytes with −1
        counted = labels != self.ignore
        wrong = counted & ((labels < 0) | (labels >= x.shape[1]))
        if wrong.any():
            valid = f"neither 0…{x.shape[1] - 1} nor ignore={self.ignore}"
            raise ValueError(f"softmax_cross_entropy: label {int(labels[wrong][0])} is {valid}")
        return labels, counted, max(int(counted.sum()), 1)

    def backward(self, g):
        return self.gradient * g


def softmax_cross_entropy(x: Tensor, labels: np.ndarray, ignore: int = -1) -> Tensor:
    """Mean cross-entropy of logits x (N, C, …) against integer labels (N, …), an array; → scalar.

    Raises ValueError for a label that is neither a class nor `ignore`; the CUDA kernel, which does not wait for the
    device, makes the loss NaN.
    """
    return SoftmaxCrossEntropy(labels, ignore)(x)
