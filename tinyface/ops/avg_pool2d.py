"""Average over windows; a window that hangs over the edge is divided by the cells it really has.

    y[n,c,i,j] = (1/|W_ij|) Σ_{cells of W_ij inside the image} x
    ∂L/∂x      = every g[n,c,i,j] / |W_ij| added to all real cells of its window

(PyTorch's count_include_pad=False.)
"""

import numpy as np

from .. import backend
from ..core import Function
from .max_pool2d import check_window, covered, for_planes, pad, pooled_size, windows


class AvgPool2d(Function):
    op = "avg_pool2d"

    def __init__(self, kernel, stride, padding, ceil_mode):
        check_window(self.op, kernel, stride, padding)
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def forward(self, x):
        backend.need_cpu(self.op, x)
        k, s, p = self.kernel, self.stride, self.padding
        self.shape = x.shape
        out_h, out_w = pooled_size(self.op, x.shape, k, s, p, self.ceil_mode)
        rows, cols = (
            self._cells(length, out) for length, out in zip(x.shape[2:], (out_h, out_w), strict=True)
        )
        self.share = (1 / (rows[:, None] * cols)).astype(x.dtype)
        y = np.empty((*x.shape[:2], out_h, out_w), x.dtype)

        def planes(piece):
            total = y[piece]
            total[...] = 0
            for window in windows(pad(x[piece], out_h, out_w, k, s, p, 0), out_h, out_w, k, s):
                total += window
            total *= self.share

        for_planes(planes, x)
        return y

    def _cells(self, length, out):
        """How many real cells each of `out` windows has along an axis."""
        first = np.arange(out) * self.stride - self.padding
        return np.minimum(first + self.kernel, length) - np.maximum(first, 0)

    def backward(self, g):
        k, s, p = self.kernel, self.stride, self.padding
        (_, _, h, w), (out_h, out_w) = self.shape, g.shape[2:]
        dx = np.empty(self.shape, g.dtype)

        def planes(piece):
            shares = g[piece] * self.share
            padded = np.zeros((*shares.shape[:2], *covered(h, w, out_h, out_w, k, s, p)), g.dtype)
            for window in windows(padded, out_h, out_w, k, s):
                window += shares
            dx[piece] = padded[:, :, p : p + h, p : p + w]

        for_planes(planes, dx)
        return dx


def avg_pool2d(x, kernel, stride=None, padding=0, ceil_mode=False):
    """Mean of each kernel×kernel window of x (N, C, H, W), over real cells; stride is the kernel's unless given."""
    return AvgPool2d(kernel, kernel if stride is None else stride, padding, ceil_mode)(x)
