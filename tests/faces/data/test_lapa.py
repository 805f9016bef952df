import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import REGIONS
from tinyface.faces.data.layouts import describe, open_dataset

IDS = np.arange(12 * 11, dtype=np.uint8).reshape(12, 11) % 11


@pytest.fixture
def lapa(tmp_path):
    rng = np.random.default_rng(0)
    for split, names in {"train": ["b", "a"], "val": ["c"]}.items():
        for folder in ("images", "labels", "landmarks"):
            (tmp_path / split / folder).mkdir(parents=True)
        for name in names:
            pixels = rng.integers(0, 256, (12, 11, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / f"images/{name}.jpg")
            Image.fromarray(IDS).save(tmp_path / split / f"labels/{name}.png")
    return tmp_path


def test_reads_images_and_the_7_regions(lapa):
    assert describe(lapa) == "LaPa: 2 train, 1 val, 0 test"
    train = open_dataset(lapa, "train", "labels")
    assert [path.name for path in train.images] == ["a.jpg", "b.jpg"]
    assert train.image(0, (24, 22)).shape == (24, 22, 3)
    labels = train.labels(0, (12, 11))
    names = [REGIONS[labels[i == IDS][0]] for i in range(11)]
    assert names == (
        ["background", "face skin", "eyebrows", "eyebrows", "eyes", "eyes", "nose"] + ["mouth"] * 3 + ["hair"]
    )
    np.testing.assert_array_equal(train.labels(0, (24, 22)), labels.repeat(2, axis=0).repeat(2, axis=1))


def test_a_split_without_images(lapa):
    with pytest.raises(TinyfaceError, match="LaPa has no images in split 'test'; it has: train, val"):
        open_dataset(lapa, "test", "labels")


def test_an_image_without_label_map(lapa):
    (lapa / "train/labels/b.png").unlink()
    with pytest.raises(TinyfaceError, match=r"b\.jpg: its label map .*b\.png is missing"):
        open_dataset(lapa, "train", "labels")


def test_a_label_map_of_another_size(lapa):
    Image.fromarray(IDS[:, :5]).save(lapa / "train/labels/a.png")
    with pytest.raises(TinyfaceError, match=r"a\.png: 5x12 pixels, but its image .*a\.jpg has 11x12"):
        open_dataset(lapa, "train", "labels").labels(0, (12, 11))
