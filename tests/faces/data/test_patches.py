"""Tiles, turns and shares, on the device under test."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinyface import backend
from tinyface.faces.data.patches import (
    FOREGROUND,
    choose_tiles,
    random_choices,
    region_shares,
    square_slices,
    tile_slices,
    turn_table,
    turn_tiles,
)

SIZES = [(109, 89), (218, 178), (55, 45), (7, 9), (3, 3)]


def numpy(array):
    return backend.to_device(array, "cpu")


@pytest.mark.parametrize("size", SIZES)
def test_tiles_cover_every_pixel_once_in_reading_order(size):
    found = np.full(size, -1)
    for tile, place in enumerate(tile_slices(size)):
        assert (found[place] == -1).all()
        found[place] = tile
    assert (found >= 0).all()
    assert found[0, 0] == 0 and found[0, -1] == 2 and found[-1, 0] == 6 and found[-1, -1] == 8
    counts = np.bincount(found.ravel())
    assert counts.max() <= (size[0] // 3 + 1) * (size[1] // 3 + 1)


@pytest.mark.parametrize("size", SIZES)
def test_the_square_lies_in_the_middle_of_its_tile_and_is_as_large_as_can_be(size):
    for tile, square in zip(tile_slices(size), square_slices(size), strict=True):
        for outer, inner in zip(tile, square, strict=True):
            left, right = inner.start - outer.start, outer.stop - inner.stop
            assert inner.stop - inner.start == min(size) // 3 and 0 <= right - left <= 1


@pytest.mark.parametrize("size", SIZES)
def test_a_turn_moves_pixels_within_one_square(size):
    table, pixels = turn_table(size), np.arange(size[0] * size[1])
    for tile, square in enumerate(square_slices(size)):
        outside = np.ones(size, bool)
        outside[square] = False
        for turns in range(4):
            np.testing.assert_array_equal(np.sort(table[tile, turns]), pixels)
            kept = table[tile, turns].reshape(size)
            np.testing.assert_array_equal(kept[outside], pixels.reshape(size)[outside])
            np.testing.assert_array_equal(kept[square], np.rot90(pixels.reshape(size)[square], turns))


@given(st.integers(3, 30), st.integers(3, 30), st.integers(1, 4), st.integers(0, 99))
def test_images_and_labels_are_turned_alike(put, h, w, count, seed):
    rng = np.random.default_rng(seed)
    tiles, turns = rng.integers(0, 9, count), rng.integers(0, 4, count)
    labels = rng.integers(0, 7, (count, h, w)).astype(np.uint8)
    # In memory as the networks want it.
    images = np.stack([labels, labels + 10, labels + 20], axis=1).astype(np.float32)
    images = put(backend.as_nchw(np.ascontiguousarray(images.transpose(2, 3, 0, 1))))
    turned = numpy(turn_tiles(put(labels), put(tiles), put(turns)))
    both = numpy(turn_tiles(images, put(tiles), put(turns)))
    assert turned.dtype == np.uint8 and both.dtype == np.float32
    for channel in range(3):
        np.testing.assert_array_equal(both[:, channel], turned + 10.0 * channel)
    for n in range(count):
        expected, square = labels[n].copy(), square_slices((h, w))[tiles[n]]
        expected[square] = np.rot90(labels[n][square], turns[n])
        np.testing.assert_array_equal(turned[n], expected)


def test_what_was_handed_in_stays_as_it_was(put):
    labels = put(np.arange(81, dtype=np.uint8).reshape(1, 9, 9))
    turn_tiles(labels, put(np.array([4])), put(np.array([1])))
    np.testing.assert_array_equal(numpy(labels).ravel(), np.arange(81))


def test_shares_of_each_tile(put):
    labels = np.random.default_rng(0).integers(0, 7, (3, 20, 11)).astype(np.uint8)
    shares = numpy(region_shares(put(labels), 7))
    assert shares.shape == (3, 7, 9) and shares.dtype == np.float32
    for tile, place in enumerate(tile_slices((20, 11))):
        for region in range(7):
            expected = (labels[:, place[0], place[1]] == region).mean(axis=(1, 2))
            np.testing.assert_allclose(shares[:, region, tile], expected, rtol=1e-6)


def test_a_mostly_foreground_tile_is_chosen_at_random(put):
    shares = np.zeros((1, 7, 9), np.float32)
    shares[0, 0] = 0.9  # background
    shares[0, 0, [1, 4, 7]] = 0.2, 1 - FOREGROUND, 0.49
    rng = np.random.default_rng(0)
    many = np.repeat(shares, 600, axis=0)
    tiles = numpy(choose_tiles(put(many), put(rng.random((600, 9), dtype=np.float32))))
    counts = np.bincount(tiles, minlength=9)
    assert set(np.nonzero(counts)[0]) == {1, 4, 7} and counts[[1, 4, 7]].min() > 150


def test_without_a_foreground_the_tile_with_the_most_of_it(put):
    shares = np.zeros((2, 7, 9), np.float32)
    shares[:, 0] = 0.9
    shares[0, 0, 5], shares[1, 0, 3] = 0.6, 0.7
    numbers = np.random.default_rng(0).random((2, 9), dtype=np.float32)
    assert numpy(choose_tiles(put(shares), put(numbers))).tolist() == [5, 3]


def test_chance_is_a_function_of_seed_and_step():
    def same(*arguments):
        base = random_choices(5, 1, 7)
        return all(np.array_equal(a, b) for a, b in zip(base, random_choices(5, *arguments), strict=True))

    assert same(1, 7) and not same(2, 7) and not same(1, 8) and not same(1, 7, True)
    numbers, turns = random_choices(4000, 0, 0)
    assert numbers.shape == (4000, 9) and numbers.min() >= 0 and numbers.max() < 1
    assert np.bincount(turns).min() > 900 and set(turns) == {0, 1, 2, 3}
