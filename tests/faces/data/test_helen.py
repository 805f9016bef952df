import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import REGIONS
from tinyface.faces.data.layouts import describe, open_dataset

# Helen's 11 ids in their order, and the region each belongs to.
ELEVEN = [
    "background",
    "face skin",
    "eyebrows",
    "eyebrows",
    "eyes",
    "eyes",
    "nose",
    "mouth",
    "mouth",
    "mouth",
    "hair",
]
IDS = np.arange(12 * 11, dtype=np.uint8).reshape(12, 11) % 11
REGION_IDS = np.array([REGIONS.index(region) for region in ELEVEN])


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def smith(tmp_path):
    root = tmp_path / "helen"
    names = {"exemplars.txt": ["100_1", "101_1"], "tuning.txt": ["102_1"], "testing.txt": ["103_1"]}
    rng = np.random.default_rng(0)
    for list_name, members in names.items():
        root.mkdir(exist_ok=True)
        (root / list_name).write_text("".join(f"{i + 1} , {name}\n" for i, name in enumerate(members)) + "\n")
        for name in members:
            save(rng.integers(0, 256, (12, 11, 3), dtype=np.uint8), root / f"images/{name}.jpg")
            for i in range(11):
                # The right id has the highest probability, but not always a high one.
                probability = rng.integers(0, 60, IDS.shape, dtype=np.uint8)
                probability[i == IDS] = rng.integers(60, 256)
                save(probability, root / f"labels/{name}/{name}_lbl{i:02d}.png")
    return root


@pytest.fixture
def star(tmp_path):
    root = tmp_path / "helenstar"
    for split, members in {"train": ["7", "12"], "test": ["3"]}.items():
        for name in members:
            save(np.full((12, 11, 3), int(name), dtype=np.uint8), root / split / f"{name}_image.jpg")
            save(IDS, root / split / f"{name}_label.png")
            (root / split / f"{name}_viz.jpg").touch()
    return root


def fails(root, message, use=lambda data: data):
    with pytest.raises(TinyfaceError, match=message) as caught:
        use(open_dataset(root, "train", "labels"))
    assert "\n" not in str(caught.value)


def read_labels(data):
    return data.labels(0, (12, 11))


def test_smith(smith):
    assert describe(smith) == "Helen (Smith et al., probability maps): 2 train, 1 val, 1 test"
    for split, name in (("train", "100_1"), ("val", "102_1"), ("test", "103_1")):
        data = open_dataset(smith, split, "labels")
        assert data.images[0].name == f"{name}.jpg" and data.attributes is None
        labels = data.labels(0, (12, 11))
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, REGION_IDS[IDS])
        np.testing.assert_array_equal(
            data.labels(0, (24, 22)), np.kron(REGION_IDS[IDS], np.ones((2, 2), int))
        )
        assert data.image(0, (24, 22)).shape == (24, 22, 3)


def test_smith_pixels_without_any_label_are_background(smith):
    for i in range(11):
        save(np.zeros((12, 11), np.uint8), smith / f"labels/100_1/100_1_lbl{i:02d}.png")
    assert not open_dataset(smith, "train", "labels").labels(0, (12, 11)).any()


def test_smith_without_one_of_the_lists(smith):
    (smith / "tuning.txt").unlink()
    assert describe(smith).endswith("2 train, 0 val, 1 test")


def test_smith_missing_files(smith):
    (smith / "labels/100_1/100_1_lbl04.png").unlink()
    fails(smith, r"100_1_lbl04\.png: can't be opened", read_labels)
    (smith / "labels/100_1").rename(smith / "labels/200_1")
    fails(smith, r"exemplars\.txt: names 100_1, but there is no folder labels/100_1")
    (smith / "images/100_1.jpg").unlink()
    fails(smith, r"exemplars\.txt: names 100_1, but there is no images/100_1\.jpg")


def test_smith_label_map_of_another_size(smith):
    save(np.zeros((12, 10), np.uint8), smith / "labels/100_1/100_1_lbl03.png")
    fails(smith, r"100_1_lbl03\.png: 10x12 pixels, but its image .*100_1\.jpg has 11x12", read_labels)


def test_helen_star(star):
    assert describe(star) == "HELEN*: 2 train, 0 val, 1 test"
    train = open_dataset(star, "train", "labels")
    for i, image in enumerate(train.images):
        assert train.image(i, (12, 11))[0, 0, 0] == int(image.name.split("_")[0])
        np.testing.assert_array_equal(train.labels(i, (12, 11)), REGION_IDS[IDS])
    with pytest.raises(TinyfaceError, match=r"HELEN\* has no images in split 'val'; it has: train, test"):
        open_dataset(star, "val", "labels")


def test_helen_star_missing_image(star):
    (star / "train/7_image.jpg").unlink()
    fails(star, r"7_label\.png: its image 7_image\.jpg is missing")


def test_helen_star_bad_label_maps(star):
    label = star / "train/12_label.png"
    save(IDS + 1, label)
    fails(star, r"12_label\.png: id 11, but a label map has only the ids 0 to 10", read_labels)
    save(IDS[:6], label)
    fails(star, r"12_label\.png: 11x6 pixels, but its image .*12_image\.jpg has 11x12", read_labels)
    label.write_bytes(label.read_bytes()[:50])
    fails(star, r"12_label\.png: damaged, cut short", read_labels)
