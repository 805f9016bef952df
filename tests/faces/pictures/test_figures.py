import numpy as np
import pytest
from PIL import Image

from tinyface import backend
from tinyface.errors import TinyfaceError
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import AttributeNet, SegmentationNet
from tinyface.faces.pictures import drawing, figures
from tinyface.faces.tasks import AttributeTask

SIZE = (55, 45)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=2, val=3, test=0, seed=1)
    return path


def attributes(faces):
    return open_dataset(faces, "val", "attributes")


def build(mode, device="cpu"):
    backend.seed(0)
    return AttributeTask(AttributeNet(4, mode, SIZE).to(device), SegmentationNet(2, SIZE).to(device))


def has_colour(image, colour):
    return bool((np.asarray(image) == colour).all(-1).any())


# Figure 3


def test_figure3_shows_the_truth_where_it_is_known(faces):
    segmentation_net = SegmentationNet(2, SIZE)
    known, unknown = open_dataset(faces, "val", "labels"), attributes(faces)
    with_truth, without = figures.figure3(segmentation_net, known), figures.figure3(segmentation_net, unknown)
    assert with_truth.width - without.width == 180 + 10  # four times the network's 45 pixels
    assert figures.figure3(segmentation_net, known, faces=1).height == with_truth.height - 2 * (220 + 10)


# Figure 4


def test_figure4_is_of_the_mean_over_all_faces(faces, monkeypatch):
    weights = np.random.default_rng(0).random((3, 7, 40))
    seen = []
    monkeypatch.setattr(figures, "gather_weights", lambda task, batches: (weights, list(batches)))
    monkeypatch.setattr(figures, "region_weight_map", lambda mean, names, **options: seen.append(mean))
    figures.figure4(build("ssp"), attributes(faces))
    np.testing.assert_allclose(seen[0], weights.mean(axis=0))


@pytest.mark.parametrize("mode", ["ssp", "joint"])
def test_figure4_of_a_network(faces, mode):
    image = figures.figure4(build(mode), attributes(faces))
    assert image.height > 40 * 20 and has_colour(image, drawing.heat(0))


@pytest.mark.parametrize("mode", ["avg", "ssg", "bbox"])
@pytest.mark.parametrize("figure", [figures.figure4, figures.localization_figure])
def test_figures_of_weights_need_weights(faces, mode, figure):
    with pytest.raises(TinyfaceError, match=f"mode {mode} has no weights of the 7 regions"):
        figure(build(mode), attributes(faces))


# Figure 5


def grid_cells(image, maps, left, top, height=48):
    """The pixels at the centre of each map cell of the grid that begins at (left, top), (channels, h, w, 3)."""
    factor = height // maps.shape[1]
    width = factor * maps.shape[2] + 4
    pixels, cells = np.asarray(image), []
    for k in range(len(maps)):
        x, y = left + k % 10 * width, top + k // 10 * (height + 4)
        rows, columns = (
            start + factor * np.arange(n) + factor // 2
            for start, n in ((y, maps.shape[1]), (x, maps.shape[2]))
        )
        cells.append(pixels[np.ix_(rows, columns)])
    return np.array(cells)


def test_channels_in_order_on_one_scale_for_each_network():
    rng = np.random.default_rng(0)
    first, second = rng.random((12, 4, 3)), 100 * rng.random((3, 4, 3))
    face = np.full((208, 178, 3), 90, np.uint8)
    image = figures.channel_grids(face, {"basic": first, "SSP": second})
    left, top = 24 + 178 + 24, 24 + 34
    for maps, y in ((first, top), (second, top + 2 * 52 + 50 + 34)):
        ordered = maps[np.argsort(-maps.mean(axis=(1, 2)))]
        expected = [[[drawing.heat(v / maps.max()) for v in row] for row in m] for m in ordered]
        np.testing.assert_array_equal(grid_cells(image, ordered, left, y), expected)
    np.testing.assert_array_equal(np.asarray(image)[top : top + 208, 24 : 24 + 178], face)


def test_only_the_top_channels_and_nothing_below_zero():
    maps = -np.ones((60, 2, 2))
    maps[7], maps[9] = 2, 1
    maps[7, 0, 0] = -1
    image = figures.channel_grids(np.zeros((20, 20, 3), np.uint8), {"a": maps}, top=2)
    cells = grid_cells(image, maps[[7, 9]], 24 + 208 + 24, 24 + 34)
    assert tuple(cells[0, 0, 0]) == drawing.heat(0) and tuple(cells[0, 1, 1]) == drawing.heat(1)
    assert (cells[1] == drawing.heat(0.5)).all()
    fifty = figures.channel_grids(np.zeros((20, 20, 3), np.uint8), {"a": maps})
    assert fifty.height == image.height + 4 * 52


def test_channels_of_nothing():
    face = np.zeros((20, 20, 3), np.uint8)
    figures.channel_grids(face, {"silent": np.zeros((3, 4, 3)), "negative": -np.ones((3, 1, 1))})
    with pytest.raises(ValueError, match="at least one network"):
        figures.channel_grids(face, {})


def test_figure5_of_networks(faces):
    tasks = {"basic": build("avg"), "SSP": build("ssp"), "BBox": build("bbox")}
    three, one = (figures.figure5(t, attributes(faces), 2) for t in (tasks, {"basic": tasks["basic"]}))
    assert three.height > 2.5 * one.height
    with pytest.raises(TinyfaceError, match="face 3 is asked for, but there are 3"):
        figures.figure5(tasks, attributes(faces), 3)


# Places of attributes


def test_tint_is_where_the_cell_is():
    image = np.full((20, 40, 3), 100, np.uint8)
    place = np.zeros((2, 3))  # cells of 16: 32 × 48 pixels, cut to 20 × 40
    place[0, 2] = 1
    found = figures.tinted(image, place)
    grey = np.rint(100 * 0.6 + 255 * 0.4)
    assert found.shape == image.shape and found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, :20], np.full((20, 20, 3), grey))
    strength = (found[4].astype(float) - grey)[:, 2] / (drawing.SECOND[2] - grey)
    # Linear from the centre of the second cell, x = 24, to that of the third, x = 40.
    np.testing.assert_allclose(strength[24:], 0.85 * (np.arange(24, 40) + 0.5 - 24) / 16, atol=0.02)
    np.testing.assert_array_equal(figures.tinted(image, np.zeros((2, 3))), np.full((20, 40, 3), grey))
    assert (figures.tinted(Image.fromarray(image), place) == found).all()


def test_the_sheet_has_the_attributes_of_each_face_the_clearest_first(monkeypatch):
    image, maps = np.full((150, 100, 3), 100, np.uint8), np.zeros((2, 4, 10, 7))
    maps[0, 0, 2, 2], maps[0, 2, 2, 2], maps[0, 3, 2, 2] = 0.4, 0.8, 1
    has = np.array([[1, 0, 1, 0], [0, 0, 0, 0]])
    sheet = figures.localization_sheet([image, image], maps, has, ("a_b", "c", "d", "e"))
    assert sheet.size == (2 * 24 + 3 * 110 - 10, 2 * 24 + 2 * 184 - 10)
    pixels = np.asarray(sheet)
    for column, expected in enumerate(
        [image, figures.tinted(image, maps[0, 2]), figures.tinted(image, maps[0, 0])]
    ):
        np.testing.assert_array_equal(pixels[24:174, 24 + 110 * column :][:, :100], expected)
    assert (pixels[24 + 184 :, 24 + 110 :] == 255).all()  # the second face has none
    limited = figures.localization_sheet([image], maps[:1], has[:1], ("a_b", "c", "d", "e"), limit=1)
    assert limited.width == 2 * 24 + 2 * 110 - 10
    with pytest.raises(ValueError, match="at least one image"):
        figures.localization_sheet([], maps, has)


def test_localization_figure_of_a_network(faces):
    data, task = attributes(faces), build("ssp")
    two, all_three = figures.localization_figure(task, data, [0, 2]), figures.localization_figure(task, data)
    assert all_three.height - two.height == 184
    with pytest.raises(TinyfaceError, match="has no face of these numbers; there are 3"):
        figures.localization_figure(task, data, [3])


@pytest.mark.gpu
def test_figures_are_the_same_from_a_gpu(faces):
    """Up to rounding: hardly a pixel differs, and none by much."""
    data = attributes(faces)
    for draw in (
        lambda task: figures.figure3(task.segmentation_net, data),
        lambda task: figures.figure4(task, data),
        lambda task: figures.figure5({"SSP": task}, data),
        lambda task: figures.localization_figure(task, data),
    ):
        here, there = (np.asarray(draw(build("ssp", d)), int) for d in ("cpu", "cuda"))
        assert here.shape == there.shape and (np.abs(here - there) > 3).mean() < 0.01
