"""Softmax cross-entropy against class labels, averaged over all labelled positions.

    L = −(1/M) Σ_{positions with label t ≠ ignore} log softmax(x)_t
    ∂L/∂x_k = (softmax(x)_k − [k = t]) / M,      0 where the label is `ignore`

M counts the positions that are not ignored; with none, loss and gradient are 0. Value and gradient are made
in one pass over each piece, while it is in the cache.
"""

import numpy as np

from .. import backend
from ..core import Function
from .max_pool2d import for_rows
from .softmax import class_planes


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
        m = max(np.count_nonzero(counted), 1)
        # The batch behind the positions, the classes last, as maps lie in memory: there it is a view.
        x, labels = np.ascontiguousarray(np.moveaxis(x, (0, 1), (-2, -1))), np.moveaxis(labels, 0, -1)
        gradient = np.empty_like(x)
        losses = np.zeros(len(x))

        def piece(rows):
            planes = class_planes(x[rows])
            target = labels[rows].reshape(-1).astype(np.intp)
            ignored = target == self.ignore
            np.putmask(target, ignored, 0)
            target *= len(target)
            target += np.arange(len(target))  # where in memory the planes have each position's own class
            memory = planes.reshape(-1)
            loss = memory.take(target)
            np.exp(planes, out=planes)
            total = planes.sum(axis=0)
            np.subtract(np.log(total), loss, out=loss)
            np.putmask(loss, ignored, 0)
            losses[rows.start] = loss.sum(dtype=np.float64)
            weight = np.full_like(total, 1 / m)
            np.putmask(weight, ignored, 0)
            planes *= weight / total
            memory[target] -= weight
            gradient[rows] = planes.T.reshape(gradient[rows].shape)

        for_rows(piece, len(x), 2 * x[0].nbytes if len(x) else 0)
        self.gradient = np.moveaxis(gradient, (-2, -1), (0, 1))
        return np.asarray(losses.sum() / m, dtype=x.dtype)

    def backward(self, g):
        return self.gradient * g


def softmax_cross_entropy(x, labels, ignore=-1):
    """Mean cross-entropy of logits x (N, C, …) against integer labels (N, …), an array; → scalar.

    Raises ValueError for a label that is neither a class nor `ignore`.
    """
    return SoftmaxCrossEntropy(labels, ignore)(x)
