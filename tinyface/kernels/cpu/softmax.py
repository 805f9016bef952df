"""Softmax over the channels of feature maps, in blocks of rows; the classes as planes."""

import numpy as np

from ...ops.softmax import Softmax
from ...runtime.dispatch import register
from ...runtime.layout import as_hwnc, as_nchw
from ...runtime.memory import empty_like, scratch
from .blocks import for_row_blocks


@register(Softmax, "cpu")
class SoftmaxCpu(Softmax):
    def supports(self, x):
        return x.ndim == 4 and self.axis == 1

    def forward(self, x):
        x = as_hwnc(x)
        y = empty_like(x)

        def block(rows):
            planes = class_planes(x[rows])
            np.exp(planes, out=planes)
            planes /= planes.sum(axis=0)
            y[rows] = planes.T.reshape(y[rows].shape)

        for_row_blocks(block, len(x), 2 * x[0].nbytes)
        self.y = as_nchw(y)
        return self.y


def class_planes(x):
    """x (…, C) less its maximum over C, as scratch memory (C, positions).

    So a sum over the classes adds a few long rows, which is what NumPy is fast at; in x they are many short ones.
    """
    x = x.reshape(-1, x.shape[-1])
    planes = scratch("softmax.planes", x.shape[::-1], x.dtype)
    planes[...] = x.T
    planes -= planes.max(axis=0)
    return planes
