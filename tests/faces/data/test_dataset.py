import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import ATTRIBUTES, HELEN_TO_REGION, REGIONS, FaceDataset
from tinyface.faces.data.layouts import (
    DRAWN,
    LAYOUTS,
    PHOTOS,
    UNKNOWN,
    choose_layout,
    describe,
    faces_of,
    find_layouts,
    open_dataset,
    split_sizes,
)
from tinyface.faces.data.toyfaces import MARK


def write_celeba(root):
    (root / "Anno").mkdir(parents=True)
    (root / "Img/img_align_celeba").mkdir(parents=True)
    Image.new("RGB", (9, 11)).save(root / "Img/img_align_celeba/000001.jpg")
    row = "000001.jpg " + " ".join(["1"] * 40)
    (root / "Anno/list_attr_celeba.txt").write_text(f"1\n{' '.join(ATTRIBUTES)}\n{row}\n")


def write_lapa(root):
    for folder in ("images", "labels"):
        (root / "train" / folder).mkdir(parents=True)
    Image.new("RGB", (9, 11)).save(root / "train/images/1.jpg")
    Image.new("L", (9, 11), 10).save(root / "train/labels/1.png")


def fails(path, message, split="train", need="attributes"):
    with pytest.raises(TinyfaceError, match=message) as caught:
        open_dataset(path, split, need)
    assert "\n" not in str(caught.value)


def test_names():
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)  # as in CelebA's file
    assert len(REGIONS) == 7 and len(HELEN_TO_REGION) == 11
    assert set(HELEN_TO_REGION) == set(range(7))


def test_missing_folder(tmp_path):
    fails(tmp_path / "nowhere", "nowhere: no such folder")


def test_file_instead_of_folder(tmp_path):
    (tmp_path / "a.zip").touch()
    fails(tmp_path / "a.zip", r"a\.zip: is a file, not a folder")


def test_empty_folder(tmp_path):
    fails(tmp_path, "the folder is empty")


def test_unrecognised_layout_says_what_is_understood(tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday/1.jpg").touch()
    for layout in LAYOUTS:
        fails(tmp_path, rf"no data set recognised here.*{layout.name.replace('*', '[*]')} by ")
    fails(tmp_path, r"list_attr_celeba\.txt.*CelebA-HQ-img/.*exemplars\.txt.*_label\.png.*train/images/")


def test_a_split_without_images(tmp_path):
    write_celeba(tmp_path)
    fails(tmp_path, "CelebA has no images in split 'val'; it has: train", split="val")
    fails(tmp_path, "CelebA has no images in split 'validation'; it has: train", split="validation")


def test_the_need_must_be_met(tmp_path):
    write_celeba(tmp_path)
    fails(tmp_path, "label maps are needed, but CelebA has none", need="labels")


def test_a_folder_of_several_data_sets(tmp_path):
    write_celeba(tmp_path / "celeba")
    write_lapa(tmp_path / "parsing")
    assert open_dataset(tmp_path, "train", "attributes").root == tmp_path / "celeba"
    labels = open_dataset(tmp_path, "train", "labels")
    assert labels.root == tmp_path / "parsing"
    assert (labels.labels(0, (5, 4)) == REGIONS.index("hair")).all()
    assert len(find_layouts(tmp_path)) == 2
    assert describe(tmp_path) == (
        "CelebA (txt, aligned images): 1 train, 0 val, 0 test; LaPa: 1 train, 0 val, 0 test"
    )
    assert describe(str(tmp_path), "labels") == "LaPa: 1 train, 0 val, 0 test"
    assert split_sizes(tmp_path, "labels") == {"train": 1, "val": 0, "test": 0}


def test_two_data_sets_that_fit_must_be_told_apart(tmp_path):
    write_celeba(tmp_path / "one")
    write_celeba(tmp_path / "two")
    fails(tmp_path, r"several data sets have attributes: .*one \(CelebA\), .*two \(CelebA\)")


def test_drawn_faces_are_told_by_their_mark_and_old_ones_not_taken_for_photos(tmp_path):
    write_lapa(tmp_path / "lapa")
    write_celeba(tmp_path / "celeba")
    labelled, attributed = choose_layout(tmp_path / "lapa", "labels"), tmp_path / "celeba"
    assert faces_of(labelled) == PHOTOS
    assert faces_of(choose_layout(attributed, "attributes")) == PHOTOS
    rows = attributed / "Anno/list_attr_celeba.txt"
    words = rows.read_text().split()
    words[-40 + ATTRIBUTES.index("Attractive")] = "-1"
    rows.write_text(f"1\n{' '.join(words[1:41])}\n{' '.join(words[41:])}\n")
    assert faces_of(choose_layout(attributed, "attributes")) == UNKNOWN
    for root, need in ((tmp_path / "lapa", "labels"), (attributed, "attributes")):
        (root / MARK).touch()
        assert faces_of(choose_layout(root, need)) == DRAWN


def test_a_dataset_without_label_maps(tmp_path):
    data = FaceDataset("CelebA", tmp_path, "train", images=[tmp_path / "1.jpg"], attributes=np.zeros((1, 40)))
    assert len(data) == 1
    with pytest.raises(TinyfaceError, match="CelebA has no label maps"):
        data.labels(0, (4, 4))


def test_every_third_image_with_all_that_is_known_of_it():
    count = 7
    values = {
        "attributes": np.arange(count)[:, None],
        "identities": np.arange(count),
        "landmarks": np.arange(count)[:, None, None],
        "boxes": np.arange(count)[:, None],
    }
    images = list(range(count))
    whole = FaceDataset("toy", None, "train", images, label_reader=lambda index: index, **values)
    part = whole.every(3)
    assert list(part.images) == [0, 3, 6] and [part.label_reader(i) for i in range(3)] == [0, 3, 6]
    for name in values:
        assert getattr(part, name).ravel().tolist() == [0, 3, 6], name
