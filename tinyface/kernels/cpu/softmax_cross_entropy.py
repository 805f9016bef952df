"""Softmax cross-entropy: loss and gradient in one pass over each block, while it is in the cache."""

import numpy as np

from ...ops.softmax_cross_entropy import SoftmaxCrossEntropy
from ...runtime.dispatch import register
from ...runtime.memory import contiguous, contiguous_copy, empty, empty_like
from .blocks import for_row_blocks
from .softmax import class_planes


@register(SoftmaxCrossEntropy, "cpu")
class SoftmaxCrossEntropyCpu(SoftmaxCrossEntropy):
    def forward(self, x):
        labels, _, m = self.checked_labels(x)
        # The batch behind the positions, the classes last, as maps lie in memory: there it is a view.
        x = contiguous(np.moveaxis(x, (0, 1), (-2, -1)))
        labels, ignore = contiguous_copy(np.moveaxis(labels, 0, -1)), self.ignore
        gradient = empty_like(x)
        losses = empty(len(x))
        losses[...] = 0

        def block(rows):
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

        for_row_blocks(block, len(x), 2 * x[0].nbytes)
        self.gradient = gradient
        return np.asarray(losses.sum() / m, dtype=x.dtype)

    def backward(self, g):
        dx = np.multiply(self.gradient, g, out=self.gradient)
        return np.moveaxis(dx, (-2, -1), (0, 1))
