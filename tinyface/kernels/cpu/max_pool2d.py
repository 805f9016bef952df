"""Max pooling over rows of windows: a pixel is N·C contiguous numbers, a cell of all windows every s-th pixel."""

import numpy as np

from ...ops.max_pool2d import MaxPool2d
from ...runtime.dispatch import register
from ...runtime.layout import as_nchw
from ...runtime.memory import empty, scratch
from .blocks import as_rows, for_row_blocks
from .padding import pad_rows
from .pooling import add_contributions, reduce_windows, window_views


@register(MaxPool2d, "cpu")
class MaxPool2dCpu(MaxPool2d):
    def supports(self, x):
        return self.kernel <= 15  # the number of the largest cell is kept in one byte

    def forward(self, x):
        k, s, (out_h, out_w) = self.kernel, self.stride, self.out
        self.shape = n, c, _, _ = x.shape
        x = pad_rows(as_rows(x), self.padding, -np.inf)
        y = empty((out_h, out_w, n * c), x.dtype)
        self.argmax = argmax = empty(y.shape, np.uint8) if self.needs_grad[0] else None

        def block(rows):
            # First the maximum of each row of the window, then of these: fewer comparisons than k² for each window.
            out, lines = y[rows], x[rows.start * s : (rows.stop - 1) * s + k]
            best = scratch("pool.best", (len(lines), out_w, n * c), x.dtype)
            lines, across = lines.swapaxes(0, 1), best.swapaxes(0, 1)
            if argmax is None:
                reduce_windows(np.maximum, window_views(lines, out_w, k, s), across)
                reduce_windows(np.maximum, window_views(best, len(out), k, s), out)
            else:
                column = scratch("pool.column", best.shape, np.uint8)
                running_argmax(window_views(lines, out_w, k, s), range(k), across, column.swapaxes(0, 1))
                numbers = [u * k + cell for u, cell in enumerate(window_views(column, len(out), k, s))]
                running_argmax(window_views(best, len(out), k, s), numbers, out, argmax[rows])

        for_row_blocks(block, out_h, s * x[0].nbytes)
        return as_nchw(y.reshape(out_h, out_w, n, c))

    def backward(self, g):
        g = as_rows(g)
        integer, argmax = f"i{g.itemsize}", self.argmax

        def contribution(windows, cell, out):
            chosen = scratch("pool.chosen", out.shape, np.bool_)
            factor = scratch("pool.factor", out.shape, integer)
            np.equal(argmax[windows], cell, out=chosen)
            factor[...] = chosen
            # The bits times 1 or 0: as an integer anything times 0 is 0, NaN and ∞ too.
            np.multiply(g[windows].view(integer), factor, out=out.view(integer))

        return add_contributions(contribution, g, self.shape, self.kernel, self.stride, self.padding)


def running_argmax(cells, numbers, best, argmax):
    """Like reduce_windows(np.maximum, cells, best), and beside the maximum its number, the first one of equals."""
    so_far, argmax[...] = cells[0], numbers[0]
    for values, number in zip(cells[1:], numbers[1:], strict=True):
        n = len(values)
        later = scratch("pool.later", values.shape, np.uint8)
        np.greater(values, so_far[:n], out=later.view(np.bool_))
        later *= number
        np.maximum(argmax[:n], later, out=argmax[:n])  # numbers grow, so the largest is the last that won
        reduce_windows(np.maximum, (so_far, values), best)
        so_far = best
    if so_far is not best:
        best[...] = so_far
