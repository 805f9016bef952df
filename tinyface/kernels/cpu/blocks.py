"""Feature maps (N, C, H, W) in blocks of image rows that stay in a core's cache."""

import numpy as np

from ...runtime.layout import as_hwnc
from ...runtime.threads import parallel_for, slices

BLOCK_BYTES = 3 << 18  # of the larger map; with what belongs to it, it stays in a core's cache
UFUNC_BUFFER = 128  # elements


def as_rows(x):
    """x (N, C, H, W) as an array (H, W, N·C): a view where its memory is in the order (H, W, N, C), else a copy."""
    n, c, h, w = x.shape
    return as_hwnc(x).reshape(h, w, n * c)


def for_row_blocks(body, count, row_bytes):
    """body(slice) for blocks of `count` rows, of about BLOCK_BYTES each where a row has `row_bytes`."""
    blocks = slices(count, max(BLOCK_BYTES // max(row_bytes, 1), 1))

    def block(index):
        # NumPy copies rows shorter than its buffer (8192 elements) into that buffer first, which costs more than the
        # arithmetic. Rows of N·C numbers are long enough without.
        before = np.setbufsize(UFUNC_BUFFER)
        try:
            body(blocks[index])
        finally:
            np.setbufsize(before)

    parallel_for(block, len(blocks))
