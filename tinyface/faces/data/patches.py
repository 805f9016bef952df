"""The patches of SSPL (Shu et al., CVPR 2021): an image as 3×3 tiles, one of which is turned.

Row i of tiles spans the pixels ⌊i·H/3⌋ … ⌊(i+1)·H/3⌋ − 1, columns likewise; tiles are counted in reading order. A tile
of an image of 218×178 is no square, so a quarter turn would not fit. What is turned is the square in its middle, of
side min(⌊H/3⌋, ⌊W/3⌋): 81 % of the tile's area. A turn moves pixels and changes none, so it is a permutation:

    y[p] = x[π(p)],   π of (tile, quarter turns) counter-clockwise

and image and label map are turned by the same one. Everything here computes where its arrays are, and waits for
no GPU.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from tinyface import backend
from tinyface.runtime.devices import gpu_of, to_gpu

GRID = 3
TILES, ANGLES = GRID * GRID, 4
FOREGROUND = 0.5  # share of a tile's pixels that are not background, from which on it may be turned
PRESENT = 0.01  # share of a tile's pixels from which on a region is there; fewer are likely wrong


def tile_slices(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """(rows, columns) of the nine tiles of an image of `size` (height, width)."""
    edges = [[i * length // GRID for i in range(GRID + 1)] for length in size]
    rows, columns = ([slice(a, b) for a, b in pairwise(e)] for e in edges)
    return [(r, c) for r in rows for c in columns]


def square_slices(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """(rows, columns) of the squares in the middle of the nine tiles: what is turned."""
    side = min(size) // GRID

    def middle(line):
        start = line.start + (line.stop - line.start - side) // 2
        return slice(start, start + side)

    return [(middle(rows), middle(columns)) for rows, columns in tile_slices(size)]


def turn_table(size: tuple[int, int]) -> np.ndarray:
    """All permutations π: (9, 4, H·W) int32, by tile and number of quarter turns."""
    pixels = np.arange(size[0] * size[1], dtype=np.int32).reshape(size)
    table = np.tile(pixels, (TILES, ANGLES, 1, 1))
    for tile, square in enumerate(square_slices(size)):
        for turns in range(ANGLES):
            table[tile, turns][square] = np.rot90(pixels[square], turns)
    return table.reshape(TILES, ANGLES, -1)


@lru_cache(maxsize=4)
def _table_on(gpu: int | None, size: tuple[int, int]):
    return to_gpu(turn_table(size), gpu)


def turn_tiles(maps, tiles, turns):
    """A copy of maps (N, …, H, W) with tile tiles[n] of map n turned by turns[n] quarters; both integers (N,)."""
    xp, size = backend.get_array_module(maps), tuple(maps.shape[-2:])
    table = _table_on(gpu_of(maps), size)
    source = table[tiles, turns].reshape(len(maps), *(1,) * (maps.ndim - 3), -1)
    flat = maps.reshape(*maps.shape[:-2], -1)
    return xp.take_along_axis(flat, source, axis=-1).reshape(maps.shape)


def region_shares(labels, regions: int):
    """Which part of each tile's pixels each region takes: ids (N, H, W) → (N, regions, 9) float32."""
    xp = backend.get_array_module(labels)
    of_region = labels[:, None] == xp.arange(regions, dtype=labels.dtype)[:, None, None]
    slices = tile_slices(labels.shape[1:])
    return xp.stack([of_region[:, :, r, c].mean(axis=(2, 3), dtype=np.float32) for r, c in slices], axis=2)


def choose_tiles(shares, numbers):
    """A tile of each image at random among those that are mostly foreground: (N,) integers.

    shares: those of `region_shares`, region 0 the background. numbers: (N, 9), random in [0, 1): the largest wins.
    Where no tile is mostly foreground, the one with the most of it.
    """
    xp = backend.get_array_module(shares)
    foreground = 1 - shares[:, 0]
    return xp.where(foreground >= FOREGROUND, 1 + numbers, foreground).argmax(axis=1)


def random_choices(
    count: int, seed: int, step: int, validating: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What a batch needs of chance, a function of seed and step alone: numbers (N, 9) float32, quarter turns (N,).

    validating: other numbers than those of the training step.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3 if validating else 2, step]))
    return rng.random((count, TILES), dtype=np.float32), rng.integers(0, ANGLES, count)
