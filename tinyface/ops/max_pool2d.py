"""Maximum over windows.

    y[n,c,i,j] = max over the window's real cells of x[n, c, i·s + u − p, j·s + v − p]
    ∂L/∂x      = every g[n,c,i,j] added to the one cell that won its window

Padding is −∞, so it never wins. Ties go to the first cell in reading order, as in PyTorch. Which cell won is
one byte per window. Ceil mode rounds the number of windows up; a last window that would begin beyond the
image (in the padding) is dropped.
"""

import numpy as np

from .. import backend
from ..core import Function

PIECE_BYTES = 1 << 20


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
        backend.need_cpu(self.op, x)
        k, s, p = self.kernel, self.stride, self.padding
        self.shape = x.shape
        out_h, out_w = pooled_size(self.op, x.shape, k, s, p, self.ceil_mode)
        y = np.empty((*x.shape[:2], out_h, out_w), x.dtype)
        self.winner = np.empty(y.shape, np.uint8) if self.needs_grad[0] else None

        def planes(piece):
            # First the best of each row of the window, then the best of these: 2k comparisons instead of k².
            padded = pad(x[piece], out_h, out_w, k, s, p, -np.inf)
            row_best, column = best_along(padded, 3, out_w, k, s, self.needs_grad[0])
            y[piece], row = best_along(row_best, 2, out_h, k, s, self.needs_grad[0])
            if self.needs_grad[0]:
                winner = row * np.uint8(k)
                for u, cell in enumerate(steps(column, 2, out_h, k, s)):
                    winner += cell * (row == u)
                self.winner[piece] = winner

        for_planes(planes, x)
        return y

    def backward(self, g):
        k, s, p = self.kernel, self.stride, self.padding
        (_, _, h, w), (out_h, out_w) = self.shape, g.shape[2:]
        dx = np.empty(self.shape, g.dtype)

        def planes(piece):
            g_piece, winner = g[piece], self.winner[piece]
            padded = np.zeros((*g_piece.shape[:2], *covered(h, w, out_h, out_w, k, s, p)), g.dtype)
            for cell, window in enumerate(windows(padded, out_h, out_w, k, s)):
                window += np.where(winner == cell, g_piece, 0)
            dx[piece] = padded[:, :, p : p + h, p : p + w]

        for_planes(planes, dx)
        return dx


def max_pool2d(x, kernel, stride=None, padding=0, ceil_mode=False):
    """Maximum of each kernel×kernel window of x (N, C, H, W); stride is the kernel's size unless given."""
    return MaxPool2d(kernel, kernel if stride is None else stride, padding, ceil_mode)(x)


def best_along(x, axis, out, kernel, stride, want_winner):
    """Maximum of each window along one axis, and which of its cells it was (uint8), the first one of equals."""
    first, *others = steps(x, axis, out, kernel, stride)
    best = first.copy()
    winner = np.zeros(best.shape, np.uint8) if want_winner else None
    for cell, values in enumerate(others, start=1):
        if (
            want_winner
        ):  # a later winner has the larger number, so the maximum of the numbers is the last winner
            np.maximum(winner, (values > best).view(np.uint8) * np.uint8(cell), out=winner)
        np.maximum(best, values, out=best)  # NaN stays NaN: it must show, not vanish
    return best, winner


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
        if count < 1:
            raise ValueError(f"{op}: a window of {kernel} does not fit into x of shape {shape}")
        sizes.append(count)
    return sizes


def covered(h, w, out_h, out_w, kernel, stride, padding):
    """Height and width that hold the padded image and every window, also those that ceil mode lets hang over."""
    return (
        max(h + 2 * padding, (out_h - 1) * stride + kernel),
        max(w + 2 * padding, (out_w - 1) * stride + kernel),
    )


def pad(x, out_h, out_w, kernel, stride, padding, value):
    """x (N, C, H, W) in a frame of `value` that all windows fit into; x itself where no frame is needed."""
    h, w = x.shape[2:]
    height, width = covered(h, w, out_h, out_w, kernel, stride, padding)
    if (height, width) == (h, w):
        return x
    padded = backend.scratch("pool.padded", (*x.shape[:2], height, width), x.dtype)
    padded[:, :, :padding] = value
    padded[:, :, padding + h :] = value
    padded[:, :, :, :padding] = value
    padded[:, :, :, padding + w :] = value
    padded[:, :, padding : padding + h, padding : padding + w] = x
    return padded


def steps(x, axis, out, kernel, stride):
    """For each cell u of a window along an axis, that cell of all `out` windows: views of x (N, C, H, W)."""
    for u in range(kernel):
        index = [slice(None)] * 4
        index[axis] = slice(u, u + stride * (out - 1) + 1, stride)
        yield x[tuple(index)]


def windows(padded, out_h, out_w, kernel, stride):
    """For each cell (u, v) of the window, in reading order, that cell of all windows: a view (N, C, out_h, out_w)."""
    for rows in steps(padded, 2, out_h, kernel, stride):
        yield from steps(rows, 3, out_w, kernel, stride)


def for_planes(body, x):
    """body(index) for pieces of x (N, C, H, W) of one image and about PIECE_BYTES of its planes."""
    n, c = x.shape[:2]
    step = max(PIECE_BYTES // max(x[0, 0].nbytes, 1), 1) if x.size else 1
    pieces = [(slice(i, i + 1), planes) for i in range(n) for planes in backend.slices(c, step)]
    backend.parallel_for(lambda index: body(pieces[index]), len(pieces))
