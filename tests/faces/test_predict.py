"""Reading photos: the same numbers as evaluation, any photo, every way in which networks lie on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_runs import save
from PIL import Image

from tinyface import backend, checkpoint
from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import ATTRIBUTES, REGIONS
from tinyface.faces.data.landmarks import landmarks_from_regions
from tinyface.faces.data.transforms import read_image, to_network_input
from tinyface.faces.models import AttributeNet, SegmentationNet
from tinyface.faces.models.attributes import HEADS_NEEDED, MODES
from tinyface.faces.predict import (
    DEFAULT_WEIGHTS,
    FacePredictor,
    Prediction,
    distinct,
    find_networks,
    find_photos,
    pictures,
    segmentation_net_for,
    to_json,
    to_text,
)
from tinyface.faces.tasks import AttributeTask, parse

SIZE, OTHER = (33, 25), (40, 32)


def network(mode, size=SIZE, seed=0):
    backend.seed(seed)
    return AttributeNet(2, mode, size).eval()


@pytest.fixture(scope="module")
def segmentation_net():
    backend.seed(5)
    return SegmentationNet(2, SIZE).eval()


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (50, 41, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path, segmentation_net):
    """folder(*names): checkpoints under these names, each of the kind that its name says."""

    def make(*names):
        for name in names:
            path = tmp_path / "nets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = next((mode for mode in MODES if mode in name), None)
            checkpoint.save(path, checkpoint.Checkpoint(network(mode) if mode else segmentation_net))
        return tmp_path / "nets"

    return make


def as_input(path, size=SIZE):
    return to_network_input(read_image(path, size)[None])


# ---------------------------------------------------------------- the numbers


def test_probabilities_are_those_of_evaluation(photo, segmentation_net):
    for mode in MODES:
        net = network(mode)
        expected = AttributeTask(net, segmentation_net).probabilities(as_input(photo))[0]
        np.testing.assert_array_equal(
            FacePredictor(segmentation_net, [net]).predict(photo).probabilities, expected
        )


def test_several_networks_are_averaged_each_at_its_own_size(photo, segmentation_net):
    nets = [network("ssp"), network("ssg", OTHER, seed=1), network("avg", seed=2)]
    each = [
        AttributeTask(net, segmentation_net).probabilities(as_input(photo, net.config["size"]))[0]
        for net in nets
    ]
    prediction = FacePredictor(segmentation_net, nets).predict(photo)
    np.testing.assert_allclose(prediction.probabilities, np.mean(each, axis=0), rtol=1e-6)


def test_labels_are_the_segmentation_nets_brought_to_the_photos_size(photo, segmentation_net):
    prediction = FacePredictor(segmentation_net, [network("ssp", OTHER)]).predict(photo)
    assert prediction.labels.shape == (50, 41) and prediction.labels.dtype == np.uint8
    small = parse(segmentation_net, as_input(photo))[0]
    expected = np.array(Image.fromarray(small).resize((41, 50), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(prediction.labels, expected)
    np.testing.assert_array_equal(prediction.image, read_image(photo))


@pytest.mark.parametrize("mode", ["ssp", "joint"])
def test_region_weights_are_those_of_ssp(photo, segmentation_net, mode):
    """Not the weights of bbox's 16 boxes."""
    weights = (
        FacePredictor(segmentation_net, [network("ssg"), network(mode), network("bbox")])
        .predict(photo)
        .region_weights
    )
    assert weights.shape == (len(REGIONS), len(ATTRIBUTES))
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-5)
    assert (
        FacePredictor(segmentation_net, [network("ssg"), network("bbox")]).predict(photo).region_weights
        is None
    )


def test_bbox_reads_a_photo_by_the_landmarks_of_its_regions(photo, segmentation_net):
    net = network("bbox", OTHER)
    x = as_input(photo, OTHER)
    points = landmarks_from_regions(parse(segmentation_net, x))
    expected = AttributeTask(net).probabilities(x, landmarks=points)[0]
    np.testing.assert_array_equal(
        FacePredictor(segmentation_net, [net]).predict(photo).probabilities, expected
    )


def test_networks_handed_over_in_training_are_put_to_evaluation(photo, segmentation_net):
    expected = FacePredictor(segmentation_net, [network("ssp")]).predict(photo)
    prediction = FacePredictor(segmentation_net.train(), [network("ssp").train()]).predict(photo)
    np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)
    np.testing.assert_array_equal(prediction.labels, expected.labels)


def test_segmentation_net_alone_and_basic_network_alone(photo, segmentation_net):
    prediction = FacePredictor(segmentation_net).predict(photo)
    assert prediction.labels.shape == (50, 41) and prediction.probabilities is None
    assert list(pictures(prediction)) == ["parsing"] and list(to_json(prediction)) == ["regions"]
    prediction = FacePredictor(None, [network("avg")]).predict(photo)
    assert prediction.labels is None and prediction.probabilities.shape == (40,)
    assert list(pictures(prediction)) == ["attributes"] and list(to_json(prediction)) == ["attributes"]


# ---------------------------------------------------------------- any photo


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (55, 45)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK"])
def test_any_size_and_colour_mode(tmp_path, segmentation_net, size, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    Image.new("RGB", size[::-1], (200, 120, 90)).convert(mode).save(path)
    prediction = FacePredictor(segmentation_net, [network("ssp")]).predict(path)
    assert prediction.image.shape == (*size, 3) and prediction.labels.shape == size
    made = pictures(prediction)
    assert made["parsing"].size == size[::-1]
    assert made["attributes"].width < 3000


def test_the_cameras_orientation_is_applied(tmp_path, segmentation_net):
    upright = np.zeros((40, 30, 3), np.uint8)
    upright[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / "photo.png", exif=exif)
    prediction = FacePredictor(segmentation_net).predict(tmp_path / "photo.png")
    np.testing.assert_array_equal(prediction.image, upright)
    assert prediction.labels.shape == (40, 30)


def test_a_huge_photo_is_shown_smaller_and_read_the_same(tmp_path, segmentation_net, monkeypatch):
    path = tmp_path / "photo.png"
    Image.radial_gradient("L").resize((300, 200)).convert("RGB").save(path)
    whole = FacePredictor(segmentation_net, [network("ssp")]).predict(path)
    monkeypatch.setattr("tinyface.faces.predict.LARGEST", 60)
    shown = FacePredictor(segmentation_net, [network("ssp")]).predict(path)
    assert whole.image.shape == (200, 300, 3) and whole.labels.shape == (200, 300)
    assert shown.image.shape == (40, 60, 3) and shown.labels.shape == (40, 60)
    np.testing.assert_array_equal(shown.probabilities, whole.probabilities)
    assert pictures(shown)["parsing"].size == (60, 40)
    narrow = tmp_path / "narrow.png"
    Image.new("RGB", (1, 500)).save(narrow)
    assert FacePredictor(segmentation_net).predict(narrow).labels.shape == (60, 1)


def test_a_folder_stands_for_the_images_in_it(tmp_path):
    inside = tmp_path / "photos"
    (inside / "below.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "c.webp", "notes.txt", ".hidden.png", "below.png/d.png"):
        (inside / name).touch()
    expected = [inside / name for name in ("a.png", "b.JPG", "c.webp")]
    assert find_photos([inside]) == expected
    assert find_photos(["x.any", str(inside), "x.any"]) == [Path("x.any"), *expected, Path("x.any")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TinyfaceError, match=r"empty: no images in this folder \(\.jpg, .*\); name others"):
        find_photos([inside, tmp_path / "empty"])


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n half"])
def test_a_file_that_is_no_photo_is_named(tmp_path, segmentation_net, content):
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(TinyfaceError, match=r"photo\.png"):
        FacePredictor(segmentation_net).predict(tmp_path / "photo.png")


# ---------------------------------------------------------------- where networks lie


@pytest.mark.parametrize(
    "names",
    [
        ("parser.h5", "ssp.h5", "ssg.h5"),  # weights/
        ("parser.h5", "ssp/best.h5", "ssg/best.h5", "ssp/last.h5"),  # a run of train-attr --ssp --ssg
    ],
)
def test_folders_of_networks(folder, segmentation_net, names):
    path = folder(*names)
    segmentation_nets, attribute_nets = find_networks([path])
    assert [file for file, _ in segmentation_nets] == [path / "parser.h5"]
    assert segmentation_net_for(segmentation_nets, attribute_nets) is segmentation_nets[0][1]
    assert [net.mode for _, net in attribute_nets] == ["ssp", "ssg"]
    predictor = FacePredictor.from_paths([str(path)])
    assert len(predictor.networks) == 2 and isinstance(predictor.segmentation_net, SegmentationNet)


def test_the_networks_that_come_along():
    assert Path(__file__).parents[2] / "weights" == DEFAULT_WEIGHTS
    predictor = FacePredictor.from_paths([DEFAULT_WEIGHTS])
    assert predictor.segmentation_net is not None
    assert {net.mode for net in predictor.networks} == {"ssp", "ssg"}


def test_a_run_of_all_networks(folder):
    path = folder("parser.h5", *(f"{mode}/best.h5" for mode in MODES))
    _, attribute_nets = find_networks([path])
    assert [net.mode for _, net in attribute_nets] == list(MODES)


@pytest.mark.parametrize("mode", [mode for mode in MODES if HEADS_NEEDED[mode]])
def test_a_network_without_the_segmentation_net_it_needs(mode):
    with pytest.raises(TinyfaceError, match=f"the {mode} network needs a segmentation network"):
        FacePredictor(None, [network(mode)])


def test_run_of_the_basic_network_and_run_of_the_segmentation_net(folder):
    path = folder("avg/best.h5")
    predictor = FacePredictor.from_paths([path])
    assert predictor.segmentation_net is None and [net.mode for net in predictor.networks] == ["avg"]
    predictor = FacePredictor.from_paths([folder("best.h5") / "best.h5"])
    assert isinstance(predictor.segmentation_net, SegmentationNet) and not predictor.networks


@pytest.mark.parametrize("names", [("parser.h5", "ssp.h5"), ("parser.h5", "ssp/best.h5")])
def test_an_attribute_network_finds_the_segmentation_net_beside_it(folder, photo, names):
    path = folder(*names)
    assert isinstance(segmentation_net_for(*find_networks([path / names[1]])), SegmentationNet)
    alone, together = FacePredictor.from_paths([path / names[1]]), FacePredictor.from_paths([path])
    np.testing.assert_array_equal(alone.predict(photo).probabilities, together.predict(photo).probabilities)


def test_a_network_that_needs_no_segmentation_net_looks_for_none(folder):
    path = folder("avg.h5")
    (path / "parser.h5").write_text("no checkpoint")
    assert segmentation_net_for(*find_networks([path / "avg.h5"])) is None
    with pytest.raises(TinyfaceError, match=r"parser\.h5: damaged"):
        segmentation_net_for(*find_networks([folder("ssp.h5") / "ssp.h5"]))


def test_what_stands_for_the_segmentation_net_must_be_one(folder):
    path = folder("ssp.h5", "ssg.h5")
    (path / "ssg.h5").rename(path / "parser.h5")
    with pytest.raises(TinyfaceError, match=r"parser\.h5: holds an AttributeNet, but a segmentation network"):
        segmentation_net_for(*find_networks([path / "ssp.h5"]))


def test_files_come_in_any_order_and_twice_counts_once(folder):
    path = folder("ssp.h5", "any.h5")
    predictor = FacePredictor.from_paths([path / "ssp.h5", path / "any.h5", path / "ssp.h5"])
    assert len(predictor.networks) == 1 and isinstance(predictor.segmentation_net, SegmentationNet)


def test_what_is_missing_is_said(folder, tmp_path):
    path = folder("ssp.h5", "one.h5", "two.h5")
    with pytest.raises(TinyfaceError, match="ssp network needs a segmentation network"):
        FacePredictor.from_paths([path / "ssp.h5"])
    with pytest.raises(TinyfaceError, match=r"one\.h5 and .*two\.h5 are both segmentation networks"):
        FacePredictor.from_paths([path / "one.h5", path / "two.h5"])
    with pytest.raises(TinyfaceError, match="nowhere: no such file or folder"):
        FacePredictor.from_paths([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TinyfaceError, match="empty: no networks in this folder; train some"):
        FacePredictor.from_paths([tmp_path / "empty"])


# ---------------------------------------------------------------- showing it


@pytest.fixture
def prediction():
    probabilities = np.full(40, 0.1)
    probabilities[[20, 31, 39]] = 0.5, 0.987, 0.75
    labels = np.zeros((4, 5), np.uint8)
    labels[0], labels[1, 0] = 2, 6
    return Prediction(np.zeros((4, 5, 3), np.uint8), labels, probabilities, None)


def test_what_the_networks_were_trained_on_goes_with_the_reading(folder, photo, segmentation_net):
    path = folder("parser.h5", "ssp.h5", "avg/best.h5")
    save(path / "parser.h5", segmentation_net, "photos")
    save(path / "ssp.h5", network("ssp"), "drawn")
    prediction = FacePredictor.from_paths([path / "ssp.h5"]).predict(
        photo
    )  # the segmentation network lies beside it
    line = (
        "attributes trained on drawn faces only, segmentation network trained on photos of people "
        "(CelebA in my photos)"
    )
    assert prediction.networks == to_json(prediction)["networks"] == line
    assert (
        FacePredictor.from_paths([path / "avg/best.h5"]).trained_on == "trained on data that are not recorded"
    )
    assert "networks" not in to_json(FacePredictor(segmentation_net).predict(photo))
    plain = pictures(replace(prediction, networks=None))["attributes"]
    card = pictures(prediction)["attributes"]
    assert card.height > plain.height
    np.testing.assert_array_equal(np.asarray(card)[: plain.height - 20], np.asarray(plain)[:-20])
    assert (np.asarray(card)[plain.height - 20 :] != 255).any()


def test_text_lists_what_reaches_half_likeliest_first(prediction):
    assert to_text(prediction).split("\n") == [
        "  Smiling              98.7 %",
        "  Young                75.0 %",
        "  Male                 50.0 %",
        "  regions: background 70 %, hair 0 %, face skin 25 %, eyes 0 %, eyebrows 0 %, mouth 0 %, nose 5 %",
    ]
    assert len(to_text(prediction, everything=True).split("\n")) == 41
    prediction.probabilities[:] = 0.2
    assert "no attribute reaches 50 %" in to_text(prediction)


def test_json_has_everything(prediction):
    result = to_json(prediction)
    assert list(result["attributes"]) == list(ATTRIBUTES) and list(result["regions"]) == list(REGIONS)
    assert result["attributes"]["Smiling"] == 0.987
    assert result["regions"]["face skin"] == 0.25 and sum(result["regions"].values()) == pytest.approx(1)


def test_names_of_pictures_do_not_collide():
    assert distinct(["x", "x", "x", "y"]) == ["x", "x-2", "x-3", "y"]
    assert distinct(["x", "x", "x-2", "X", "x"]) == ["x", "x-2", "x-2-2", "X-3", "x-4"]
