"""Where the face is in a photo: the cascade of two networks, and whether there is a face at all."""

import numpy as np
import pytest
from PIL import Image

from tinyface import backend
from tinyface.faces.data.crops import overlap
from tinyface.faces.models import LNet
from tinyface.faces.wild import localize
from tinyface.faces.wild.localize import Localizer, part_of, threshold_between


def test_threshold_parts_two_heaps():
    assert 2 < threshold_between(np.array([3.0, 4, 5]), np.array([0.0, 1, 2])) < 3
    # One background among the faces is worth less than two faces among the backgrounds.
    threshold = threshold_between(np.array([3.0, 4, 5, 6]), np.array([0.0, 1, 2, 4.5]))
    assert 2 < threshold < 3
    assert threshold_between(np.array([1.0, 2]), np.array([])) == 1


@pytest.fixture
def bright():
    """A Localizer whose networks respond to brightness, so that it is known what it must find."""
    backend.seed(0)
    return Localizer(LNet(1, (80, 80), 2), LNet(1, (80, 80), 2))


@pytest.fixture
def brightness(monkeypatch):
    def responses(network, images):
        cells = [image.mean(axis=2).reshape(10, 8, 10, 8).mean(axis=(1, 3)) for image in images]
        return np.stack(cells).astype(np.float32) / 255 if cells else np.zeros((0, 10, 10), np.float32)

    monkeypatch.setattr(localize, "responses_of", responses)


def photo(*faces, size=(200, 240)):
    image = np.zeros((*size, 3), np.uint8)
    for x, y, w, h in faces:
        image[y : y + h, x : x + w] = 255
    return image


def test_the_second_look_is_closer(bright, brightness):
    faces = [(30, 50, 43, 60), (150, 20, 58, 80), (200, 150, 30, 42)]
    found = bright.locate([photo(face) for face in faces])
    for face, seen in zip(faces, found, strict=True):
        assert overlap(seen.face, face) > 0.7
        x, y, w, h = seen.shoulders
        assert (
            w == h and x < face[0] and y < face[1] and x + w > face[0] + face[2] and y + h > face[1] + face[3]
        )
        assert seen.response.shape == (10, 10)


def test_the_zoom_at_which_a_face_is_seen_best(bright, monkeypatch):
    """However large the window, the best view is the one of a side of 100 pixels."""

    def views(images, regions):
        sides = np.array([region[3] for _, region in regions])
        scores = np.exp(-(np.log2(sides / 100) ** 2))
        return np.broadcast_to((scores / sides)[:, None, None], (len(sides), 10, 10))

    monkeypatch.setattr(bright, "_views", views)
    sides = np.array([80.0, 100, 125])
    windows = [(0, np.array([10, 10, 0.72 * side, side]) / localize.REGION) for side in sides]
    found = bright._zooms([photo()], windows)
    np.testing.assert_allclose(found, np.log2(100 / sides), atol=0.06)


def test_sizes_of_window_and_best_view_meet_half_way(bright, brightness, monkeypatch):
    faces = [(30, 50, 43, 60), (150, 20, 58, 80)]
    photos = [photo(face) for face in faces]
    heights = []
    for zoom in (localize.MEAN_LOG_ZOOM, localize.MEAN_LOG_ZOOM + 1):
        monkeypatch.setattr(bright, "_zooms", lambda images, windows, z=zoom: np.full(len(windows), z))
        heights.append([seen.face[3] for seen in bright.locate(photos)])
    np.testing.assert_allclose(np.divide(*heights[::-1]), np.sqrt(2))


def test_from_the_threshold_on_it_is_a_face(bright, brightness):
    [seen] = bright.locate([photo((30, 50, 43, 60))])
    for threshold, is_face in ((seen.score, True), (seen.score * 1.01, False)):
        bright.threshold = threshold
        assert bright.locate([photo((30, 50, 43, 60))])[0].is_face is is_face
    assert bright.locate_all(photo((30, 50, 43, 60))) == []


def test_scores_alone_are_those_of_the_faces(bright, brightness, tmp_path):
    paths = [tmp_path / f"{x}.png" for x in (30, 90)]
    for path, x in zip(paths, (30, 90), strict=True):
        Image.fromarray(photo((x, 50, x, 60))).save(path)
    scores = list(bright.scores(paths))
    assert scores == [seen.score for seen in bright.read(paths)] and scores[0] != scores[1]


def test_all_faces_of_a_photo(bright, brightness):
    faces = [(20, 20, 50, 70), (150, 110, 50, 70)]
    found = bright.locate_all(photo(*faces))
    assert len(found) == 2
    for face in faces:
        assert max(overlap(seen.face, face) for seen in found) > 0.6


def test_responses_are_those_of_the_network(device):
    backend.seed(0)
    network = LNet(1, (48, 48), 2).to(device)
    images = list(np.random.default_rng(0).integers(0, 256, (35, 48, 48, 3), dtype=np.uint8))
    maps = localize.responses_of(network, images)
    assert maps.shape == (35, 6, 6) and isinstance(maps, np.ndarray)
    np.testing.assert_allclose(maps[34], localize.responses_of(network, images[34:])[0], rtol=1e-4, atol=1e-5)


def test_an_image_and_its_mirror_image_have_mirrored_maps(device):
    backend.seed(0)
    network = LNet(1, (48, 48), 2).to(device)
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    straight, mirrored = localize.responses_of(network, [image, image[:, ::-1]])
    assert np.abs(straight - straight[:, ::-1]).max() > 1e-2
    np.testing.assert_allclose(mirrored, straight[:, ::-1], rtol=1e-4, atol=1e-5)


def test_a_part_of_a_map():
    response = np.random.default_rng(0).random((10, 10)).astype(np.float32)
    np.testing.assert_allclose(part_of(response, np.array([0, 0, 60, 40]), (40, 60)), response, rtol=1e-5)
    even = np.repeat(np.repeat(np.arange(1.0, 5).reshape(2, 2), 5, axis=0), 5, axis=1)
    quarter = part_of(even, np.array([40, 28, 12, 8]), (40, 60))  # inside the lower right one
    np.testing.assert_allclose(quarter, 4)
    upper = part_of(even, np.array([0, 0, 60, 16]), (40, 60))
    np.testing.assert_allclose(upper[:, [0, 9]], [[1, 2]] * 10)
    beyond = part_of(even, np.array([-60, 0, 120, 80]), (40, 60))  # the photo is its upper right quarter
    assert not beyond[:, :4].any() and not beyond[6:].any()
    np.testing.assert_allclose(beyond[[0, 0, 4, 4], [5, 9, 5, 9]], [1, 2, 3, 4])
