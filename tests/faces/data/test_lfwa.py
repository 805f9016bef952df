"""LFWA on files written by h5py as MATLAB 7.3 writes them: a header, references, uint16 texts, transposed matrices."""

import os

import h5py
import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data import lfwa
from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.layouts import describe, open_dataset, split_sizes

NAMES = ["Ann_Lee\\Ann_Lee_0001.jpg", "Ann_Lee\\Ann_Lee_0002.jpg", "Bo\\Bo_0001.jpg", "Cy\\Cy_0001.jpg"]
SPELLED = [name.replace("_", " ") + " " * (k % 3 == 0) for k, name in enumerate(ATTRIBUTES)]
LABEL = np.random.default_rng(0).integers(0, 2, (len(NAMES), 40))
TRAIN, TEST = [3, 1], [2, 4]


def write_matlab(path, cells=None, matrices=None):
    """A MATLAB 7.3 file: cell arrays are n×1 in MATLAB, so (1, n) here; matrices are written transposed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, texts in (cells or {}).items():
            places = file.create_dataset(name, (1, len(texts)), dtype=h5py.ref_dtype)
            for k, text in enumerate(texts):
                characters = np.array([[ord(c)] for c in text], np.uint16)
                places[0, k] = file.create_dataset(f"#refs#/{name}{k}", data=characters).ref
        for name, matrix in (matrices or {}).items():
            file[name] = np.asarray(matrix, np.float64).T
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")


def write_attributes(root, spelled=SPELLED, names=NAMES, label=LABEL):
    write_matlab(root / "lfw_att_40.mat", {"AttrName": spelled, "name": names}, {"label": label})


def write_splits(root, train=TRAIN, test=TEST):
    columns = {"indices_img_train": np.array([train]).T, "indices_img_test": np.array([test]).T}
    write_matlab(root / "indices_train_test.mat", matrices=columns)


def write_images(folder, names=NAMES):
    for k, name in enumerate(names):
        path = folder / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (60 * k, 0, 0)).save(path, quality=100)


@pytest.fixture
def faces(tmp_path):
    root = tmp_path / "LFWA"
    write_attributes(root)
    write_splits(root)
    write_images(root / "lfw")
    return root


def fails(root, message, split="train"):
    with pytest.raises(TinyfaceError, match=message) as caught:
        open_dataset(root, split, "attributes")
    assert "\n" not in str(caught.value)


def test_reads_names_attributes_and_splits(faces):
    assert describe(faces) == "LFWA: 2 train, 0 val, 2 test"
    assert split_sizes(faces, "attributes") == {"train": 2, "val": 0, "test": 2}
    for split, rows in (("train", TRAIN), ("test", TEST)):
        data = open_dataset(faces, split, "attributes")
        wanted = [faces / "lfw" / NAMES[row - 1].replace("\\", "/") for row in rows]
        assert data.images == wanted
        np.testing.assert_array_equal(data.attributes, LABEL[np.array(rows) - 1])
        assert data.attributes.dtype == np.uint8
        assert data.image(0, (20, 24)).shape == (20, 24, 3)
        assert data.image(1, (10, 12))[0, 0, 0] == pytest.approx(60 * (rows[1] - 1), abs=2)


def test_the_same_person_has_one_number(faces):
    train, test = (open_dataset(faces, split, "attributes").identities for split in ("train", "test"))
    assert train.tolist() == [1, 0] and test.tolist() == [0, 2]


def test_columns_go_by_name_whatever_their_order_and_spelling(faces):
    order = np.random.default_rng(1).permutation(40)
    spelled = [ATTRIBUTES[k].replace("_", " -"[i % 2]).upper() for i, k in enumerate(order)]
    write_attributes(faces, spelled, label=LABEL[:, order])
    np.testing.assert_array_equal(open_dataset(faces, "train", "attributes").attributes, LABEL[[2, 0]])


@pytest.mark.parametrize("turned", ["names", "label", "indices"])
def test_files_of_other_programs_may_stand_the_other_way_round(faces, turned):
    file, names = {
        "names": ("lfw_att_40.mat", ["AttrName", "name"]),
        "label": ("lfw_att_40.mat", ["label"]),
        "indices": ("indices_train_test.mat", ["indices_img_train", "indices_img_test"]),
    }[turned]
    with h5py.File(faces / file, "r+") as opened:
        for name in names:
            values = opened[name][()].T
            del opened[name]
            opened.create_dataset(name, data=values, dtype=h5py.ref_dtype if turned == "names" else np.uint8)
    data = open_dataset(faces, "train", "attributes")
    np.testing.assert_array_equal(data.attributes, LABEL[[2, 0]])
    assert [path.name for path in data.images] == ["Bo_0001.jpg", "Ann_Lee_0001.jpg"]


def test_forty_images_are_read_as_matlab_writes_them(tmp_path):
    names = [f"P{k}\\P{k}_0001.jpg" for k in range(40)]
    label = np.random.default_rng(2).integers(0, 2, (40, 40))
    write_attributes(tmp_path, names=names, label=label)
    np.testing.assert_array_equal(lfwa.read_attributes(tmp_path / "lfw_att_40.mat")[1], label)


@pytest.mark.parametrize("folder", lfwa.IMAGE_FOLDERS)
def test_images_are_found_where_people_have_them(tmp_path, folder):
    write_attributes(tmp_path / "Anno")
    write_splits(tmp_path / "Anno")
    write_images(tmp_path / folder)
    first = open_dataset(tmp_path, "train", "attributes").images[0]
    assert first == tmp_path / folder / "Bo/Bo_0001.jpg" and first.is_file()


def test_a_changed_file_is_read_again(faces):
    open_dataset(faces, "train", "attributes")
    write_attributes(faces, label=1 - LABEL)
    path = faces / "lfw_att_40.mat"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    np.testing.assert_array_equal(open_dataset(faces, "train", "attributes").attributes, 1 - LABEL[[2, 0]])


# What may be wrong


@pytest.mark.parametrize("file", ["lfw_att_40.mat", "indices_train_test.mat"])
def test_a_file_of_an_older_version(faces, file):
    header = b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(124) + b"\0\1IM"
    (faces / file).write_bytes(header + bytes(100))
    fails(faces, rf"{file}: is of an older version of MATLAB's format; .*save it with -v7\.3")


@pytest.mark.parametrize("content", [b"", b"not a matrix at all", "half"])
def test_a_damaged_file(faces, content):
    path = faces / "lfw_att_40.mat"
    path.write_bytes(path.read_bytes()[:3000] if content == "half" else content)
    fails(faces, r"lfw_att_40\.mat: is damaged or no MATLAB 7\.3 file; replace it")


@pytest.mark.parametrize("name", ["AttrName", "label", "name"])
def test_a_variable_that_is_missing(faces, name):
    with h5py.File(faces / "lfw_att_40.mat", "r+") as file:
        del file[name]
    fails(faces, rf"lfw_att_40\.mat: has no variable {name}")


def test_a_number_where_texts_are_expected(faces):
    with h5py.File(faces / "lfw_att_40.mat", "r+") as file:
        del file["name"]
        file["name"] = np.ones((1, 4))
    fails(faces, r"lfw_att_40\.mat: is damaged")


def test_39_attributes(faces):
    write_attributes(faces, SPELLED[:-1], label=LABEL[:, :-1])
    fails(faces, r"39 attributes that are not CelebA's 40 \(missing: Young\)")


def test_an_attribute_that_is_another(faces):
    write_attributes(faces, ["Asian", *SPELLED[1:]])
    fails(faces, r"40 attributes that .* \(missing: 5_o_Clock_Shadow; unknown: Asian\)")


def test_an_attribute_that_comes_twice(faces):
    write_attributes(faces, [*SPELLED, SPELLED[0]], label=np.c_[LABEL, LABEL[:, 0]])
    fails(faces, r"41 attributes that are not CelebA's 40 \(one comes twice\)")


def test_an_empty_text(faces):
    with h5py.File(faces / "lfw_att_40.mat", "r+") as file:
        empty = file.create_dataset("#refs#/empty", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_empty"] = 1
        file["AttrName"][0, 39] = empty.ref
    assert lfwa.read_matlab(faces / "lfw_att_40.mat", texts=("AttrName",))[0] == [*SPELLED[:-1], ""]
    fails(faces, r"40 attributes that are not CelebA's 40 \(missing: Young; unknown: \)")


def test_labels_of_another_size_or_with_other_values(faces):
    write_attributes(faces, label=LABEL[:3])
    fails(faces, r"label is \(40, 3\), but there are 4 names and 40 attributes")
    write_attributes(faces, label=np.where(LABEL, np.nan, 0))
    fails(faces, "label has values other than 0 and 1")


@pytest.mark.parametrize("index", [0, 5, 1.5, np.nan, -1])
def test_an_index_that_is_no_row(faces, index):
    write_splits(faces, test=[2, index])
    fails(faces, rf"indices_img_test has {index:g}, which is no row of lfw_att_40\.mat: they go from 1 to 4")


def test_an_image_in_both_splits(faces):
    write_splits(faces, test=[2, 3])
    fails(faces, "image 3 is in both splits")


def test_an_image_that_is_missing(faces):
    (faces / "lfw/Bo/Bo_0001.jpg").unlink()
    fails(faces, r"lfw_att_40\.mat: names Bo/Bo_0001\.jpg, but there is no .*lfw/Bo/Bo_0001\.jpg")
    (faces / "lfw/Bo").rmdir()
    fails(faces, r"names Bo/Bo_0001\.jpg, but there is no")
    assert len(open_dataset(faces, "test", "attributes")) == 2


def test_files_that_are_missing(faces):
    (faces / "lfw").rename(faces / "elsewhere")
    fails(faces, r"LFWA's images are missing; put the persons' folders into lfw/")
    (faces / "indices_train_test.mat").unlink()
    fails(faces, r"indices_train_test\.mat is missing; put it beside lfw_att_40\.mat")


def test_no_validation_split(faces):
    fails(faces, "LFWA has no images in split 'val'; it has: train, test", split="val")
