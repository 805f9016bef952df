"""Convolution with filters of each cell: a cell is one matrix product, pixels·N × (kh·kw·C) by (kh·kw·C) × O."""

import numpy as np

from ...ops.locally_shared_conv2d import LocallySharedConv2d, grid_cells
from ...runtime.dispatch import register
from ...runtime.layout import as_hwnc, as_nchw


@register(LocallySharedConv2d, "cpu")
class LocallySharedConv2dCpu(LocallySharedConv2d):
    def forward(self, x, w, b=None):
        out_h, out_w = self.size
        self.w, self.shape = w, x.shape
        maps = as_hwnc(x)
        y = np.empty((out_h, out_w, x.shape[0], w.shape[2]), x.dtype)
        self.cells = []  # what backward needs of each: where it is, its columns
        for r, s, rows, cols in grid_cells(w.shape[:2], out_h, out_w):
            columns = self._columns(maps, rows, cols)
            y[rows, cols] = (columns @ _matrix(w[r, s])).reshape(y[rows, cols].shape)
            if b is not None:
                y[rows, cols] += b[r, s]
            self.cells.append((r, s, rows, cols, columns if self.needs_grad[1] else None))
        return as_nchw(y)

    def backward(self, g):
        needs_x, needs_w, *needs_b = self.needs_grad
        n, c, h, width = self.shape
        out, channels, kh, kw = self.w.shape[2:]
        g = as_hwnc(g)
        dx = np.zeros((h, width, n, c), g.dtype) if needs_x else None
        dw = np.empty(self.w.shape, g.dtype) if needs_w else None
        db = np.empty(self.w.shape[:3], g.dtype) if any(needs_b) else None
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
        return as_nchw(dx) if needs_x else None, dw, *(db for _ in needs_b)

    def _columns(self, maps, rows, cols):
        """What a cell's pixels read of maps (H, W, N, C): (pixels·N, kh·kw·C)."""
        read = [maps[place] for _, _, place in self._places(rows, cols)]
        return np.stack(read, axis=3).reshape(-1, len(read) * maps.shape[3])

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


def _matrix(filters):
    """A cell's filters (O, C, kh, kw) as (kh·kw·C, O)."""
    return filters.transpose(2, 3, 1, 0).reshape(-1, len(filters))
