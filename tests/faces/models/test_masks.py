"""Masks on the last map: regions brought to its size, boxes around landmarks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend
from tinyface.faces.models.masks import BOXES, box_masks, region_masks


def test_region_masks_have_the_size_of_the_last_map_at_the_papers_size():
    logits = Tensor(np.random.default_rng(0).standard_normal((1, 7, 109, 89)).astype(np.float32))
    assert region_masks(logits).shape == (1, 7, 14, 12)


def test_region_masks_average_large_regions_and_widen_small_ones():
    logits = np.full((1, 7, 8, 8), -30.0)
    logits[:, 0] = 0  # background …
    logits[0, :, 0, 0] = -30
    logits[0, 3, 0, 0] = 0  # … but for one pixel of an eye
    logits[0, :, 7, 7] = -30
    logits[0, 1, 7, 7] = 0  # and one of hair
    masks = region_masks(Tensor(logits)).data
    np.testing.assert_allclose(masks[0, :, 0, 0], [62 / 64, 1 / 64, 0, 1, 0, 0, 0], atol=1e-9)


def cell_by_cell(landmarks, size):
    """The masks of one image, one number at a time; pixel 0 spans 0 … 1."""
    (h, w), cells = size, [range(0, length, 16) for length in size]
    boxes = [(0, 0, h, w)]
    for px, py in landmarks:
        px, py = min(max(px, 0), w - 1) + 0.5, min(max(py, 0), h - 1) + 0.5
        for bh, bw in ((20, 20), (20 / 2**0.5, 20 * 2**0.5), (20 * 2**0.5, 20 / 2**0.5)):
            bh, bw = bh * h / 218, bw * w / 178
            boxes.append((py - bh / 2, px - bw / 2, py + bh / 2, px + bw / 2))

    def share(top, left, bottom, right, i, j):
        i_end, j_end = min(i + 16, h), min(j + 16, w)
        high, wide = min(bottom, i_end) - max(top, i), min(right, j_end) - max(left, j)
        return max(high, 0) * max(wide, 0) / ((i_end - i) * (j_end - j))

    return np.array([[[share(*box, i, j) for j in cells[1]] for i in cells[0]] for box in boxes])


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    share=st.lists(st.tuples(*[st.floats(-0.2, 1.2)] * 2), min_size=5, max_size=5),
)
def test_box_masks_are_the_covered_share_of_each_cell(put, size, share):
    landmarks = np.array(share) * size[::-1]
    masks = backend.to_device(box_masks(put(landmarks[None]), size, np.float64), "cpu")
    expected = cell_by_cell(landmarks, size)
    assert masks.shape == (1, BOXES, -(-size[0] // 16), -(-size[1] // 16)) == (1, *expected.shape)
    np.testing.assert_allclose(masks[0], expected, atol=1e-12)


def test_boxes_at_the_papers_size():
    """20² pixels in each shape, wherever they lie."""
    landmarks = np.array([[[69, 111], [108, 111], [88, 135], [71, 152], [105, 152]]], np.float32)
    masks = box_masks(landmarks, (218, 178), np.float32)
    assert masks.shape == (1, 16, 14, 12) and masks.dtype == np.float32
    np.testing.assert_array_equal(masks[0, 0], 1)
    np.testing.assert_allclose(masks[0, 1:].sum(axis=(1, 2)) * 16**2, 400, rtol=1e-5)
    # The nose at (88.5, 135.5), 1:1: rows 125.5 … 145.5, columns 78.5 … 98.5, and a cell has 16.
    nose = np.outer([2.5, 16, 1.5], [1.5, 16, 2.5]) / 16**2
    np.testing.assert_allclose(masks[0, 1 + 2 * 3, 7:10, 4:7], nose, rtol=1e-5)
    # Wide, then high.
    rows, columns = (np.count_nonzero(masks[0, 8:10].sum(axis=axis), axis=1) for axis in (2, 1))
    assert columns[0] > rows[0] and rows[1] > columns[1]


@pytest.mark.parametrize("far", [-1000, 1000])
def test_a_box_around_a_point_outside_is_not_empty(far):
    masks = box_masks(np.full((1, 5, 2), far, np.float32), (55, 45), np.float32)
    assert (masks.sum(axis=(2, 3)) > 0).all() and np.isfinite(masks).all()
