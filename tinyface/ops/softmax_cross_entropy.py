"""Softmax cross-entropy against class labels, averaged over all labelled positions.

    L = −(1/M) Σ_{positions with label t ≠ ignore} log softmax(x)_t
    ∂L/∂x_k = (softmax(x)_k − [k = t]) / M,      0 where the label is `ignore`

M counts the positions that are not ignored; with none, loss and gradient are 0. On the CPU value and gradient are
made in one pass over each piece, while it is in the cache. On a GPU nothing waits for the device, so a label that is
no class raises no error there: it makes the loss NaN.
"""

import math
from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from .max_pool2d import for_rows
from .softmax import class_planes

BLOCK, MOST_BLOCKS = 256, 1024  # of the kernels that sum; BLOCK as in the .cu file


class SoftmaxCrossEntropy(Function):
    op = "softmax_cross_entropy"

    def __init__(self, labels, ignore):
        self.labels, self.ignore = labels, ignore

    def forward(self, x):
        labels, classes = self.labels, x.shape[1]
        if labels.shape != x.shape[:1] + x.shape[2:]:
            raise ValueError(
                f"softmax_cross_entropy: logits of shape {x.shape} need labels of shape "
                f"{x.shape[:1] + x.shape[2:]}, got {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise TypeError(f"softmax_cross_entropy: labels must be integers, got {labels.dtype}")
        backend.need_float(self.op, x)
        if backend.on_gpu(x):
            return self.forward_gpu(x)
        labels = labels.astype(np.int64)  # as NumPy 2.2 may crash comparing bytes with −1
        counted = labels != self.ignore
        wrong = counted & ((labels < 0) | (labels >= classes))
        if wrong.any():
            raise ValueError(
                f"softmax_cross_entropy: label {labels[wrong][0]} is neither 0…{classes - 1} nor ignore={self.ignore}"
            )
        m = max(np.count_nonzero(counted), 1)
        # The batch behind the positions, the classes last, as maps lie in memory: there it is a view.
        x = backend.contiguous(np.moveaxis(x, (0, 1), (-2, -1)))
        labels, ignore = backend.share(np.moveaxis(labels, 0, -1)), self.ignore
        gradient = backend.empty_like(x)
        losses = backend.empty(len(x))
        losses[...] = 0

        def piece(rows):
            planes = class_planes(x[rows])
            target = labels[rows].reshape(-1).astype(np.intp)
            ignored = target == ignore
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
        self.gradient = gradient
        return np.asarray(losses.sum() / m, dtype=x.dtype)

    def forward_gpu(self, x):
        cupy = backend.cupy()
        labels = backend.contiguous(cupy.asarray(self.labels))
        label_type = labels.dtype.itemsize * (-1 if labels.dtype.kind == "i" else 1)
        classes, pixels = x.shape[1], math.prod(x.shape[2:])
        self.x, self.positions = backend.contiguous(x), labels.size
        numbers = np.int64(self.ignore), np.int32(classes), np.int64(pixels), np.int64(labels.size)
        self.arguments = self.x, labels, np.int32(label_type), *numbers
        blocks = min(max(-(-labels.size // BLOCK), 1), MOST_BLOCKS)
        losses, counts = cupy.empty(blocks, np.float64), cupy.empty(blocks, np.int64)
        mean, self.share = cupy.empty((), x.dtype), cupy.empty((), x.dtype)
        backend.launch(self.kernel(self.op), blocks * BLOCK, *self.arguments, losses, counts, block=BLOCK)
        backend.launch(
            self.kernel("finish"), BLOCK, losses, counts, np.int32(blocks), mean, self.share, block=BLOCK
        )
        return mean

    def backward_gpu(self, g):
        dx = backend.cupy().empty_like(self.x)
        kernel = self.kernel("softmax_cross_entropy_backward")
        backend.launch(kernel, self.positions, *self.arguments, g, self.share, dx, block=BLOCK)
        return dx

    def kernel(self, name):
        return backend.load_kernels(Path(__file__).with_suffix(".cu"), self.x.dtype).get_function(name)

    def backward(self, g):
        if backend.on_gpu(g):
            return self.backward_gpu(g)
        dx = np.multiply(self.gradient, g, out=self.gradient)
        return np.moveaxis(dx, (-2, -1), (0, 1))


def softmax_cross_entropy(x: Tensor, labels: np.ndarray, ignore: int = -1) -> Tensor:
    """Mean cross-entropy of logits x (N, C, …) against integer labels (N, …), an array; → scalar.

    Raises ValueError for a label that is neither a class nor `ignore`; on a GPU the loss is NaN then.
    """
    return SoftmaxCrossEntropy(labels, ignore)(x)
