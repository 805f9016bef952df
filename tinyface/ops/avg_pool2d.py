"""Average over windows; a window that hangs over the edge is divided by the cells it really has.

    y[n,c,i,j] = (1/|W_ij|) Σ_{cells of W_ij inside the image} x
    ∂L/∂x      = every g[n,c,i,j] / |W_ij| added to all real cells of its window

(PyTorch's count_include_pad=False.) On a GPU, avg_pool2d.cu.
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor
from ._old_pooling import as_rows, check_window, combine, every, for_rows, pooled_size, spread, tiles_backward
from .im2col import frame

KERNELS = Path(__file__).with_suffix(".cu")


class AvgPool2d(Function):
    op = "avg_pool2d"

    def __init__(self, kernel, stride, padding, ceil_mode):
        check_window(self.op, kernel, stride, padding)
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def forward(self, x):
        backend.need_float(self.op, x)
        k, s, p = self.kernel, self.stride, self.padding
        out_h, out_w = pooled_size(self.op, x.shape, k, s, p, self.ceil_mode)
        n, c, h, w = self.shape = x.shape
        if backend.on_gpu(x):
            return self._forward_gpu(x, out_h, out_w)
        cells = self._cells(h, out_h)[:, None, None] * self._cells(w, out_w)[:, None]
        self.share = shares = (1 / cells).astype(x.dtype)
        x = frame(as_rows(x), p)
        y = backend.empty((out_h, out_w, n * c), x.dtype)

        def piece(rows):
            lines = x[rows.start * s : (rows.stop - 1) * s + k]
            total = backend.scratch("pool.total", (len(y[rows]), *x.shape[1:]), x.dtype)
            combine(np.add, every(lines, len(total), k, s), total)
            combine(np.add, every(total.swapaxes(0, 1), out_w, k, s), y[rows].swapaxes(0, 1))
            y[rows] *= shares[rows]

        for_rows(piece, out_h, s * x[0].nbytes)
        return backend.as_nchw(y.reshape(out_h, out_w, n, c))

    def _cells(self, length, out):
        """How many real cells each of `out` windows has along an axis."""
        first = np.arange(out) * self.stride - self.padding
        return np.minimum(first + self.kernel, length) - np.maximum(first, 0)

    def backward(self, g):
        if backend.on_gpu(g):
            return tiles_backward("avg_pool2d_backward", KERNELS, g, None, self)
        g, shares = as_rows(g), self.share

        def share(windows, cell, out):
            np.multiply(g[windows], shares[windows], out=out)

        return spread(share, g, self.shape, self.kernel, self.stride, self.padding)

    def _forward_gpu(self, x, out_h, out_w):
        x = backend.contiguous(x)
        n, c, h, w = x.shape
        y = backend.get_array_module(x).empty((n, c, out_h, out_w), x.dtype)
        kernel = backend.load_kernels(KERNELS, x.dtype).get_function("avg_pool2d")
        sizes = n * c * out_h, h, w, out_h, out_w, self.kernel, self.stride, self.padding
        backend.launch_rows(kernel, n * c * out_h, out_w, x, y, *map(np.int32, sizes))
        return y


def avg_pool2d(
    x: Tensor, kernel: int, stride: int | None = None, padding: int = 0, ceil_mode: bool = False
) -> Tensor:
    """Mean of each kernel×kernel window of x (N, C, H, W), over real cells; stride is the kernel's unless given."""
    return AvgPool2d(kernel, kernel if stride is None else stride, padding, ceil_mode)(x)
