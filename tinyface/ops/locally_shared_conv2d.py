"""Convolution whose filters are shared only within the cells of a grid (ANet's C3 and C4, Liu et al. 2015).

The output map H'×W' is cut into R×S cells, as equal as can be: cell (r, s) has the rows from ⌊r·H'/R⌋ to
⌊(r+1)·H'/R⌋ and the columns likewise. Each has filters of its own; with dilation d

    y[n,o,i,j]     = b[r,s,o] + Σ_cuv w[r,s,o,c,u,v] · x[n, c, i + u·d, j + v·d]      (i, j) in cell (r, s)
    ∂L/∂w[r,s,…]   = Σ over the cell's pixels of g[n,o,i,j] · x[n, c, i + u·d, j + v·d],   ∂L/∂b[r,s,o] = Σ g
    ∂L/∂x          = every w[r,s,o,c,u,v] · g[n,o,i,j] added to the place it read

One cell is one matrix product, pixels of the cell × (kh·kw·C) by (kh·kw·C) × O. Array expressions only, so a GPU
does the same.
"""

from .. import backend
from ..core import Function, Tensor


class LocallySharedConv2d(Function):
    op = "locally_shared_conv2d"

    def __init__(self, dilation):
        if dilation < 1:
            raise ValueError(f"locally_shared_conv2d: dilation must be at least 1, got {dilation}")
        self.dilation = dilation

    def forward(self, x, w, b=None):
        xp, out_h, out_w = backend.get_array_module(x), *self._check(x, w, b)
        backend.need_float(self.op, x)
        self.w, self.shape = w, x.shape
        maps = backend.as_hwnc(x)
        y = xp.empty((out_h, out_w, x.shape[0], w.shape[2]), x.dtype)
        self.cells = []  # what backward needs of each: where it is, its columns
        for r, s, rows, cols in grid_cells(w.shape[:2], out_h, out_w):
            columns = self._columns(xp, maps, rows, cols)
            y[rows, cols] = (columns @ _matrix(w[r, s])).reshape(y[rows, cols].shape)
            if b is not None:
                y[rows, cols] += b[r, s]
            self.cells.append((r, s, rows, cols, columns if self.needs_grad[1] else None))
        return backend.as_nchw(y)

    def backward(self, g):
        xp = backend.get_array_module(g)
        needs_x, needs_w, *needs_b = self.needs_grad
        n, c, h, width = self.shape
        out, channels, kh, kw = self.w.shape[2:]
        g = backend.as_hwnc(g)
        dx = xp.zeros((h, width, n, c), g.dtype) if needs_x else None
        dw = xp.empty(self.w.shape, g.dtype) if needs_w else None
        db = xp.empty(self.w.shape[:3], g.dtype) if any(needs_b) else None
        for r, s, rows, cols, columns in self.cells:
            part = g[rows, cols].reshape(-1, out)
            if db is not None:
                db[r, s] = part.sum(axis=0)
            if needs_w:
                dw[r, s] = (columns.T @ part).reshape(kh, kw, channels, out).transpose(3, 2, 0, 1)
            if needs_x:
                back = part @ _matrix(self.w[r, s]).T
                back = back.reshape(rows.stop - rows.start, cols.stop - cols.start, n, kh, kw, c)
                for u, v, place in self._places(rows, cols):
                    dx[place] += back[:, :, :, u, v]
        return backend.as_nchw(dx) if needs_x else None, dw, *(db for _ in needs_b)

    def _columns(self, xp, maps, rows, cols):
        """What a cell's pixels read of maps (H, W, N, C): (pixels·N, kh·kw·C)."""
        read = [maps[place] for _, _, place in self._places(rows, cols)]
        return xp.stack(read, axis=3).reshape(-1, len(read) * maps.shape[3])

    def _places(self, rows, cols):
        """(u, v, slices of the input's rows and columns that tap (u, v) of a cell's pixels reads)."""
        d, (kh, kw) = self.dilation, self.w.shape[-2:]
        for u in range(kh):
            for v in range(kw):
                down, across = u * d, v * d
                yield (
                    u,
                    v,
                    (
                        slice(rows.start + down, rows.stop + down),
                        slice(cols.start + across, cols.stop + across),
                    ),
                )

    def _check(self, x, w, b):
        """(H', W'). Raises ValueError where the shapes do not fit."""
        if x.ndim != 4 or w.ndim != 6 or x.shape[1] != w.shape[3]:
            raise ValueError(
                f"locally_shared_conv2d: x of shape {x.shape} does not fit w of shape {w.shape} "
                "(rows, columns, out, in, kh, kw)"
            )
        if b is not None and b.shape != w.shape[:3]:
            raise ValueError(f"locally_shared_conv2d: bias must have shape {w.shape[:3]}, got {b.shape}")
        size = [x.shape[2 + axis] - (w.shape[4 + axis] - 1) * self.dilation for axis in (0, 1)]
        if any(length < cells for length, cells in zip(size, w.shape[:2], strict=True)):
            raise ValueError(
                f"locally_shared_conv2d: an output of {size[0]}×{size[1]} has no {w.shape[0]}×{w.shape[1]} cells "
                f"(x of shape {x.shape})"
            )
        return size


def grid_cells(grid, height, width):
    """(r, s, rows, columns) of each cell of an R×S grid over a map; rows and columns are slices."""
    for r in range(grid[0]):
        rows = slice(r * height // grid[0], (r + 1) * height // grid[0])
        for s in range(grid[1]):
            yield r, s, rows, slice(s * width // grid[1], (s + 1) * width // grid[1])


def _matrix(filters):
    """A cell's filters (O, C, kh, kw) as (kh·kw·C, O)."""
    return filters.transpose(2, 3, 1, 0).reshape(-1, len(filters))


def locally_shared_conv2d(x: Tensor, w: Tensor, b: Tensor | None = None, dilation: int = 1) -> Tensor:
    """x (N, C, H, W), w (R, S, O, C, kh, kw), b (R, S, O) → (N, O, H − (kh−1)·dilation, W − (kw−1)·dilation)."""
    return LocallySharedConv2d(dilation)(x, w) if b is None else LocallySharedConv2d(dilation)(x, w, b)
