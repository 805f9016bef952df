import numpy as np
import pytest

from tinyface.faces.data.dataset import HELEN_TO_REGION, REGIONS
from tinyface.faces.data.landmarks import (
    landmarks_from_regions,
    mirror_landmarks,
    scale_landmarks,
    standard_landmarks,
)
from tinyface.faces.data.toyfaces import draw_face

ID = {name: index for index, name in enumerate(REGIONS)}


def face(*without):
    """A map of 20×20 with a rectangle for each part, but for some parts."""
    labels = np.zeros((1, 20, 20), np.uint8)
    labels[0, 2:19, 3:18] = ID["face skin"]
    parts = {
        "left eye": ("eyes", slice(6, 8), slice(5, 8)),  # x 5 … 7, y 6 … 7
        "right eye": ("eyes", slice(7, 8), slice(12, 16)),
        "nose": ("nose", slice(9, 13), slice(9, 12)),
        "mouth": ("mouth", slice(15, 17), slice(7, 14)),
    }
    for name, (region, rows, columns) in parts.items():
        if name not in without:
            labels[0, rows, columns] = ID[region]
    labels[0, 14, 13] = ID["face skin" if "mouth" in without else "mouth"]  # the right corner reaches up
    return labels


WHOLE = [[6, 6.5], [13.5, 7], [10, 11.5], [7, 15.5], [13, 15]]


def test_points_of_a_whole_face():
    points = landmarks_from_regions(face())
    assert points.shape == (1, 5, 2) and points.dtype == np.float32
    np.testing.assert_allclose(points[0], WHOLE)


@pytest.mark.parametrize(
    "without, missing", [("left eye", [0]), ("right eye", [1]), ("nose", [2]), ("mouth", [3, 4])]
)
def test_a_missing_part_stands_where_the_others_suggest(without, missing):
    points, standard = landmarks_from_regions(face(without))[0], standard_landmarks((20, 20))
    others = [index for index in range(5) if index not in missing]
    np.testing.assert_allclose(points[others], np.array(WHOLE)[others])
    np.testing.assert_allclose(
        points[missing] - standard[missing],
        [(points - standard)[others].mean(axis=0)] * len(missing),
        rtol=1e-5,
    )


@pytest.mark.parametrize("region", ["background", "hair", "face skin"])
def test_without_any_part_it_is_the_average_face(region):
    labels = np.full((2, 218, 178), ID[region], np.uint8)
    np.testing.assert_array_equal(landmarks_from_regions(labels), [standard_landmarks((218, 178))] * 2)
    np.testing.assert_allclose(standard_landmarks((218, 178))[2], (88, 135))


def test_faces_of_a_batch_are_told_apart():
    both = landmarks_from_regions(np.concatenate([face("nose"), face()]))
    np.testing.assert_array_equal(
        both, np.concatenate([landmarks_from_regions(f) for f in (face("nose"), face())])
    )


def test_points_of_toy_faces_are_near_those_they_were_drawn_with():
    distances = []
    for seed in range(12):
        drawn = draw_face(np.random.default_rng(seed))
        labels = HELEN_TO_REGION[drawn.labels]
        distances.append(np.linalg.norm(landmarks_from_regions(labels[None])[0] - drawn.landmarks, axis=1))
    assert np.median(distances, axis=0).max() < 0.04 * drawn.labels.shape[0]


def test_a_mirrored_map_gives_mirrored_points():
    """Up to the order: left stays what is left in the picture."""
    labels = face()
    mirrored = landmarks_from_regions(labels[:, :, ::-1])
    expected = mirror_landmarks(landmarks_from_regions(labels), np.array([True]), 20)[:, [1, 0, 2, 4, 3]]
    np.testing.assert_allclose(mirrored, expected, atol=1e-5)


def test_mirroring_is_of_some():
    points = np.random.default_rng(0).uniform(0, 20, (3, 5, 2)).astype(np.float32)
    before, flips = points.copy(), np.array([True, False, True])
    mirrored = mirror_landmarks(points, flips, 20)
    np.testing.assert_array_equal(points, before)
    np.testing.assert_array_equal(mirrored[1], points[1])
    np.testing.assert_array_equal(mirrored[flips, :, 0], 19 - points[flips, :, 0])
    np.testing.assert_array_equal(mirrored[flips, :, 1], points[flips, :, 1])


def test_scaling_keeps_corners_and_middle_in_place():
    points = np.array(
        [[-0.5, -0.5], [43.5, 21.5], [87.5, 43.5]], np.float32
    )  # corners of pixels, and the middle
    np.testing.assert_allclose(
        scale_landmarks(points, (44, 88), (22, 11)), [[-0.5, -0.5], [5, 10.5], [10.5, 21.5]]
    )
