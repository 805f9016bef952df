"""Maximum over windows.

    y[n,c,i,j] = max over the window's real cells of x[n, c, i·s + u − p, j·s + v − p]
    ∂L/∂x      = every g[n,c,i,j] added to the one cell that won its window

Padding is −∞, so it never wins over a number. Ties go to the first cell in reading order, as in PyTorch. Which cell
won, its number u·k + v, is one byte per window. Ceil mode rounds the number of windows up; a last window that would
begin beyond the image (in the padding) is dropped.

A pixel is a stretch of N·C numbers in memory. Cell (u, v) of all windows is every s-th of these stretches, and
a map is cut into pieces by its rows. On a GPU (max_pool2d.cu) a thread looks after a window, in backward after the
s×s cells at its corner.
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from .im2col import frame

PIECE_BYTES = 3 << 18  # of the larger map; with what goes with it, it stays in a core's cache
BUFFER = 128  # elements; see for_rows
KERNELS = Path(__file__).with_suffix(".cu")


class MaxPool2d(Function):
    op = "max_pool2d"

    def __init__(self, kernel, stride, padding, ceil_mode):
        check_window(self.op, kernel, stride, padding)
        if kernel > 15:
            raise ValueError(
                f"max_pool2d: kernel must be at most 15 (the winner is kept in a byte), got {kernel}"
            )
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def forward(self, x):
        backend.need_float(self.op, x)
        k, s, p = self.kernel, self.stride, self.padding
        out_h, out_w = pooled_size(self.op, x.shape, k, s, p, self.ceil_mode)
        n, c = x.shape[:2]
        self.shape = x.shape
        if backend.on_gpu(x):
            return self._forward_gpu(x, out_h, out_w)
        x = frame(as_rows(x), p, -np.inf)
        y = backend.empty((out_h, out_w, n * c), x.dtype)
        self.winner = winner = backend.empty(y.shape, np.uint8) if self.needs_grad[0] else None

        def piece(rows):
            # First the best in each row of the window, then the best of these: 2k comparisons instead of k².
            out, lines = y[rows], x[rows.start * s : (rows.stop - 1) * s + k]
            best = backend.scratch("pool.best", (len(lines), out_w, n * c), x.dtype)
            lines, across = lines.swapaxes(0, 1), best.swapaxes(0, 1)
            if winner is None:
                combine(np.maximum, every(lines, out_w, k, s), across)
                combine(np.maximum, every(best, len(out), k, s), out)
            else:
                column = backend.scratch("pool.column", best.shape, np.uint8)
                best_along(every(lines, out_w, k, s), range(k), across, column.swapaxes(0, 1))
                numbers = [u * k + cell for u, cell in enumerate(every(column, len(out), k, s))]
                best_along(every(best, len(out), k, s), numbers, out, winner[rows])

        for_rows(piece, out_h, s * x[0].nbytes)
        return backend.as_nchw(y.reshape(out_h, out_w, n, c))

    def backward(self, g):
        if backend.on_gpu(g):
            return tiles_backward("max_pool2d_backward", KERNELS, g, self.winner, self)
        g = as_rows(g)
        integer, winner = f"i{g.itemsize}", self.winner

        def share(windows, cell, out):
            won = backend.scratch("pool.won", out.shape, np.bool_)
            factor = backend.scratch("pool.factor", out.shape, integer)
            np.equal(winner[windows], cell, out=won)
            factor[...] = won
            # The bits times 1 or 0: as an integer anything times 0 is 0, NaN and ∞ too.
            np.multiply(g[windows].view(integer), factor, out=out.view(integer))

        return spread(share, g, self.shape, self.kernel, self.stride, self.padding)

    def _forward_gpu(self, x, out_h, out_w):
        xp, x = backend.get_array_module(x), backend.contiguous(x)
        n, c, h, w = x.shape
        y = xp.empty((n, c, out_h, out_w), x.dtype)
        self.winner = xp.empty(y.shape, np.uint8) if self.needs_grad[0] else None
        kernel = backend.load_kernels(KERNELS, x.dtype).get_function("max_pool2d")
        sizes = n * c * out_h, h, w, out_h, out_w, self.kernel, self.stride, self.padding
        backend.launch_rows(kernel, n * c * out_h, out_w, x, y, self.winner, *map(np.int32, sizes))
        return y


def max_pool2d(
    x: Tensor, kernel: int, stride: int | None = None, padding: int = 0, ceil_mode: bool = False
) -> Tensor:
    """Maximum of each kernel×kernel window of x (N, C, H, W); stride is the kernel's size unless given."""
    return MaxPool2d(kernel, kernel if stride is None else stride, padding, ceil_mode)(x)


def best_along(cells, numbers, best, winner):
    """Like combine(np.maximum, cells, best), and beside the maximum its number, the first one of equals."""
    so_far, winner[...] = cells[0], numbers[0]
    for values, number in zip(cells[1:], numbers[1:], strict=True):
        n = len(values)
        later = backend.scratch("pool.later", values.shape, np.uint8)
        np.greater(values, so_far[:n], out=later.view(np.bool_))
        later *= number
        np.maximum(winner[:n], later, out=winner[:n])  # numbers grow, so the largest is the last that won
        combine(np.maximum, (so_far, values), best)
        so_far = best
    if so_far is not best:
        best[...] = so_far


# ---------------------------------------------------------------- shared with average pooling


def check_window(op, kernel, stride, padding):
    if kernel < 1 or stride < 1:
        raise ValueError(f"{op}: kernel and stride must be at least 1, got {kernel} and {stride}")
    if not 0 <= padding <= kernel // 2:
        raise ValueError(f"{op}: padding must be between 0 and half the kernel {kernel}, got {padding}")


def pooled_size(op, shape, kernel, stride, padding, ceil_mode):
    """(H', W'): ⌊(H + 2p − k) / s⌋ + 1, or with ⌈ ⌉ in ceil mode, less a window that would begin beyond the image."""
    if len(shape) != 4:
        raise ValueError(f"{op}: x must have shape (N, C, H, W), got {shape}")
    sizes = []
    for length in shape[2:]:
        room = length + 2 * padding - kernel
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride >= length + padding:
            count -= 1
        if count < 1 or not length:
            raise ValueError(f"{op}: a window of {kernel} does not fit into x of shape {shape}")
        sizes.append(count)
    return sizes


def as_rows(x):
    """x (N, C, H, W) as an array (H, W, N·C): a view where it lies so in memory, else a copy."""
    n, c, h, w = x.shape
    return backend.as_hwnc(x).reshape(h, w, n * c)


def every(x, out, kernel, stride):
    """For each cell of a window along the first axis, that cell of all `out` windows: views.

    Where the last windows hang over the edge, their last cells are missing.
    """
    return [x[u::stride][:out] for u in range(kernel)]


def combine(ufunc, cells, out):
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


def spread(share, g, shape, kernel, stride, padding):
    """The gradient of x: what each window gives to each of its cells, added up.

    share(windows, cell, out): writes these windows' gift to that cell of theirs, g times something.
    """
    n, c, h, w = shape
    height, width = h + 2 * padding, w + 2 * padding
    out_h, out_w = g.shape[:2]
    dx = backend.empty((height, width, n * c), g.dtype)
    overlap = kernel > stride
    every_cell_has_one_window = kernel == stride and out_h * stride >= height and out_w * stride >= width

    def piece(groups):
        stop = groups.stop * stride
        if not every_cell_has_one_window:
            dx[groups.start * stride : stop] = 0
        for u in range(kernel):
            first = max(groups.start - u // stride, 0)  # the first window whose row u lies here
            rows = dx[first * stride + u : stop : stride][: max(out_h - first, 0)]
            for v in range(kernel):
                cells = rows[:, v::stride][:, :out_w]
                windows = slice(first, first + len(rows)), slice(cells.shape[1])
                if overlap:
                    gift = backend.scratch("pool.gift", cells.shape, g.dtype)
                    share(windows, u * kernel + v, gift)
                    cells += gift
                else:
                    share(windows, u * kernel + v, cells)

    for_rows(piece, -(-height // stride), stride * dx[0].nbytes)
    dx = dx[padding : padding + h, padding : padding + w]
    return backend.as_nchw(backend.contiguous(dx).reshape(h, w, n, c))


def tiles_backward(name, kernels, g, winner, pool):
    """∂L/∂x on a GPU, by a kernel with a thread for each stride×stride cells of x; winner: None for the average."""
    xp, g = backend.get_array_module(g), backend.contiguous(g)
    n, c, h, w = pool.shape
    dx = xp.empty(pool.shape, g.dtype)
    tiles = [-(-(length + pool.padding) // pool.stride) for length in (h, w)]
    kernel = backend.load_kernels(kernels, g.dtype).get_function(name)
    rows = n * c * tiles[0]
    arrays = (g, dx) if winner is None else (g, winner, dx)
    sizes = rows, *tiles, h, w, *g.shape[2:], pool.kernel, pool.stride, pool.padding
    backend.launch_rows(kernel, rows, tiles[1], *arrays, *map(np.int32, sizes))
    return dx


def for_rows(body, count, row_bytes):
    """body(slice) for pieces of `count` rows, of about PIECE_BYTES each where a row has `row_bytes`."""
    pieces = backend.slices(count, max(PIECE_BYTES // max(row_bytes, 1), 1))

    def piece(index):
        # Stretches shorter than its buffer (8192) NumPy first copies into that buffer, which costs more than the
        # arithmetic. Ours, N·C or more, are long enough without.
        before = np.setbufsize(BUFFER)
        try:
            body(pieces[index])
        finally:
            np.setbufsize(before)

    backend.parallel_for(piece, len(pieces))
