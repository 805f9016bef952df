"""Convolution whose filters are shared only within the cells of a grid (ANet's C3 and C4, Liu et al. 2015).

The output map H'×W' is cut into R×S cells, as equal as can be: cell (r, s) has the rows from ⌊r·H'/R⌋ to
⌊(r+1)·H'/R⌋ and the columns likewise. Each has filters of its own; with dilation d

    y[n,o,i,j]     = b[r,s,o] + Σ_cuv w[r,s,o,c,u,v] · x[n, c, i + u·d, j + v·d]      (i, j) in cell (r, s)
    ∂L/∂w[r,s,…]   = Σ over the cell's pixels of g[n,o,i,j] · x[n, c, i + u·d, j + v·d],   ∂L/∂b[r,s,o] = Σ g
    ∂L/∂x          = every w[r,s,o,c,u,v] · g[n,o,i,j] added to the place it read

One cell is one matrix product, pixels of the cell × (C·kh·kw) by (C·kh·kw) × O.
"""

import numpy as np

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class LocallySharedConv2d(Function):
    op = "locally_shared_conv2d"
    computes_in_float = True

    def __init__(self, dilation):
        if dilation < 1:
            raise ValueError(f"locally_shared_conv2d: dilation must be at least 1, got {dilation}")
        self.dilation = dilation

    def check(self, x, w, b=None):
        if x.ndim != 4 or w.ndim != 6 or x.shape[1] != w.shape[3]:
            shapes = f"x of shape {x.shape} does not fit w of shape {w.shape}"
            raise ValueError(f"locally_shared_conv2d: {shapes} (rows, columns, out, in, kh, kw)")
        if b is not None and b.shape != w.shape[:3]:
            raise ValueError(f"locally_shared_conv2d: bias must have shape {w.shape[:3]}, got {b.shape}")
        self.size = [x.shape[2 + axis] - (w.shape[4 + axis] - 1) * self.dilation for axis in (0, 1)]
        if any(length < cells for length, cells in zip(self.size, w.shape[:2], strict=True)):
            raise ValueError(
                f"locally_shared_conv2d: an output of {self.size[0]}×{self.size[1]} has no "
                f"{w.shape[0]}×{w.shape[1]} cells (x of shape {x.shape})"
            )

    def forward(self, x, w, b=None):
        xp = get_array_module(x)
        self.x, self.w = x, w
        y = xp.empty((len(x), w.shape[2], *self.size), x.dtype)
        for r, s, rows, cols in grid_cells(w.shape[:2], *self.size):
            y[:, :, rows, cols] = xp.tensordot(
                w[r, s], self.read(rows, cols), ((1, 2, 3), (2, 0, 1))
            ).swapaxes(0, 1)
            if b is not None:
                y[:, :, rows, cols] += b[r, s][:, None, None]
        return y

    def backward(self, g):
        xp = get_array_module(g)
        dx, dw, db = xp.zeros_like(self.x), xp.empty_like(self.w), xp.empty(self.w.shape[:3], g.dtype)
        for r, s, rows, cols in grid_cells(self.w.shape[:2], *self.size):
            cell = g[:, :, rows, cols]
            db[r, s] = cell.sum(axis=(0, 2, 3))
            dw[r, s] = xp.tensordot(cell, self.read(rows, cols), ((0, 2, 3), (3, 4, 5))).transpose(0, 3, 1, 2)
            for u, v, place in self.taps(rows, cols):
                dx[place] += xp.tensordot(self.w[r, s, :, :, u, v], cell, (0, 1)).swapaxes(0, 1)
        return dx, dw, *[db for _ in self.needs_grad[2:]]

    def read(self, rows, cols):
        """What each tap reads for a cell's pixels: (kh, kw, C, N, rows, columns)."""
        kh, kw = self.w.shape[-2:]
        taps = [self.x[place].swapaxes(0, 1) for _, _, place in self.taps(rows, cols)]
        return get_array_module(self.x).stack(taps).reshape(kh, kw, *taps[0].shape)

    def taps(self, rows, cols):
        """For each (u, v): where in x a cell's pixels read."""
        for u, v in np.ndindex(*self.w.shape[-2:]):
            down, right = u * self.dilation, v * self.dilation
            place = slice(rows.start + down, rows.stop + down), slice(cols.start + right, cols.stop + right)
            yield u, v, (slice(None), slice(None), *place)


def grid_cells(grid, height, width):
    """(r, s, rows, columns) of each cell of an R×S grid over a map; rows and columns are slices."""
    for r in range(grid[0]):
        rows = slice(r * height // grid[0], (r + 1) * height // grid[0])
        for s in range(grid[1]):
            yield r, s, rows, slice(s * width // grid[1], (s + 1) * width // grid[1])


def locally_shared_conv2d(x: Tensor, w: Tensor, b: Tensor | None = None, dilation: int = 1) -> Tensor:
    """x (N, C, H, W), w (R, S, O, C, kh, kw), b (R, S, O) → (N, O, H − (kh−1)·dilation, W − (kw−1)·dilation)."""
    return LocallySharedConv2d(dilation)(x, w) if b is None else LocallySharedConv2d(dilation)(x, w, b)
