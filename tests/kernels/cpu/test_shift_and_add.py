"""Products first by themselves; as a way of conv2d it is tested in test_conv2d.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface.kernels.cpu import im2col, shift_and_add


@st.composite
def geometries(draw):
    kh, kw, padding = (draw(st.integers(*limits)) for limits in ((1, 4), (1, 4), (0, 5)))
    h, w = (draw(st.integers(max(k - 2 * padding, 1), 9)) for k in (kh, kw))
    return (h, w, draw(st.integers(1, 3)), draw(st.integers(1, 4))), (kh, kw), padding


@given(geometry=geometries(), o=st.integers(1, 8), rows=st.integers(1, 9))
def test_equals_im2col(normal, geometry, o, rows):
    """For every cut into pieces, kernels of all shapes, and padding so wide that some pixels see nothing but zeros."""
    size, kernel, padding = geometry
    x, w = normal(size), normal((o, size[3], *kernel), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shift_and_add, "ROWS", rows)
        patch.setattr(shift_and_add, "PIXELS", 1)
        y = shift_and_add.convolve(x, w, padding)
    np.testing.assert_allclose(y, im2col.convolve(x, w, 1, padding), rtol=0, atol=1e-12)


def test_pieces_are_finished_once(normal):
    seen = []
    y = shift_and_add.convolve(normal((70, 90, 1, 4)), normal((2, 4, 3, 3), 1), 1, seen.append)
    assert sum(map(len, seen)) == len(y) and len(seen) > 1


@pytest.mark.parametrize(
    "w, stride, padding, fits",
    [
        ((7, 64, 3, 3), 1, 1, True),
        ((7, 64, 3, 3), 2, 1, False),
        ((7, 64, 1, 1), 1, 0, False),  # a product as it is
        ((16, 64, 3, 3), 1, 1, False),
        ((7, 8, 3, 3), 1, 1, False),
        ((7, 64, 3, 3), 1, -1, False),  # what a wide padding leaves for the gradient
    ],
)
def test_where_it_pays(w, stride, padding, fits):
    assert shift_and_add.fits(w, stride, padding) == fits
