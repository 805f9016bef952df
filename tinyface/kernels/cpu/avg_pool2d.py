"""Average pooling over rows of windows, as max pooling is done."""

import numpy as np

from ...ops.avg_pool2d import AvgPool2d
from ...runtime.dispatch import register
from ...runtime.layout import as_nchw
from ...runtime.memory import empty, scratch
from .blocks import as_rows, for_row_blocks
from .padding import pad_rows
from .pooling import add_contributions, reduce_windows, window_views


@register(AvgPool2d, "cpu")
class AvgPool2dCpu(AvgPool2d):
    def forward(self, x):
        k, s, (out_h, out_w) = self.kernel, self.stride, self.out
        n, c, h, w = self.shape = x.shape
        cells = self._cells(h, out_h)[:, None, None] * self._cells(w, out_w)[:, None]
        self.weights = weights = (1 / cells).astype(x.dtype)
        x = pad_rows(as_rows(x), self.padding)
        y = empty((out_h, out_w, n * c), x.dtype)

        def block(rows):
            lines = x[rows.start * s : (rows.stop - 1) * s + k]
            total = scratch("pool.total", (len(y[rows]), *x.shape[1:]), x.dtype)
            reduce_windows(np.add, window_views(lines, len(total), k, s), total)
            reduce_windows(np.add, window_views(total.swapaxes(0, 1), out_w, k, s), y[rows].swapaxes(0, 1))
            y[rows] *= weights[rows]

        for_row_blocks(block, out_h, s * x[0].nbytes)
        return as_nchw(y.reshape(out_h, out_w, n, c))

    def _cells(self, length, out):
        """How many real cells each of `out` windows has along an axis."""
        first = np.arange(out) * self.stride - self.padding
        return np.minimum(first + self.kernel, length) - np.maximum(first, 0)

    def backward(self, g):
        g, weights = as_rows(g), self.weights

        def contribution(windows, cell, out):
            np.multiply(g[windows], weights[windows], out=out)

        return add_contributions(contribution, g, self.shape, self.kernel, self.stride, self.padding)
