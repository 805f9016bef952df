"""3×3 convolution at stride 1 with far fewer multiplications: Winograd's F(m×m, 3×3), m = 4 or 6 (Lavin & Gray 2016).

An m×m tile of the output depends on a patch d of the input, of m + 2 pixels a side: P = m + 2. With three small
matrices,

    y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A                P² products in place of 9·m²: a quarter of them for m = 4, a
                                                    fifth for m = 6. The sum over input channels goes inside [ ],
                                                    so for each of the P² places all tiles are one matrix product:

    V[k] (tiles × C)  @  U[k] (C × O)  =  M[k] (tiles × O),     U = G w Gᵀ,  V = Bᵀ d B,  k = 1 … P²

    ∂L/∂x = the same, of g with the kernels flipped and C, O exchanged
    ∂L/∂w = Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A g Aᵀ) ] G    the transposed maps, in reverse order

Why it holds, in one dimension: a polynomial product of degree < P is fixed by its values at P points. G and A
evaluate at the points, ⊙ multiplies the values, B interpolates; transposing turns the product into a convolution.
The points decide how rounding errors grow. For m = 4, 0, ±3/4, ±3/2, ∞ give a quarter of the error of the usual
0, ±1, ±2, ∞; for m = 6, 0, ±1/2, ±1, ±2, ∞ are the best of 364 sets of such kind that were tried.

Feature maps lie as (H, W, N, C), so Bᵀ meets P rows of the image as one matrix with W·N·C columns, and P
pixels of a row as one with N·C columns: both halves of each transform are matrix products without a copy.
"""

from functools import lru_cache

import numpy as np

from ...runtime.memory import empty, scratch
from ...runtime.threads import equal_slices, parallel_for, slices
from .im2col import BLAS_SMALL, strided_view

KERNEL = 3
BLOCK_BYTES = 5 << 18  # V and M of one block, near what a core's own caches hold
ROWS = 64, 512  # the most tiles × images in a block is no lower and, but for very many channels, no higher …
NARROW, DEEP = 64, 256  # products of fewer columns, or of fewer rows of the second matrix, are slow again
SLICE = 32  # channels; kernels are transformed for so many at once, or a multiple …
KERNELS_AT_ONCE = 1 << 16  # … of no more kernels than this, to be used while they are in the cache
KERNEL_COST = 47  # what transforming one kernel takes, in multiplications by it
START, BORDER = 16, 0.1  # what a block costs beside its tiles, in tiles; what reading its border adds
PARTIAL_SUMS = 4  # the weight gradient is summed in this many parts, whatever the number of threads


def transforms(tile, points):
    """Aᵀ (m, P), Bᵀ (P, P), G (P, 3) for P − 1 finite points and ∞ (Cook and Toom's construction), float64."""
    p = np.array(points)
    differences = p[:, None] - p + np.eye(len(p))
    infinity = np.eye(len(p) + 1)[-1:]  # the point ∞ reads the highest coefficient
    at = np.concatenate([np.vander(p, tile, increasing=True), infinity[:, -tile:]]).T
    g = np.vander(p, KERNEL, increasing=True) / differences.prod(axis=1)[:, None]
    g = np.concatenate([g, infinity[:, -KERNEL:]])
    others = [np.delete(p, i) for i in range(len(p))]  # Lagrange: Π (x − p_j) over the other points
    bt = np.array([*(np.append(np.poly(q)[::-1], 0) for q in others), np.poly(p)[::-1]])
    return at, bt, g


class WinogradConfig:
    """One m of F(m×m, 3×3): tile m, patch P, and its matrices by type."""

    def __init__(self, name, tile, points):
        self.name, self.tile, self.patch, self.points = name, tile, tile + KERNEL - 1, points
        at, bt, g = transforms(tile, points)
        # Aᵀ, Bᵀ, A, and G ⊗ G (P², 9), which transforms whole kernels at once
        exact = {"at": at, "bt": bt, "a": at.T, "gg": np.kron(g, g)}
        self.matrices = {
            np.dtype(t): {name: np.ascontiguousarray(m, t) for name, m in exact.items()}
            for t in (np.float32, np.float64)
        }

    def __reduce__(self):
        return find_config, (self.name,)

    def tiles(self, height, width):
        """How many tiles an output of that size has."""
        return -(-height // self.tile) * -(-width // self.tile)

    def cost(self, height, width, images):
        """Multiplications for an output of that size, for each pair of channels; with the kernels' transform."""
        return self.patch**2 * (self.tiles(height, width) * images + KERNEL_COST)


CONFIGS = {
    config.name: config
    for config in (
        WinogradConfig("winograd4", 4, (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)),
        WinogradConfig("winograd6", 6, (0, 1 / 2, -1 / 2, 1, -1, 2, -2)),
    )
}


def find_config(name):
    """The config of that name; in a worker process its own."""
    return CONFIGS[name]


def fits(kernel, stride, padding):
    """Whether this file can do a convolution of that kind."""
    return kernel == (KERNEL, KERNEL) and stride == 1 and 0 <= padding < KERNEL


def choose_config(height, width, images):
    """The name of the config that takes least time for an output of that size.

    The larger tile needs fewer products, but covers more beyond the border, and its kernels are larger.
    """
    return min(CONFIGS, key=lambda name: CONFIGS[name].cost(height, width, images))


# ---------------------------------------------------------------- the two products, on arrays


def convolve(x, w, padding, config, epilogue=None):
    """x (H, W, N, C) ∗ w (O, C, 3, 3) → (H', W', N, O); H' = H + 2·padding − 2. Fits any strides of w.

    epilogue(pixels, channels): what else to do to each block of the result, in place.
    """
    grid = make_grid(x.shape, padding, len(w), config)
    y = empty((grid.height, grid.width, grid.images, len(w)), x.dtype)

    if not grid.few_tiles:
        u = empty((config.patch**2, grid.channels, len(w)), x.dtype)
        inputs = slices(grid.channels, SLICE)
        parallel_for(lambda i: transform_weights(config, w[:, inputs[i]], u[:, inputs[i]]), len(inputs))

        def block(index):
            top, left, t, j = grid.blocks[index]
            patches = Patches(grid, t, j, grid.channels, x.dtype)
            tiles = Tiles(grid, t, j, len(w), x.dtype)
            patches.transform(x, top, left)
            multiply(patches.matrices, u, out=tiles.matrices)
            tiles.transform_back(y, top, left, epilogue)

        parallel_for(block, len(grid.blocks))
        return y

    v = transform_all(grid, x, Patches)
    outputs = _slices(len(w), *v.shape[1:])

    def channels(index):
        out = outputs[index]
        tiles = Tiles(grid, grid.rows, grid.columns, out.stop - out.start, x.dtype)
        u = scratch("winograd.u", (config.patch**2, v.shape[2], out.stop - out.start), x.dtype)
        transform_weights(config, w[out], u)
        multiply(v, u, out=tiles.matrices)
        tiles.transform_back(y[..., out], 0, 0, epilogue, out)

    parallel_for(channels, len(outputs))
    return y


def weight_gradient(x, g, padding, config):
    """Σ over tiles of x (H, W, N, C) with g (H', W', N, O) → (3, 3, C, O)."""
    c, o = x.shape[3], g.shape[3]
    grid = make_grid(x.shape, padding, o, config)
    if grid.few_tiles:
        return _weight_gradient_by_channels(grid, x, g)

    ranges = equal_slices(len(grid.blocks), PARTIAL_SUMS)
    parts = empty((len(ranges), config.patch**2, c, o), x.dtype)

    def sum_of(index):
        product = scratch("winograd.product", parts.shape[1:], x.dtype)
        for position, (top, left, t, j) in enumerate(grid.blocks[ranges[index]]):
            patches = Patches(grid, t, j, grid.channels, x.dtype)
            gradients = Gradients(grid, t, j, o, x.dtype)
            patches.transform(x, top, left)
            gradients.transform(g, top, left)
            out = product if position else parts[index]
            multiply(patches.transposed, gradients.matrices, out=out)
            if position:
                parts[index] += product

    parallel_for(sum_of, len(ranges))
    dw = empty((KERNEL**2, c, o), x.dtype)
    inputs = slices(c, SLICE)

    def add_up(index):
        some = inputs[index]
        du = scratch("winograd.product", parts[0, :, some].shape, x.dtype)
        du[...] = parts[0, :, some]
        for part in parts[1:]:
            du += part[:, some]
        transform_weights_back(config, du, dw[:, some])

    parallel_for(add_up, len(inputs))
    return dw.reshape(KERNEL, KERNEL, c, o)


def _weight_gradient_by_channels(grid, x, g):
    """The same where there are many channels: each input channel's kernels by themselves, over all tiles."""
    c, o = x.shape[3], g.shape[3]
    v, m = transform_all(grid, x, Patches), transform_all(grid, g, Gradients)
    dw = empty((KERNEL**2, c, o), x.dtype)
    inputs = _slices(c, *m.shape[1:])

    def channels(index):
        some = inputs[index]
        du = scratch("winograd.u", (grid.config.patch**2, some.stop - some.start, o), x.dtype)
        multiply(v[:, :, some].transpose(0, 2, 1), m, out=du)
        transform_weights_back(grid.config, du, dw[:, some])

    parallel_for(channels, len(inputs))
    return dw.reshape(KERNEL, KERNEL, c, o)


def multiply(a, b, out):
    """out = a @ b for stacks of matrices, cut by b's columns or rows where that makes products small for BLAS."""
    (rows, depth), columns = a.shape[1:], b.shape[2]
    width, height = BLAS_SMALL // (rows * depth), BLAS_SMALL // (rows * columns) // DEEP * DEEP
    if width < columns and height:
        first, *others = slices(depth, height)
        np.matmul(a[:, :, first], b[:, first], out=out)
        for cut in others:
            out += np.matmul(a[:, :, cut], b[:, cut], out=scratch("winograd.more", out.shape, out.dtype))
        return
    for cut in slices(columns, _even(columns, width) if width >= NARROW else columns):
        np.matmul(a, b[..., cut], out=out[..., cut])


# ---------------------------------------------------------------- the transforms


def transform_weights(config, w, u):
    """u (P², C, O) = G w Gᵀ of kernels w (O, C, 3, 3)."""
    kernels = w.transpose(2, 3, 1, 0)
    if not (kernels[0, 0].flags.c_contiguous and kernels.strides[1] > 0):
        kernels = scratch("winograd.kernels", kernels.shape, u.dtype)
        np.copyto(kernels, w.transpose(2, 3, 1, 0))
    matrix = config.matrices[u.dtype]["gg"]
    for source, out in blas_products(matrix, kernels.reshape(KERNEL**2, -1), u.reshape(config.patch**2, -1)):
        np.matmul(matrix, source, out=out)


def transform_weights_back(config, du, dw):
    """dw (9, C, O) = Gᵀ dU G of dU (P², C, O)."""
    matrix = config.matrices[du.dtype]["gg"].T
    for source, out in blas_products(matrix, du.reshape(config.patch**2, -1), dw.reshape(KERNEL**2, -1)):
        np.matmul(matrix, source, out=out)


def blas_products(matrix, source, out):
    """[(source, out), …]: out = matrix @ source, for a small matrix and long rows, cut into products small for BLAS."""
    longest = BLAS_SMALL // matrix.size // 16 * 16
    cuts = slices(source.shape[-1], _even(source.shape[-1], longest))
    return [(source[..., cut], out[..., cut]) for cut in cuts]


def transform_all(grid, maps, kind):
    """Patches or Gradients of all tiles: (P², tiles · N, channels)."""
    places = grid.config.patch**2
    shape = (places, grid.rows * grid.columns, grid.images, maps.shape[3])
    everything = empty(shape, maps.dtype)

    def block(index):
        top, left, t, j = grid.blocks[index]
        some = kind(grid, t, j, maps.shape[3], maps.dtype)
        some.transform(maps, top, left)
        by_row = everything.reshape(places, grid.rows, grid.columns, *shape[2:])
        by_row[:, top : top + t, left : left + j] = some.matrices.reshape(places, t, j, *shape[2:])

    parallel_for(block, len(grid.blocks))
    return everything.reshape(places, -1, maps.shape[3])


class Grid:
    """How the output is cut into m×m tiles and these into blocks of t × j tiles: (top, left, t, j), in tiles."""

    def __init__(self, shape, padding, out_channels, config):
        self.config, self.made_of = config, (shape, padding, out_channels, config)
        (self.in_height, self.in_width, self.images, self.channels), self.padding = shape, padding
        self.height = self.in_height + 2 * padding - KERNEL + 1
        self.width = self.in_width + 2 * padding - KERNEL + 1
        self.rows, self.columns = -(-self.height // config.tile), -(-self.width // config.tile)
        # Kernels and tiles are both multiplied with all of the other; the fewer ones are transformed at once and
        # kept, the others block by block, to be used while they are in the cache.
        self.few_tiles = self.rows * self.columns * self.images < max(self.channels, out_channels)
        wanted = BLOCK_BYTES // (4 * config.patch**2 * (self.channels + out_channels))
        # … and each block reads all of U, C·O numbers a place, beside C + O numbers for each of its rows.
        fewest = max(ROWS[0], self.channels * out_channels // (self.channels + out_channels))
        most = max(min(wanted, ROWS[1]), fewest)
        t, j = _block_size(self.rows, self.columns, self.images, most, KERNEL / config.tile)
        self.blocks = [
            (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
            for rows in slices(self.rows, t)
            for columns in slices(self.columns, j)
        ]

    def __reduce__(self):
        return make_grid, self.made_of


@lru_cache(maxsize=1024)
def make_grid(shape, padding, out_channels, config):
    """A Grid; the same one for the same x.shape (H, W, N, C), also in a worker process."""
    return Grid(shape, padding, out_channels, config)


@lru_cache(maxsize=1024)
def _block_size(rows, columns, images, most, edge):
    """t, j of the blocks of rows × columns tiles that take least time, of no more than `most` tiles · images each.

    edge: how far a block reads beyond its tiles, in tiles.
    """

    def time(size):
        t, j = size
        blocks = -(-rows // t) * -(-columns // j)
        rounds = -(-blocks // PARTIAL_SUMS)  # by as many threads as can be of use everywhere
        border = (t + edge) * (j + edge) / (t * j)  # each block reads its neighbours' border
        return rounds * (t * j * images * (1 + BORDER * border) + START + t)

    sizes = {(_even(rows, t), _even(columns, j)) for t in range(1, rows + 1) for j in range(1, columns + 1)}
    return min((size for size in sorted(sizes) if size[0] * size[1] * images <= max(most, images)), key=time)


def _slices(channels, tiles, others):
    """Slices of channels whose kernels from or to all `others` are transformed and multiplied with all tiles."""
    most = min(KERNELS_AT_ONCE // others, channels // PARTIAL_SUMS)
    small = BLAS_SMALL // (tiles * others)
    return slices(channels, max((min(small, most) if small >= SLICE else most) // SLICE, 1) * SLICE)


def _even(length, step):
    """The step that cuts `length` into as many parts as `step` would, but equal ones."""
    return -(-length // -(-length // min(step, length)))


class Patches:
    """V = Bᵀ d B of t × j patches with c channels, in scratch memory."""

    def __init__(self, grid, t, j, c, dtype):
        self.grid, tile, patch = grid, grid.config.tile, grid.config.patch
        pixel = grid.images * c  # N·C numbers: one pixel of all images
        row = (tile * j + 2) * pixel
        self.bt = grid.config.matrices[np.dtype(dtype)]["bt"]
        self.half = half = scratch("winograd.half", (t, patch, row), dtype)
        v = scratch("winograd.v", (patch, patch, t, j, pixel), dtype)
        overlapping_columns = strided_view(
            half, 0, (patch, t, j, patch, pixel), (row, patch * row, tile * pixel, pixel, 1)
        )
        self.along_columns = blas_products(self.bt, overlapping_columns, v.transpose(0, 2, 3, 1, 4))
        self.matrices = v.reshape(patch**2, t * j * grid.images, c)
        self.transposed = self.matrices.transpose(0, 2, 1)

    def transform(self, x, top, left):
        """Fill `matrices` from x (H, W, N, C), for the block at tile (top, left)."""
        tile, padding = self.grid.config.tile, self.grid.padding
        _along_rows(self.bt, x, tile, tile * top - padding, tile * left - padding, self.half)
        for source, out in self.along_columns:
            np.matmul(self.bt, source, out=out)


def _along_rows(matrix, x, tile, top, left, out):
    """out (t, P, …) = the matrix times the rows of x (H, W, N, C) from `top` + i·tile on, each from pixel `left` on.

    Outside of x there are zeros.
    """
    h, w, pixel = len(x), x[0].size, x[0, 0].size
    (t, _, columns), rows, left = out.shape, matrix.shape[1], left * pixel
    first, last = max(-left, 0), min(w - left, columns)
    out[..., :first] = out[..., last:] = 0
    out = out[..., first:last]
    height = tile * (t - 1) + rows
    if top < 0 or top + height > h:
        padded = scratch("winograd.padded", (height, last - first), x.dtype)
        inside = slice(max(-top, 0), min(h - top, height))
        padded[: inside.start] = padded[inside.stop :] = 0
        padded[inside] = x.reshape(h, w)[top + inside.start : top + inside.stop, left + first : left + last]
        x, w, start = padded, last - first, 0
    else:
        start = top * w + left + first
    for source, to in blas_products(
        matrix, strided_view(x, start, (t, rows, last - first), (tile * w, w, 1)), out
    ):
        np.matmul(matrix, source, out=to)


class Tiles:
    """M (P², tiles·N, O), and y = Aᵀ M A of t × j tiles."""

    def __init__(self, grid, t, j, o, dtype):
        self.grid, tile, patch = grid, grid.config.tile, grid.config.patch
        pixel = grid.images * o
        m = scratch("winograd.m", (patch, patch, t, j, pixel), dtype)
        half = scratch("winograd.half", (t, patch, j, tile, pixel), dtype)
        self.at = grid.config.matrices[np.dtype(dtype)]["at"]
        self.matrices = m.reshape(patch**2, t * j * grid.images, o)
        self.along_columns = m.transpose(0, 2, 3, 1, 4), half.transpose(1, 0, 2, 3, 4)
        self.half = half.reshape(t, patch, tile * j, grid.images, o)

    def transform_back(self, y, top, left, epilogue=None, channels=slice(None)):
        """Write the block at tile (top, left) of y (H', W', N, O), the result's `channels`, after the epilogue."""
        side, (source, out) = self.grid.config.tile, self.along_columns
        np.matmul(self.at, source, out=out)
        y = y[side * top :, side * left : side * left + self.half.shape[2]]
        columns = y.shape[1]
        for tile, half in enumerate(self.half):
            rows = y[side * tile : side * (tile + 1)]
            at, flat = self.at[: len(rows)], half[:, :columns].reshape(len(half), -1)
            lines = rows if rows[0].flags.c_contiguous else scratch("winograd.rows", rows.shape, y.dtype)
            for source, out in blas_products(at, flat, lines.reshape(len(rows), -1)):
                np.matmul(at, source, out=out)
            if epilogue:
                epilogue(lines, channels)
            if lines is not rows:
                rows[...] = lines


class Gradients:
    """A g Aᵀ of t × j tiles: what the weight gradient multiplies the patches with."""

    def __init__(self, grid, t, j, o, dtype):
        self.grid, tile, patch = grid, grid.config.tile, grid.config.patch
        pixel = grid.images * o
        self.a = grid.config.matrices[np.dtype(dtype)]["a"]
        self.half = half = scratch("winograd.half", (t, patch, tile * j * pixel), dtype)
        m = scratch("winograd.m", (patch, patch, t, j, pixel), dtype)
        columns = half.reshape(t, patch, j, tile, pixel).transpose(1, 0, 2, 3, 4)
        self.along_columns = blas_products(self.a, columns, m.transpose(0, 2, 3, 1, 4))
        self.matrices = m.reshape(patch**2, t * j * grid.images, o)

    def transform(self, g, top, left):
        """Fill `matrices` from g (H', W', N, O), for the block at tile (top, left)."""
        tile = self.grid.config.tile
        _along_rows(self.a, g, tile, tile * top, tile * left, self.half)
        for source, out in self.along_columns:
            np.matmul(self.a, source, out=out)
