import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinyface.faces.data.crops import crop, cropped, enlarged, overlap, square, with_backgrounds
from tinyface.faces.data.dataset import FaceDataset

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_a_region_at_its_own_size_is_cut_out():
    np.testing.assert_array_equal(crop(IMAGE, [4, 2, 10, 8], (8, 10)), IMAGE[2:10, 4:14])


def test_beyond_the_image_its_edge_goes_on():
    part = crop(IMAGE, [-3, 15, 6, 10], (10, 6))
    np.testing.assert_array_equal(part[:5, 3:], IMAGE[15:, :3])
    np.testing.assert_array_equal(part[:5, :3], np.repeat(IMAGE[15:, :1], 3, axis=1))
    np.testing.assert_array_equal(
        crop(IMAGE, [28, -2, 4, 4], (4, 4))[:3, :2], np.repeat(IMAGE[:1, 28:], 3, axis=0)
    )
    np.testing.assert_array_equal(part[5:, 3:], np.repeat(IMAGE[19:, :3], 5, axis=0))


def test_a_region_is_resized():
    even = np.full((20, 30, 3), 77, np.uint8)
    assert (crop(even, [3.2, 4.4, 0, 7], (5, 6)) == 77).all() and crop(even, [3, 4, 0, 7], (5, 6)).shape == (
        5,
        6,
        3,
    )


def test_enlarged_and_square_keep_the_centre():
    np.testing.assert_allclose(enlarged([10, 20, 4, 8], 2), [8, 16, 8, 16])
    np.testing.assert_allclose(square([[10, 20, 4, 8]]), [[8, 20, 8, 8]])


box = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 9)] * 2)


@given(box, box)
def test_overlap_counts_pixels(a, b):
    masks = np.zeros((2, 30, 30), bool)
    for mask, (x, y, w, h) in zip(masks, (a, b), strict=True):
        mask[y : y + h, x : x + w] = True
    union = masks.any(axis=0).sum()
    wanted = masks.all(axis=0).sum() / union if union else 0
    assert abs(overlap(a, b) - wanted) < 1e-12


def test_data_sets_of_regions_and_of_backgrounds(tmp_path):
    for name in ("face", "wall"):
        Image.fromarray(IMAGE if name == "face" else IMAGE[::-1].copy()).save(tmp_path / f"{name}.png")
    faces = FaceDataset(
        "CelebA", tmp_path, "train", [tmp_path / "face.png"], np.ones((1, 40), np.uint8), np.array([7])
    )
    both = with_backgrounds(faces, [tmp_path / "wall.png"])
    assert (
        len(both) == 2
        and both.attributes.tolist() == [[1] * 40, [0] * 40]
        and both.identities.tolist() == [7, -1]
    )
    regions = cropped(both, [[0, 0, 5, 5], [1, 2, 5, 5]])
    np.testing.assert_array_equal(regions.image(1, (5, 5)), IMAGE[::-1][2:7, 1:6])
    assert regions.attributes is both.attributes and len(faces) == 1
