"""TEMPORARY."""

import numpy as np

from .. import backend

PIECE_BYTES = 3 << 18
BUFFER = 128

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
