"""Winograd's transforms by themselves; the convolutions made of them are tested in test_conv2d.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface.kernels.cpu import im2col, winograd

both_forms = pytest.mark.parametrize("config", winograd.CONFIGS.values(), ids=winograd.CONFIGS)


@both_forms
def test_one_tile_by_the_formula(normal, config):
    """y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A is the convolution of a patch with a 3×3 kernel."""
    m = config.matrices[np.dtype(np.float64)]
    d, w = normal((config.patch, config.patch)), normal((3, 3), 1)
    direct = [[(d[i : i + 3, j : j + 3] * w).sum() for j in range(config.tile)] for i in range(config.tile)]
    u = (m["gg"] @ w.reshape(9)).reshape(d.shape)
    np.testing.assert_allclose(m["at"] @ (u * (m["bt"] @ d @ m["bt"].T)) @ m["a"], direct, rtol=0, atol=1e-12)


def test_any_distinct_points_will_do(normal):
    at, bt, g = winograd.transforms(4, (0, 1, -1, 2, -2))
    d, w = normal(6), normal(3, 1)
    np.testing.assert_allclose(at @ ((g @ w) * (bt @ d)), np.correlate(d, w, "valid"), rtol=0, atol=1e-12)


sizes = st.tuples(st.integers(1, 11), st.integers(1, 11), st.integers(1, 3), st.integers(1, 3))


@both_forms
@given(
    size=sizes,
    o=st.sampled_from([1, 2, 3, 50]),
    padding=st.integers(1, 2),
    block_bytes=st.sampled_from([1, 2000, 1 << 20]),
)
def test_blocks_make_no_difference(normal, config, size, o, padding, block_bytes):
    """All cuts into tiles, and kernels transformed at once or slice by slice (where they are many), equal im2col."""
    x, w = normal(size), normal((o, size[3], 3, 3), 1)
    g = normal((size[0] + 2 * padding - 2, size[1] + 2 * padding - 2, size[2], o), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "BLOCK_BYTES", block_bytes)
        patch.setattr(winograd, "ROWS", (1, 512))
        patch.setattr(winograd, "SLICE", 4)
        y, dw = winograd.convolve(x, w, padding, config), winograd.weight_gradient(x, g, padding, config)
    np.testing.assert_allclose(y, im2col.convolve(x, w, 1, padding), rtol=0, atol=1e-11)
    np.testing.assert_allclose(dw, im2col.weight_gradient(x, g, w.shape, 1, padding), rtol=0, atol=1e-11)


@given(
    rows=st.integers(1, 40), depth=st.integers(1, 40), columns=st.integers(1, 40), small=st.integers(1, 30000)
)
def test_slices_of_a_product_make_no_difference(normal, rows, depth, columns, small):
    """Slices of the second matrix's columns, of its rows, and none."""
    a, b = normal((3, depth, rows)).transpose(0, 2, 1), normal((3, depth, columns), 1)
    out = np.empty((3, rows, columns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "BLAS_SMALL", small)
        patch.setattr(winograd, "NARROW", 4)
        patch.setattr(winograd, "DEEP", 8)
        winograd.multiply(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=0, atol=1e-12)


@given(
    rows=st.integers(1, 30), columns=st.integers(1, 30), images=st.integers(1, 40), most=st.integers(1, 300)
)
def test_blocks_are_shared_evenly_where_they_can_be(rows, columns, images, most):
    t, j = winograd._block_size(rows, columns, images, most, 0.75)
    assert 1 <= t <= rows and 1 <= j <= columns
    assert t * j == 1 or t * j * images <= most


def test_a_map_of_few_blocks_is_cut_for_four():
    """14 × 12 tiles of 2 images: seven blocks of 48 would leave half of the threads waiting at the end."""
    t, j = winograd._block_size(14, 12, 2, 64, 0.75)
    assert (-(-14 // t) * -(-12 // j)) % 4 == 0


@both_forms
def test_blocks_cover_every_tile_once(monkeypatch, config):
    monkeypatch.setattr(winograd, "ROWS", (64, 64))
    grid = winograd.make_grid((55, 45, 4, 64), 1, 64, config)
    covered = np.zeros((grid.rows, grid.columns), int)
    for top, left, t, j in grid.blocks:
        covered[top : top + t, left : left + j] += 1
        assert t * j * 4 <= 64
    assert (covered == 1).all() and len(grid.blocks) > 1


@pytest.mark.slow
@both_forms
@pytest.mark.parametrize(
    "size, o",
    [((218, 178, 1, 64), 64), ((109, 89, 1, 128), 128), ((55, 45, 1, 256), 256), ((28, 23, 1, 512), 512)],
)
def test_rounding_error_at_the_papers_sizes(config, size, o):
    """In float32, against float64, in shares of the largest value, for outputs of unit variance."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(size), rng.standard_normal((*size[:3], o))
    w = rng.standard_normal((o, size[3], 3, 3)) / np.sqrt(9 * size[3])
    y = winograd.convolve(*(a.astype(np.float32) for a in (x, w)), 1, config)
    dw = winograd.weight_gradient(*(a.astype(np.float32) for a in (x, g)), 1, config)
    for got, exact in ((y, im2col.convolve(x, w, 1, 1)), (dw, im2col.weight_gradient(x, g, w.shape, 1, 1))):
        assert np.abs(got - exact).max() < {4: 1e-5, 6: 3e-5}[config.tile] * np.abs(exact).max()
