"""Launches that max and average pooling have in common."""

from pathlib import Path

import numpy as np

from ...runtime.cuda import launch_rows, load_kernels
from ...runtime.devices import cupy

HERE = Path(__file__).parent


def pool(pooling, x, *arrays):
    """Kernel `pooling.op`, a thread for each window, of x (N, C, H, W) and others → (N, C, H', W')."""
    n, c, h, w = x.shape
    out_h, out_w = pooling.out
    y = cupy().empty((n, c, out_h, out_w), x.dtype)
    kernel = load_kernels(HERE / f"{pooling.op}.cu", x.dtype).get_function(pooling.op)
    sizes = n * c * out_h, h, w, out_h, out_w, pooling.kernel, pooling.stride, pooling.padding
    launch_rows(kernel, n * c * out_h, out_w, x, y, *arrays, *map(np.int32, sizes))
    return y


def pool_backward(pooling, shape, g, *arrays):
    """∂L/∂x by a kernel with a thread for each stride×stride cells of x of that shape (N, C, H, W)."""
    n, c, h, w = shape
    dx = cupy().empty(shape, g.dtype)
    tiles = [-(-(length + pooling.padding) // pooling.stride) for length in (h, w)]
    kernel = load_kernels(HERE / f"{pooling.op}.cu", g.dtype).get_function(f"{pooling.op}_backward")
    sizes = n * c * tiles[0], *tiles, h, w, *g.shape[2:], pooling.kernel, pooling.stride, pooling.padding
    launch_rows(kernel, n * c * tiles[0], tiles[1], g, *arrays, dx, *map(np.int32, sizes))
    return dx
