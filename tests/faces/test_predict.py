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
    FaceReader,
    Reading,
    distinct,
    find_networks,
    find_photos,
    parser_for,
    pictures,
    to_json,
    to_text,
)
from tinyface.faces.tasks import AttributeTask, parse

SIZE, OTHER = (33, 25), (40, 32)


def network(mode, size=SIZE, seed=0):
    backend.seed(seed)
    return AttributeNet(2, mode, size).eval()


@pytest.fixture(scope="module")
def parser():
    backend.seed(5)
    return SegmentationNet(2, SIZE).eval()


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (50, 41, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path, parser):
    """folder(*names): checkpoints under these names, each of the kind that its name says."""

    def make(*names):
        for name in names:
            path = tmp_path / "nets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = next((mode for mode in MODES if mode in name), None)
            checkpoint.save(path, checkpoint.Checkpoint(network(mode) if mode else parser))
        return tmp_path / "nets"

    return make


def as_input(path, size=SIZE):
    return to_network_input(read_image(path, size)[None])


# ---------------------------------------------------------------- the numbers


def test_probabilities_are_those_of_evaluation(photo, parser):
    for mode in MODES:
        net = network(mode)
        expected = AttributeTask(net, parser).probabilities(as_input(photo))[0]
        np.testing.assert_array_equal(FaceReader(parser, [net]).read(photo).probabilities, expected)


def test_several_networks_are_averaged_each_at_its_own_size(photo, parser):
    nets = [network("ssp"), network("ssg", OTHER, seed=1), network("avg", seed=2)]
    each = [AttributeTask(net, parser).probabilities(as_input(photo, net.config["size"]))[0] for net in nets]
    reading = FaceReader(parser, nets).read(photo)
    np.testing.assert_allclose(reading.probabilities, np.mean(each, axis=0), rtol=1e-6)


def test_labels_are_the_parsers_brought_to_the_photos_size(photo, parser):
    reading = FaceReader(parser, [network("ssp", OTHER)]).read(photo)
    assert reading.labels.shape == (50, 41) and reading.labels.dtype == np.uint8
    small = parse(parser, as_input(photo))[0]
    expected = np.array(Image.fromarray(small).resize((41, 50), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(reading.labels, expected)
    np.testing.assert_array_equal(reading.image, read_image(photo))


@pytest.mark.parametrize("mode", ["ssp", "joint"])
def test_region_weights_are_those_of_ssp(photo, parser, mode):
    """Not the weights of bbox's 16 boxes."""
    weights = FaceReader(parser, [network("ssg"), network(mode), network("bbox")]).read(photo).region_weights
    assert weights.shape == (len(REGIONS), len(ATTRIBUTES))
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-5)
    assert FaceReader(parser, [network("ssg"), network("bbox")]).read(photo).region_weights is None


def test_bbox_reads_a_photo_by_the_landmarks_of_its_regions(photo, parser):
    net = network("bbox", OTHER)
    x = as_input(photo, OTHER)
    points = landmarks_from_regions(parse(parser, x))
    expected = AttributeTask(net).probabilities(x, landmarks=points)[0]
    np.testing.assert_array_equal(FaceReader(parser, [net]).read(photo).probabilities, expected)


def test_networks_handed_over_in_training_are_put_to_evaluation(photo, parser):
    expected = FaceReader(parser, [network("ssp")]).read(photo)
    reading = FaceReader(parser.train(), [network("ssp").train()]).read(photo)
    np.testing.assert_array_equal(reading.probabilities, expected.probabilities)
    np.testing.assert_array_equal(reading.labels, expected.labels)


def test_parser_alone_and_basic_network_alone(photo, parser):
    reading = FaceReader(parser).read(photo)
    assert reading.labels.shape == (50, 41) and reading.probabilities is None
    assert list(pictures(reading)) == ["parsing"] and list(to_json(reading)) == ["regions"]
    reading = FaceReader(None, [network("avg")]).read(photo)
    assert reading.labels is None and reading.probabilities.shape == (40,)
    assert list(pictures(reading)) == ["attributes"] and list(to_json(reading)) == ["attributes"]


# ---------------------------------------------------------------- any photo


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (55, 45)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK"])
def test_any_size_and_colour_mode(tmp_path, parser, size, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    Image.new("RGB", size[::-1], (200, 120, 90)).convert(mode).save(path)
    reading = FaceReader(parser, [network("ssp")]).read(path)
    assert reading.image.shape == (*size, 3) and reading.labels.shape == size
    made = pictures(reading)
    assert made["parsing"].size == size[::-1]
    assert made["attributes"].width < 3000


def test_the_cameras_orientation_is_applied(tmp_path, parser):
    upright = np.zeros((40, 30, 3), np.uint8)
    upright[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / "photo.png", exif=exif)
    reading = FaceReader(parser).read(tmp_path / "photo.png")
    np.testing.assert_array_equal(reading.image, upright)
    assert reading.labels.shape == (40, 30)


def test_a_huge_photo_is_shown_smaller_and_read_the_same(tmp_path, parser, monkeypatch):
    path = tmp_path / "photo.png"
    Image.radial_gradient("L").resize((300, 200)).convert("RGB").save(path)
    whole = FaceReader(parser, [network("ssp")]).read(path)
    monkeypatch.setattr("tinyface.faces.predict.LARGEST", 60)
    shown = FaceReader(parser, [network("ssp")]).read(path)
    assert whole.image.shape == (200, 300, 3) and whole.labels.shape == (200, 300)
    assert shown.image.shape == (40, 60, 3) and shown.labels.shape == (40, 60)
    np.testing.assert_array_equal(shown.probabilities, whole.probabilities)
    assert pictures(shown)["parsing"].size == (60, 40)
    narrow = tmp_path / "narrow.png"
    Image.new("RGB", (1, 500)).save(narrow)
    assert FaceReader(parser).read(narrow).labels.shape == (60, 1)


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
def test_a_file_that_is_no_photo_is_named(tmp_path, parser, content):
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(TinyfaceError, match=r"photo\.png"):
        FaceReader(parser).read(tmp_path / "photo.png")


# ---------------------------------------------------------------- where networks lie


@pytest.mark.parametrize(
    "names",
    [
        ("parser.h5", "ssp.h5", "ssg.h5"),  # weights/
        ("parser.h5", "ssp/best.h5", "ssg/best.h5", "ssp/last.h5"),  # a run of train-attr --ssp --ssg
    ],
)
def test_folders_of_networks(folder, parser, names):
    path = folder(*names)
    parsers, readers = find_networks([path])
    assert [file for file, _ in parsers] == [path / "parser.h5"]
    assert parser_for(parsers, readers) is parsers[0][1]
    assert [net.mode for _, net in readers] == ["ssp", "ssg"]
    reader = FaceReader.from_paths([str(path)])
    assert len(reader.networks) == 2 and isinstance(reader.parser, SegmentationNet)


def test_the_networks_that_come_along():
    assert Path(__file__).parents[2] / "weights" == DEFAULT_WEIGHTS
    reader = FaceReader.from_paths([DEFAULT_WEIGHTS])
    assert reader.parser is not None
    assert {net.mode for net in reader.networks} == {"ssp", "ssg"}


def test_a_run_of_all_networks(folder):
    path = folder("parser.h5", *(f"{mode}/best.h5" for mode in MODES))
    _, readers = find_networks([path])
    assert [net.mode for _, net in readers] == list(MODES)


@pytest.mark.parametrize("mode", [mode for mode in MODES if HEADS_NEEDED[mode]])
def test_a_network_without_the_parser_it_needs(mode):
    with pytest.raises(TinyfaceError, match=f"the {mode} network needs a parser"):
        FaceReader(None, [network(mode)])


def test_run_of_the_basic_network_and_run_of_the_parser(folder):
    path = folder("avg/best.h5")
    reader = FaceReader.from_paths([path])
    assert reader.parser is None and [net.mode for net in reader.networks] == ["avg"]
    reader = FaceReader.from_paths([folder("best.h5") / "best.h5"])
    assert isinstance(reader.parser, SegmentationNet) and not reader.networks


@pytest.mark.parametrize("names", [("parser.h5", "ssp.h5"), ("parser.h5", "ssp/best.h5")])
def test_an_attribute_network_finds_the_parser_beside_it(folder, photo, names):
    path = folder(*names)
    assert isinstance(parser_for(*find_networks([path / names[1]])), SegmentationNet)
    alone, together = FaceReader.from_paths([path / names[1]]), FaceReader.from_paths([path])
    np.testing.assert_array_equal(alone.read(photo).probabilities, together.read(photo).probabilities)


def test_a_network_that_needs_no_parser_looks_for_none(folder):
    path = folder("avg.h5")
    (path / "parser.h5").write_text("no checkpoint")
    assert parser_for(*find_networks([path / "avg.h5"])) is None
    with pytest.raises(TinyfaceError, match=r"parser\.h5: damaged"):
        parser_for(*find_networks([folder("ssp.h5") / "ssp.h5"]))


def test_what_stands_for_the_parser_must_be_one(folder):
    path = folder("ssp.h5", "ssg.h5")
    (path / "ssg.h5").rename(path / "parser.h5")
    with pytest.raises(TinyfaceError, match=r"parser\.h5: holds an AttributeNet, but a parser"):
        parser_for(*find_networks([path / "ssp.h5"]))


def test_files_come_in_any_order_and_twice_counts_once(folder):
    path = folder("ssp.h5", "any.h5")
    reader = FaceReader.from_paths([path / "ssp.h5", path / "any.h5", path / "ssp.h5"])
    assert len(reader.networks) == 1 and isinstance(reader.parser, SegmentationNet)


def test_what_is_missing_is_said(folder, tmp_path):
    path = folder("ssp.h5", "one.h5", "two.h5")
    with pytest.raises(TinyfaceError, match="ssp network needs a parser"):
        FaceReader.from_paths([path / "ssp.h5"])
    with pytest.raises(TinyfaceError, match=r"one\.h5 and .*two\.h5 are both parsers"):
        FaceReader.from_paths([path / "one.h5", path / "two.h5"])
    with pytest.raises(TinyfaceError, match="nowhere: no such file or folder"):
        FaceReader.from_paths([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TinyfaceError, match="empty: no networks in this folder; train some"):
        FaceReader.from_paths([tmp_path / "empty"])


# ---------------------------------------------------------------- showing it


@pytest.fixture
def reading():
    probabilities = np.full(40, 0.1)
    probabilities[[20, 31, 39]] = 0.5, 0.987, 0.75
    labels = np.zeros((4, 5), np.uint8)
    labels[0], labels[1, 0] = 2, 6
    return Reading(np.zeros((4, 5, 3), np.uint8), labels, probabilities, None)


def test_what_the_networks_were_trained_on_goes_with_the_reading(folder, photo, parser):
    path = folder("parser.h5", "ssp.h5", "avg/best.h5")
    save(path / "parser.h5", parser, "photos")
    save(path / "ssp.h5", network("ssp"), "drawn")
    reading = FaceReader.from_paths([path / "ssp.h5"]).read(photo)  # the parser lies beside it
    line = "attributes trained on drawn faces only, parser trained on photos of people (CelebA in my photos)"
    assert reading.networks == to_json(reading)["networks"] == line
    assert FaceReader.from_paths([path / "avg/best.h5"]).trained_on == "trained on data that are not recorded"
    assert "networks" not in to_json(FaceReader(parser).read(photo))
    plain = pictures(replace(reading, networks=None))["attributes"]
    card = pictures(reading)["attributes"]
    assert card.height > plain.height
    np.testing.assert_array_equal(np.asarray(card)[: plain.height - 20], np.asarray(plain)[:-20])
    assert (np.asarray(card)[plain.height - 20 :] != 255).any()


def test_text_lists_what_reaches_half_likeliest_first(reading):
    assert to_text(reading).split("\n") == [
        "  Smiling              98.7 %",
        "  Young                75.0 %",
        "  Male                 50.0 %",
        "  regions: background 70 %, hair 0 %, face skin 25 %, eyes 0 %, eyebrows 0 %, mouth 0 %, nose 5 %",
    ]
    assert len(to_text(reading, everything=True).split("\n")) == 41
    reading.probabilities[:] = 0.2
    assert "no attribute reaches 50 %" in to_text(reading)


def test_json_has_everything(reading):
    result = to_json(reading)
    assert list(result["attributes"]) == list(ATTRIBUTES) and list(result["regions"]) == list(REGIONS)
    assert result["attributes"]["Smiling"] == 0.987
    assert result["regions"]["face skin"] == 0.25 and sum(result["regions"].values()) == pytest.approx(1)


def test_names_of_pictures_do_not_collide():
    assert distinct(["x", "x", "x", "y"]) == ["x", "x-2", "x-3", "y"]
    assert distinct(["x", "x", "x-2", "X", "x"]) == ["x", "x-2", "x-2-2", "X-3", "x-4"]
