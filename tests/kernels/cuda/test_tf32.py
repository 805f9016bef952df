"""The convolution on tensor cores against im2col on the CPU, with factors rounded as the tensor cores round them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import backend
from tinyface.errors import TinyfaceError
from tinyface.kernels.cpu import im2col
from tinyface.kernels.cuda import tf32

pytestmark = pytest.mark.gpu

CLOSE = 5e-6  # as a share of the largest value: sums are float32
ROUNDED = 2**-11  # the largest relative error of a factor


@pytest.fixture(autouse=True, scope="module")
def on():
    try:
        backend.set_tf32(True)
    except TinyfaceError as error:
        pytest.skip(str(error))
    yield
    backend.set_tf32(False)


def rounded(array):
    """float32 rounded to 10 bits behind the binary point, half away from zero."""
    bits = np.asarray(array, np.float32).view(np.uint32)
    return ((bits + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)


def there(array):
    return backend.to_device(array.astype(np.float32), "cuda")


def assert_close(got, wanted):
    got = backend.to_device(got, "cpu")
    assert got.dtype == np.float32 and got.shape == wanted.shape and got.flags.c_contiguous
    np.testing.assert_allclose(got, wanted, rtol=0, atol=CLOSE * max(np.abs(wanted).max(), 1))


def products(x, w, b, g, padding):
    """y, ∂L/∂x and ∂L/∂w on the CPU, in float64, as (N, C, H, W)."""
    x, w, g = (a.astype(np.float64) for a in (x, w, g))
    lying, g = backend.as_hwnc(x), backend.as_hwnc(g)
    return (
        backend.as_nchw(im2col.convolve(lying, w, 1, padding)) + b[:, None, None],
        backend.as_nchw(im2col.input_gradient(g, w, lying.shape, 1, padding)),
        backend.as_oihw(im2col.weight_gradient(lying, g, w.shape, 1, padding)),
    )


def check(normal, size, o, kernel, padding):
    out = [length + 2 * padding - k + 1 for length, k in zip(size[2:], kernel, strict=True)]
    x, w, b, g = normal(size), normal((o, size[1], *kernel), 1), normal(o, 2), normal((size[0], o, *out), 3)
    y, dx, dw = products(*map(rounded, (x, w)), b, rounded(g), padding)
    x, w, b_there, g = map(there, (x, w, b, g))
    assert_close(tf32.convolve(x, w, padding, b_there), y)
    assert_close(tf32.convolve(x, w, padding), y - b[:, None, None])
    assert_close(tf32.input_gradient(g, w, padding), dx)
    assert_close(tf32.weight_gradient(x, g, kernel, padding), dw)


@given(
    size=st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 8, 17]), st.integers(1, 12), st.integers(1, 12)),
    o=st.sampled_from([1, 2, 9, 20]),
    kernel=st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3, 5])),
    padding=st.integers(0, 3),
)
def test_equals_im2col(normal, size, o, kernel, padding):
    lengths = (max(length, k - 2 * padding) for length, k in zip(size[2:], kernel, strict=True))
    check(normal, (*size[:2], *lengths), o, kernel, padding)


@pytest.mark.parametrize("size, o", [((2, 40, 13, 11), 70), ((3, 66, 9, 10), 64), ((1, 130, 5, 4), 129)])
def test_several_tiles_of_everything(normal, size, o):
    check(normal, size, o, (3, 3), 1)


@pytest.mark.parametrize("blocks, shortest", [(1, 1), (18, 1), (1 << 20, 1), (1 << 20, 3)])
def test_parts_of_the_weight_gradient(normal, monkeypatch, blocks, shortest):
    """One sum, two, one of each slab, and of three: the last is shorter."""
    monkeypatch.setattr(tf32, "BLOCKS", blocks)
    monkeypatch.setattr(tf32, "SHORTEST", shortest)
    x, g = rounded(normal((2, 5, 13, 10))), rounded(normal((2, 6, 13, 10), 1))
    dw = products(x, normal((6, 5, 3, 3)), np.zeros(6), g, 1)[2]
    assert_close(tf32.weight_gradient(there(x), there(g), (3, 3), 1), dw)


def test_what_is_rounded(normal):
    """Factors that have no more bits than TF32 come through exactly; others lose what lies behind, and no more."""
    x, w = normal((1, 1, 4, 4)).astype(np.float32), np.ones((1, 1, 1, 1))
    y = backend.to_device(tf32.convolve(there(x), there(w), 0), "cpu")
    np.testing.assert_array_equal(y, rounded(x))
    assert (y != x).any() and (np.abs(y - x) <= ROUNDED * np.abs(x)).all()


def test_infinite_and_missing_values_come_through():
    x = np.array([1, np.inf, -np.inf, np.nan]).reshape(1, 1, 2, 2)
    y = tf32.convolve(there(x), there(np.ones((1, 1, 1, 1))), 0)
    np.testing.assert_array_equal(backend.to_device(y, "cpu"), x)


def test_where_it_fits():
    assert tf32.fits(np.dtype(np.float32), 1)
    assert not tf32.fits(np.dtype(np.float64), 1) and not tf32.fits(np.dtype(np.float32), 2)
    backend.set_tf32(False)
    assert not tf32.fits(np.dtype(np.float32), 1)
    backend.set_tf32(True)
