"""Feature maps as a matrix of long rows, in blocks that stay in a core's cache: for arithmetic on each channel."""

import math
from functools import lru_cache

import numpy as np

from ...runtime.layout import as_nchw
from ...runtime.memory import empty, scratch
from ...runtime.threads import equal_slices, parallel_for

BLOCK_BYTES = (
    1 << 19
)  # of each array at most; the backward pass of batch normalisation works on six at a time
SHORTEST_ROW = 256  # numbers; NumPy's loops over shorter rows spend their time on starting
LONGEST_ROW = 1 << 14  # numbers; longer ones leave few rows, and much to keep beside them


class RowMatrix:
    """Feature maps (H, W, N, C) as a matrix whose rows are whole pixels, long enough for NumPy's loops.

    matrix: a view. blocks: slices of its rows, about BLOCK_BYTES each; they depend on shapes alone.
    """

    def __init__(self, maps):
        self.shape, self.channels = maps.shape, maps.shape[-1]
        self.pixels, self.blocks, self.ones = _cut(maps.shape, maps.dtype)
        width = self.pixels * self.channels
        self.matrix = maps.reshape(maps.size // max(width, 1), width)

    def __reduce__(self):
        return RowMatrix, (self.matrix.reshape(self.shape),)

    def per_column(self, per_channel):
        """(C,) → one number for each column, of the maps' type, or a truth value."""
        dtype = self.matrix.dtype if per_channel.dtype.kind == "f" else per_channel.dtype
        columns = np.empty((self.pixels, self.channels), dtype)
        columns[...] = per_channel
        return columns.reshape(-1)

    def empty_sums(self, count):
        """(blocks, count, columns), to be filled by `sum` and `dot` and read by `per_channel`."""
        return empty((len(self.blocks), count, self.matrix.shape[1]), self.matrix.dtype)

    def sum(self, rows, out):
        """out (columns,) = Σ down the rows of one block."""
        np.matmul(self.ones[: len(rows)], rows, out=out)  # BLAS adds faster than np.sum

    def dot(self, rows, others, out):
        """out (columns,) = Σ of products down the rows of one block."""
        np.einsum("ij,ij->j", rows, others, out=out)

    def per_channel(self, sums):
        """Σ over the blocks and over the columns of each channel, in float64: (count, C)."""
        by_channel = sums.reshape(*sums.shape[:2], self.pixels, self.channels)
        return by_channel.sum(axis=(0, 2), dtype=np.float64)

    def mean_and_variance(self):
        """Mean and biased variance of each channel, float64. A shift near the mean keeps differences exact."""
        shift = self.matrix[0].reshape(-1, self.channels).mean(axis=0)
        columns = self.per_column(shift)
        sums = self.empty_sums(2)

        def block(index):
            some = self.matrix[self.blocks[index]]
            shifted = scratch("row_matrix", some.shape, some.dtype)
            np.subtract(some, columns, out=shifted)
            self.sum(shifted, out=sums[index, 0])
            self.dot(shifted, shifted, out=sums[index, 1])

        parallel_for(block, len(self.blocks))
        m = self.matrix.size // self.channels
        mean, square = self.per_channel(sums) / m
        return shift + mean, np.maximum(square - mean**2, 0)

    def to_nchw(self, rows):
        """A matrix of that form → (N, C, H, W)."""
        return as_nchw(rows.reshape(self.shape))


@lru_cache(maxsize=1024)
def _cut(shape, dtype):
    """Pixels of a row of the matrix, slices of its rows, and as many ones as the longest of them has rows."""
    size, channels = math.prod(shape), max(shape[-1], 1)
    pixels = _pixels_in_a_row(size // channels, channels)
    parts = -(-size * dtype.itemsize // BLOCK_BYTES)
    parts += parts % 2 if parts > 1 else 0  # so that two threads have as much to do
    rows = size // (pixels * channels)
    return pixels, equal_slices(rows, parts), np.ones(-(-rows // max(parts, 1)), dtype)


def _pixels_in_a_row(pixels, channels):
    """A divisor of `pixels`: the smallest that makes a row long enough, or where that is too long, the one below."""
    divisors = [d for d in range(1, min(pixels, LONGEST_ROW // channels) + 1) if pixels % d == 0]
    return next((d for d in divisors if d * channels >= SHORTEST_ROW), max(divisors, default=1))
