"""Feature maps (H, W, …) with padding on every side."""

from ...runtime.memory import empty
from ...runtime.threads import parallel_for, slices

BLOCK_BYTES = 1 << 20  # of x, copied at once


def pad_rows(x, padding, value=0):
    """x (H, W, …) with `padding` rows and columns of `value` on every side; x itself for no padding."""
    if not padding:
        return x
    h, w, *rest = x.shape
    padded = empty((h + 2 * padding, w + 2 * padding, *rest), x.dtype)
    padded[:padding] = padded[padding + h :] = value
    rows = slices(h, max(BLOCK_BYTES // max(x[0].nbytes, 1), 1))

    def block(index):
        inside = padded[padding + rows[index].start : padding + rows[index].stop]
        inside[:, :padding] = inside[:, padding + w :] = value
        inside[:, padding : padding + w] = x[rows[index]]

    parallel_for(block, len(rows))
    return padded
