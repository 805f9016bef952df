"""Winograd's convolution on a GPU against im2col on the CPU."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import backend
from tinyface.kernels.cpu import im2col
from tinyface.kernels.cuda import winograd

pytestmark = pytest.mark.gpu

CLOSE = {np.float32: 1e-5, np.float64: 1e-12}  # as a share of the largest value
sizes = st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 8, 33]), st.integers(1, 14), st.integers(1, 14))


def there(array, dtype=np.float64):
    return backend.to_device(array.astype(dtype), "cuda")


def lying(array):
    return backend.as_hwnc(array)


def assert_close(got, wanted, dtype, scale=1.0):
    got = backend.to_device(got, "cpu")
    assert got.dtype == dtype and got.shape == wanted.shape and got.flags.c_contiguous
    close = CLOSE[dtype] * max(np.abs(wanted).max(), scale)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=close)


def check(normal, size, o, padding, dtype):
    """All three products of x of that size."""
    x, w, b = normal(size), normal((o, size[1], 3, 3), 1), normal(o, 3)
    g = normal((size[0], o, size[2] + 2 * padding - 2, size[3] + 2 * padding - 2), 2)
    y = backend.as_nchw(im2col.convolve(lying(x), w, 1, padding))
    h, width, n, c = lying(x).shape
    dx = backend.as_nchw(im2col.input_gradient(lying(g), w, (h, width, n, c), 1, padding))
    dw = backend.as_oihw(im2col.weight_gradient(lying(x), lying(g), w.shape, 1, padding))
    x, w, b_there, g = (there(a, dtype) for a in (x, w, b, g))
    assert_close(winograd.convolve(x, w, padding), y, dtype)
    assert_close(winograd.convolve(x, w, padding, b_there), y + b[:, None, None], dtype)
    assert_close(winograd.input_gradient(g, w, padding), dx, dtype)
    assert_close(winograd.weight_gradient(x, g, padding), dw, dtype)


@given(
    size=sizes,
    o=st.sampled_from([1, 2, 5, 40]),
    padding=st.integers(0, 2),
    dtype=st.sampled_from(list(CLOSE)),
)
def test_equals_im2col(normal, size, o, padding, dtype):
    size = (*size[:2], *(max(length, 3 - 2 * padding) for length in size[2:]))
    check(normal, size, o, padding, dtype)


@pytest.mark.parametrize("workspace", [1, 36 * 12 * 8 * 9, 36 * 12 * 8 * 40])
@pytest.mark.parametrize("partial", [1, 4])
def test_slices_and_parts_make_no_difference(normal, monkeypatch, workspace, partial):
    """A tile at a time, slices of parts with some tiles left over, and sums of many parts."""
    monkeypatch.setattr(winograd, "WORKSPACE", workspace)
    monkeypatch.setattr(winograd, "PARTIAL", partial)
    check(normal, (3, 5, 13, 10), 7, 1, np.float64)


@pytest.mark.parametrize("tiles", [1, 5, 42, 1000, 12345])
@pytest.mark.parametrize("smallest", [None, 1, 32, 4000])
@pytest.mark.parametrize("workspace", [1, 36 * 8 * 4 * 100, 1 << 30])
def test_the_cut(monkeypatch, tiles, smallest, workspace):
    """Slices cover all tiles, none lies behind them all, and they keep to the workspace but for the alignment."""
    monkeypatch.setattr(winograd, "WORKSPACE", workspace)
    grid = winograd.Grid((tiles, 1, 4, 4), 1)
    assert grid.tiles == tiles
    parts, part = grid.cut(8, 4, smallest)
    most = max(workspace // (36 * 8 * 4), 1)
    assert part % winograd.ALIGNED == 0 and parts * part <= most + parts * winograd.ALIGNED
    assert (parts == 1) or smallest
    slices = len(range(0, tiles, parts * part))
    assert slices <= 2 * -(-tiles // most) - (tiles <= most)


def test_rounding_error(normal):
    """In float32, against float64, of a layer in the middle of the network: below 1e-5 of the largest value."""

    def rounded(shape, seed=0):
        return normal(shape, seed).astype(np.float32).astype(np.float64)

    check(rounded, (2, 64, 27, 22), 64, 1, np.float32)
