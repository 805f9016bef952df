"""Winograd's convolution on a GPU: 3×3 at stride 1, the formulas of cpu/winograd.py for tiles of 4×4.

    V = Bᵀ d B  (36, C, tiles),   U = G w Gᵀ  (36, O, C),   M[k] = U[k] @ V[k]  (36, O, tiles),   y = Aᵀ M A

    ∂L/∂x = the same, of g with the kernels flipped and C, O exchanged
    ∂L/∂w = Gᵀ [ Σ_tiles (A g Aᵀ) ⊙ (Bᵀ d B) ] G,     its sum being (A g Aᵀ)[k] (O × tiles) @ V[k]ᵀ (tiles × C)

Transforms are kernels of their own and the products cuBLAS's ("non-fused"), so V and M go through the GPU's memory.
The products take 36 multiplications for a tile and a pair of channels instead of 16·9 = 144, a quarter. But a tile
of 16 pixels becomes 36 numbers: V and M are 36/16 = 2.25 times as large as the maps, and each is written once and
read once. Moved are, in maps of x and y: 1 + 2.25 + 2.25 of x, 2.25 + 2.25 + 1 of y, where a direct convolution
moves 1 of each. That is 11 numbers for each pixel, however many channels there are, while the multiplications saved,
108/16·C for each pixel and output channel, grow with them. A GPU makes 20 to 80 multiplications in the time in which
it moves one number: with 16 channels the transforms cost more than they save, with some hundreds they pay for
themselves.
"""

from pathlib import Path

import numpy as np

from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ..cpu.winograd import CONFIGS, KERNEL, transforms
from .matmul import multiply

CONFIG = CONFIGS["winograd4"]
PLANES = CONFIG.patch**2
WORKSPACE = 256 << 20  # bytes of V and M together: of more tiles than that, some are done after the others
ALIGNED = 4  # tiles in a part are a multiple of this: cuBLAS loads so many numbers at once
PARTIAL = 16  # sums for the weight gradient are parts, each at most a 16th of the size of what it is a sum of

GRID = np.dtype([(name, np.int32) for name in ("rows", "columns", "tiles", "first", "parts", "part")])


def _matrices(dtype):
    """The struct Matrices of winograd.cu: A (6, 4), Bᵀ (6, 6), G (6, 3), the same numbers as on the CPU."""
    at, bt, g = transforms(CONFIG.tile, CONFIG.points)
    values = {"a": at.T, "bt": bt, "g": g}
    struct = np.zeros((), [(name, dtype, value.shape) for name, value in values.items()])
    for name, value in values.items():
        struct[name] = value
    return struct[()]


MATRICES = {np.dtype(t): _matrices(t) for t in (np.float32, np.float64)}


# ---------------------------------------------------------------- the three products, on arrays (N, C, H, W)


def convolve(x, w, padding, b=None):
    """x (N, C, H, W) ∗ w (O, C, 3, 3) + b (O,) → (N, O, H', W'); H' = H + 2·padding − 2."""
    return _convolve(x, w, padding, b, flipped=False)


def input_gradient(g, w, padding):
    """∂L/∂x (N, C, H, W) of g (N, O, H', W') and w (O, C, 3, 3); `padding` is the convolution's."""
    return _convolve(g, w, KERNEL - 1 - padding, None, flipped=True)


def _convolve(x, w, padding, b, flipped):
    """x ∗ w + b, or of w flipped with input and output channels exchanged. All C-contiguous."""
    xp, run, grid = cupy(), _Kernels(x.dtype), Grid(x.shape, padding)
    c, o = x.shape[1], w.shape[1] if flipped else w.shape[0]
    y = xp.empty((x.shape[0], o, grid.height, grid.width), x.dtype)
    _, part = grid.cut(c + o, x.itemsize)
    u = xp.empty((PLANES, *w.shape[:2]), x.dtype)
    v, m = (xp.empty((PLANES, channels, part), x.dtype) for channels in (c, o))

    run("kernels", u[0].size, w, u, u[0].size, int(flipped))
    for first in range(0, grid.tiles, part):
        tiles = grid.struct(first, 1, part)
        run("patches", c * part, tiles, x, v, *x.shape[1:], padding)
        multiply(u, v, m, a_transposed=flipped)
        run("assemble", o * part, tiles, m, b, y, *y.shape[1:])
    return y


def weight_gradient(x, g, padding):
    """∂L/∂w (O, C, 3, 3) of x (N, C, H, W) and g (N, O, H', W').

    Tiles are summed in parts, which a last kernel adds up: cuBLAS would keep few of the GPU's processors busy with
    36 products of a few channels, and the rounding errors of short sums are smaller.
    """
    xp, run, grid = cupy(), _Kernels(x.dtype), Grid(x.shape, padding)
    c, o = x.shape[1], g.shape[1]
    parts, part = grid.cut(c + o, x.itemsize, smallest=-(-PARTIAL * c * o // (c + o)))
    v, m = (xp.empty((parts * PLANES, channels, part), x.dtype) for channels in (c, o))
    du = xp.empty((parts * PLANES, o, c), x.dtype)
    dw = xp.empty((o, c, KERNEL, KERNEL), x.dtype)

    for first in range(0, grid.tiles, parts * part):
        tiles = grid.struct(first, parts, part)
        run("patches", parts * c * part, tiles, x, v, *x.shape[1:], padding)
        run("gradients", parts * o * part, tiles, g, m, *g.shape[1:])
        multiply(m, v, du, b_transposed=True, add=first > 0)
    run("kernels_back", o * c, du, dw, o * c, parts, block=64)
    return dw


class Grid:
    """How the output is cut into 4×4 tiles, and the tiles of all images, in a row, into cuts and parts."""

    def __init__(self, shape, padding):
        self.height, self.width = (length + 2 * padding - KERNEL + 1 for length in shape[2:])
        self.rows, self.columns = -(-self.height // CONFIG.tile), -(-self.width // CONFIG.tile)
        self.tiles = shape[0] * self.rows * self.columns

    def cut(self, channels, itemsize, smallest=None):
        """(parts, part): at once go so many parts of so many tiles, as equal as can be, within WORKSPACE.

        channels: of both maps together; smallest: fewest tiles of a part, None for a single part.
        """
        tiles = max(self.tiles, 1)
        most = max(WORKSPACE // (PLANES * channels * itemsize), 1)
        part = min(smallest or tiles, most, tiles)
        cuts = -(-tiles // (most // part * part))
        parts = -(-tiles // (cuts * part))
        part = -(-tiles // (cuts * parts))
        return parts, -(-part // ALIGNED) * ALIGNED

    def struct(self, first, parts, part):
        """The struct Grid of winograd.cu."""
        return np.array((self.rows, self.columns, self.tiles, first, parts, part), GRID)[()]


class _Kernels:
    """run(name, threads, *arguments): launch a kernel of winograd.cu, after the matrices, ints as 32 bits."""

    def __init__(self, dtype):
        self.module = load_kernels(Path(__file__).with_suffix(".cu"), dtype)
        self.matrices = MATRICES[dtype]

    def __call__(self, name, threads, *arguments, block=128):
        arguments = [np.int32(a) if isinstance(a, int) else a for a in arguments]
        launch(self.module.get_function(name), threads, self.matrices, *arguments, block=block)
