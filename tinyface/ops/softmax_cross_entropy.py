"""Softmax cross-entropy against class labels, averaged over all labelled positions.

    L = −(1/M) Σ_{positions with label t ≠ ignore} log softmax(x)_t
    ∂L/∂x_k = (softmax(x)_k − [k = t]) / M,      0 where the label is `ignore`

M counts the positions that are not ignored; with none, loss and gradient are 0. Value and gradient are made
in one pass over each image, while it is in the cache.
"""

import numpy as np

from .. import backend
from ..core import Function
from .softmax import softmax_array


class SoftmaxCrossEntropy(Function):
    op = "softmax_cross_entropy"

    def __init__(self, labels, ignore):
        self.labels, self.ignore = labels, ignore

    def forward(self, x):
        backend.need_cpu(self.op, x)
        labels, classes = self.labels, x.shape[1]
        if labels.shape != x.shape[:1] + x.shape[2:]:
            raise ValueError(
                f"softmax_cross_entropy: logits of shape {x.shape} need labels of shape "
                f"{x.shape[:1] + x.shape[2:]}, got {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise TypeError(f"softmax_cross_entropy: labels must be integers, got {labels.dtype}")
        counted = labels != self.ignore
        wrong = counted & ((labels < 0) | (labels >= classes))
        if wrong.any():
            raise ValueError(
                f"softmax_cross_entropy: label {labels[wrong][0]} is neither 0…{classes - 1} nor ignore={self.ignore}"
            )
        m = max(int(counted.sum()), 1)
        self.gradient = np.empty_like(x)
        losses = np.empty(len(x), np.float64)

        def image(i):
            probability = softmax_array(x[i], axis=0)
            target = np.where(counted[i], labels[i], 0)[None].astype(np.intp)
            chosen = np.take_along_axis(x[i], target, axis=0)
            top = x[i].max(axis=0, keepdims=True)
            log_total = np.log(np.exp(x[i] - top).sum(axis=0, keepdims=True))
            losses[i] = np.where(counted[i], top + log_total - chosen, 0).sum(dtype=np.float64)
            at_target = np.take_along_axis(probability, target, axis=0) - 1
            np.put_along_axis(probability, target, at_target, axis=0)
            np.multiply(probability, counted[i] / np.asarray(m, x.dtype), out=self.gradient[i])

        backend.parallel_for(image, len(x))
        return np.asarray(losses.sum() / m, dtype=x.dtype)

    def backward(self, g):
        return self.gradient * g


def softmax_cross_entropy(x, labels, ignore=-1):
    """Mean cross-entropy of logits x (N, C, …) against integer labels (N, …), an array; → scalar.

    Raises ValueError for a label that is neither a class nor `ignore`.
    """
    return SoftmaxCrossEntropy(labels, ignore)(x)
