"""The parts of im2col by themselves; the convolutions made of it are tested in test_conv2d.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface.kernels.cpu import im2col


def by_definition(x, kernel, stride, padding):
    """Every window of x (H, W, N, C) as a row (kh·kw·C), written with loops."""
    (kh, kw), n = kernel, x.shape[2]
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0), (0, 0)))
    tops = range(0, x.shape[0] - kh + 1, stride)
    lefts = range(0, x.shape[1] - kw + 1, stride)
    return np.array(
        [x[i : i + kh, j : j + kw, image].ravel() for i in tops for j in lefts for image in range(n)]
    )


@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(1, 3), st.integers(1, 6)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    rows=st.integers(1, 3),
)
def test_columns(normal, size, kernel, stride, padding, rows):
    """Also with channels few enough for the other form."""
    x = normal(size)
    unfold = im2col.make_unfold(x, (1, size[3], *kernel), stride, padding)
    wanted = by_definition(x, kernel, stride, padding)
    blocks = im2col.slices(unfold.out[0], rows)
    got = np.concatenate([unfold.columns(block).copy() for block in blocks])
    np.testing.assert_array_equal(got, wanted)


def test_an_image_is_cut_into_equally_tall_blocks(monkeypatch):
    monkeypatch.setattr(im2col, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(im2col, "ROWS", 8)
    assert im2col.row_blocks(10, 7, 250) == [slice(0, 4), slice(4, 8), slice(8, 10)]  # four rows would fit
    assert im2col.row_blocks(10, 3, 600) == [
        slice(0, 3),
        slice(3, 6),
        slice(6, 9),
        slice(9, 10),
    ]  # eight pixels at least


@pytest.mark.parametrize("outputs", [127, 128, 131])
def test_many_channels_of_few_pixels_are_divided(monkeypatch, normal, outputs):
    x, w = normal((5, 4, 2, 6)), normal((outputs, 6, 3, 3), 1)
    blocks = []
    monkeypatch.setattr(
        im2col, "parallel_for", lambda body, count: blocks.append(count) or [*map(body, range(count))]
    )
    y, with_epilogue = (
        im2col.convolve(x, w, 1, 0),
        im2col.convolve(x, w, 1, 0, epilogue=lambda z, some: np.abs(z, out=z)),
    )
    assert blocks == [1 + (outputs >= 128)] * 2
    columns = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))
    np.testing.assert_allclose(y, np.einsum("hwncuv,ocuv->hwno", columns, w), atol=1e-12)
    np.testing.assert_array_equal(with_epilogue, np.abs(y))


def test_blocks_make_no_difference(monkeypatch, normal):
    x, w, g = normal((7, 6, 2, 5)), normal((4, 5, 3, 2), 1), normal((4, 4, 2, 4), 2)

    def run():
        return (
            im2col.convolve(x, w, 2, 1),
            im2col.weight_gradient(x, g, w.shape, 2, 1),
            im2col.input_gradient(g, w, x.shape, 2, 1),
        )

    whole = run()
    monkeypatch.setattr(im2col, "BLOCK_BYTES", 1)
    monkeypatch.setattr(im2col, "ROWS", 1)
    for cut, together in zip(run(), whole, strict=True):
        np.testing.assert_allclose(cut, together, rtol=1e-12, atol=1e-12)
