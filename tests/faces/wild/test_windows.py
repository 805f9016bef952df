"""Windows of response maps, and where several faces are."""

import numpy as np
import pytest

from tinyface.faces.data.crops import overlap
from tinyface.faces.wild.windows import (
    ASPECT,
    RESPONSE_FLOOR,
    best_window,
    density_peaks,
    in_region,
    integral,
    several_windows,
)


def blob(size, *faces):
    """A response map that is 1 in these boxes x, y, width, height in cells."""
    response = np.zeros((size, size), np.float32)
    for x, y, w, h in faces:
        response[y : y + h, x : x + w] = 1
    return response


def test_integral_sums_rectangles():
    values = np.random.default_rng(0).random((5, 7))
    sums = integral(values)
    assert abs(sums[4, 6] - sums[1, 6] - sums[4, 2] + sums[1, 2] - values[1:4, 2:6].sum()) < 1e-12


@pytest.mark.parametrize("face", [(10, 4, 11, 15), (0, 0, 22, 30), (40, 30, 7, 10)])
def test_the_best_window_of_an_even_blob_is_the_blob(face):
    score, window = best_window(blob(64, face))
    assert overlap(window * 64, face) > 0.8
    wanted = (1 - RESPONSE_FLOOR) * np.sqrt(face[2] * face[3]) / 64  # Σ / side, in shares of the map's
    assert abs(score - wanted) < 0.03


def test_a_quiet_surrounding_changes_nothing():
    loud = blob(64, (20, 20, 11, 15))
    np.testing.assert_array_equal(best_window(loud + 0.2)[1], best_window(loud)[1])


def test_windows_have_the_aspect_that_is_asked_for():
    response = blob(64, (10, 10, 30, 15))
    for aspect in (ASPECT, 2.0):
        _, (_, _, w, h) = best_window(response, aspect)
        assert abs(w / h - aspect) < 0.12


def test_a_silent_map_has_a_window_of_no_score():
    score, window = best_window(np.zeros((10, 10), np.float32))
    assert score == 0 and window.shape == (4,) and np.isfinite(window).all()


def test_density_peaks_are_dense_and_far_apart():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(centre, 0.03, (30, 2)) for centre in ((0.2, 0.2), (0.8, 0.7))]
    points = np.concatenate([*clouds, [(0.5, 0.95)]])  # and a point that is alone
    peaks = density_peaks(points, np.ones(61), 0.1)
    assert sorted(int(p) // 30 for p in peaks) == [0, 1]
    for peak in peaks:
        assert np.linalg.norm(points[peak] - clouds[peak // 30].mean(axis=0)) < 0.03


def test_several_faces_each_have_their_window():
    faces = [(4, 6, 13, 18), (40, 34, 16, 22)]
    windows = [window for _, window in several_windows(blob(64, *faces))]
    assert len(windows) == 2
    for face in faces:
        assert max(overlap(window * 64, face) for window in windows) > 0.7
    [(_, window)] = several_windows(blob(64, faces[0]))
    np.testing.assert_allclose(window, best_window(blob(64, faces[0]))[1])


def test_a_window_goes_back_to_the_photo():
    np.testing.assert_allclose(in_region([0.25, 0.5, 0.5, 0.1], [100, 40, 80, 60]), [120, 70, 40, 6])
