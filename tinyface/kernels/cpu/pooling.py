"""Windows of feature maps (H, W, N·C): views of their cells, reductions over them, and the way back to the cells."""

from ...runtime.layout import as_nchw
from ...runtime.memory import contiguous, empty, scratch
from .blocks import for_row_blocks


def window_views(x, out, kernel, stride):
    """For each cell of a window along the first axis, that cell of all `out` windows: views.

    Where the last windows hang over the edge, their last cells are missing.
    """
    return [x[u::stride][:out] for u in range(kernel)]


def reduce_windows(ufunc, cells, out):
    """Maximum or sum of these arrays, the later ones as long as the first or shorter. NaN stays NaN: it must show."""
    so_far = cells[0]
    for values in cells[1:]:
        n = len(values)
        ufunc(so_far[:n], values, out=out[:n])
        if n < len(out):
            out[n:] = so_far[n:]
        so_far = out
    if so_far is not out:
        out[...] = so_far


def add_contributions(contribution, g, shape, kernel, stride, padding):
    """∂L/∂x (N, C, H, W) of a pooling: what each window contributes to each of its cells, added up.

    contribution(windows, cell, out): writes these windows' contribution to that cell of theirs, g times something.
    """
    n, c, h, w = shape
    height, width = h + 2 * padding, w + 2 * padding
    out_h, out_w = g.shape[:2]
    dx = empty((height, width, n * c), g.dtype)
    overlap = kernel > stride
    one_window_each = kernel == stride and out_h * stride >= height and out_w * stride >= width

    def block(groups):
        stop = groups.stop * stride
        if not one_window_each:
            dx[groups.start * stride : stop] = 0
        for u in range(kernel):
            first = max(groups.start - u // stride, 0)  # the first window whose row u is here
            rows = dx[first * stride + u : stop : stride][: max(out_h - first, 0)]
            for v in range(kernel):
                cells = rows[:, v::stride][:, :out_w]
                windows = slice(first, first + len(rows)), slice(cells.shape[1])
                if overlap:
                    term = scratch("pool.contribution", cells.shape, g.dtype)
                    contribution(windows, u * kernel + v, term)
                    cells += term
                else:
                    contribution(windows, u * kernel + v, cells)

    for_row_blocks(block, -(-height // stride), stride * dx[0].nbytes)
    dx = dx[padding : padding + h, padding : padding + w]
    return as_nchw(contiguous(dx).reshape(h, w, n, c))
