"""Up-sampling as copies: a pixel, and a row of pixels, are long contiguous numbers in memory."""

import numpy as np

from ...ops.upsample_nearest import UpsampleNearest
from ...runtime.dispatch import register
from ...runtime.layout import as_nchw
from ...runtime.memory import empty, scratch
from .blocks import BLOCK_BYTES, as_rows, for_row_blocks
from .pooling import reduce_windows, window_views


@register(UpsampleNearest, "cpu")
class UpsampleNearestCpu(UpsampleNearest):
    def forward(self, x):
        n, c, _, w = self.shape = x.shape
        x = as_rows(x)
        y = empty((*self.size, n * c), x.dtype)
        columns = copies(self.size[1], w)

        def block(rows, lines, times):
            first = y[lines][::times]
            for _, sources, targets in columns:
                first[:, targets] = x[rows, sources]
            for u in range(1, times):
                other = y[lines][u::times]
                other[...] = first[: len(other)]

        self._for_copies(block, y[0].nbytes)
        return as_nchw(y.reshape(*self.size, n, c))

    def backward(self, g):
        n, c, h, w = self.shape
        g = as_rows(g)
        dx = empty((h, w, n * c), g.dtype)
        columns = copies(self.size[1], w)

        def block(rows, lines, times):
            total = scratch("upsample.total", (len(dx[rows]), *g.shape[1:]), g.dtype)
            reduce_windows(np.add, window_views(g[lines], len(total), times, times), total)
            for u, sources, targets in columns:
                if u == 0:
                    dx[rows, sources] = total[:, targets]
                else:
                    dx[rows, sources] += total[:, targets]

        self._for_copies(block, g[0].nbytes)
        return as_nchw(dx.reshape(h, w, n, c))

    def _for_copies(self, body, line_bytes):
        """body(rows, lines, times): for blocks of x's rows and the lines of y, `times` of each, that copy them."""
        out, h = self.size[0], self.shape[2]
        times = -(-out // h)

        def block(rows):
            lines = slice(*(-(-row * out // h) for row in (rows.start, rows.stop)))
            body(rows, lines, -(-(lines.stop - lines.start) // (rows.stop - rows.start)))

        one_by_one = not is_even(out, h)
        for_row_blocks(block, h, BLOCK_BYTES if one_by_one else times * line_bytes)


def sources(out, length):
    """For each of `out` positions, which of `length` it copies."""
    return np.arange(out) * length // out


def is_even(out, length):
    """Whether every position has the same number of copies, save the last, which may have fewer."""
    return np.array_equal(sources(out, length), np.arange(out) // -(-out // length))


def copies(out, length):
    """[(u, slice of sources, slice of targets), …]: which positions have their u-th copy where."""
    if is_even(out, length):
        times = -(-out // length)
        return [(u, slice(len(range(u, out, times))), slice(u, None, times)) for u in range(times)]
    source = sources(out, length)
    return [(i - np.searchsorted(source, a), slice(a, a + 1), slice(i, i + 1)) for i, a in enumerate(source)]
