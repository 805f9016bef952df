import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.layouts import describe, open_dataset

N = 7
NAMES = [f"{i:06d}.jpg" for i in range(1, N + 1)]
SPLIT = [0, 0, 0, 0, 1, 2, 2]
VALUES = np.random.default_rng(0).integers(0, 2, (N, 40), dtype=np.uint8)
LANDMARKS = np.random.default_rng(1).integers(0, 30, (N, 10))
POINTS = [
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
]


def write_images(folder, size=(11, 9)):
    folder.mkdir(parents=True)
    for i, name in enumerate(NAMES):
        Image.new("RGB", (size[1], size[0]), (30 * i, 0, 0)).save(folder / name, quality=100)


def write_list(path, rows, header=()):
    """Text as CelebA writes it, or csv as Kaggle does, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        lines = [",".join(["image_id", *(header or ["value"])])]
        lines += [",".join([name, *map(str, row)]) for name, row in rows]
    else:
        lines = [str(len(rows)), " ".join(header) + " "] if header else []
        lines += [name + " " + "".join(f"{value:>3}" for value in row) for name, row in rows]
    path.write_text("\n".join(lines) + "\n")


def write_lists(anno, eval_folder, suffix):
    signs = VALUES.astype(int) * 2 - 1
    write_list(anno / f"list_attr_celeba{suffix}", list(zip(NAMES, signs, strict=True)), ATTRIBUTES)
    write_list(
        anno / f"list_landmarks_align_celeba{suffix}", list(zip(NAMES, LANDMARKS, strict=True)), POINTS
    )
    write_list(
        eval_folder / f"list_eval_partition{suffix}", [(n, [s]) for n, s in zip(NAMES, SPLIT, strict=True)]
    )


@pytest.fixture
def celeba(tmp_path):
    """CelebA as its authors give it out."""
    root = tmp_path / "celeba"
    write_images(root / "Img/img_align_celeba")
    write_lists(root / "Anno", root / "Eval", ".txt")
    write_list(root / "Anno/identity_CelebA.txt", [(name, [100 + i]) for i, name in enumerate(NAMES)])
    return root


@pytest.fixture
def kaggle(tmp_path):
    """Kaggle's copy: csv files in the root, the images one folder deeper, no identities."""
    root = tmp_path / "kaggle"
    write_images(root / "img_align_celeba/img_align_celeba")
    write_lists(root, root, ".csv")
    return root


def test_reads_the_original_layout(celeba):
    assert describe(celeba) == "CelebA (txt, aligned images): 4 train, 1 val, 2 test"
    train = open_dataset(celeba, "train", "attributes")
    assert (train.layout, train.split, len(train)) == ("CelebA", "train", 4)
    assert [path.name for path in train.images] == NAMES[:4]
    np.testing.assert_array_equal(train.attributes, VALUES[:4])
    assert train.attributes.dtype == np.uint8
    np.testing.assert_array_equal(train.identities, [100, 101, 102, 103])
    np.testing.assert_array_equal(train.landmarks, LANDMARKS[:4].reshape(4, 5, 2))
    test = open_dataset(celeba, "test", "attributes")
    np.testing.assert_array_equal(test.attributes, VALUES[5:])
    assert test.image(1, (6, 5)).shape == (6, 5, 3)
    assert abs(int(test.image(1, (6, 5))[0, 0, 0]) - 180) <= 2


def test_csv_equals_txt(celeba, kaggle):
    assert describe(kaggle) == "CelebA (csv, aligned images): 4 train, 1 val, 2 test"
    for split in ("train", "val", "test"):
        one, other = open_dataset(celeba, split, "attributes"), open_dataset(kaggle, split, "attributes")
        assert [path.name for path in one.images] == [path.name for path in other.images]
        np.testing.assert_array_equal(one.attributes, other.attributes)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        np.testing.assert_array_equal(one.image(0, (11, 9)), other.image(0, (11, 9)))
    assert other.identities is None


def test_values_may_be_0_and_1(celeba, kaggle):
    attributes = kaggle / "list_attr_celeba.csv"
    attributes.write_text(attributes.read_text().replace("-1", "0"))
    read = open_dataset(kaggle, "train", "attributes").attributes
    np.testing.assert_array_equal(read, open_dataset(celeba, "train", "attributes").attributes)


def test_reads_lists_and_images_in_the_root(tmp_path):
    write_images(tmp_path / "img_align_celeba")
    write_lists(tmp_path, tmp_path, ".txt")
    assert len(open_dataset(tmp_path, "train", "attributes")) == 4


def test_original_images_are_resized_and_take_their_own_landmarks(tmp_path):
    write_images(tmp_path / "Img/img_celeba", size=(40, 50))
    write_lists(tmp_path / "Anno", tmp_path / "Eval", ".txt")
    train = open_dataset(tmp_path, "train", "attributes")
    assert train.landmarks is None
    assert train.image(0, (11, 9)).shape == (11, 9, 3)
    assert "original images" in describe(tmp_path)
    write_list(
        tmp_path / "Anno/list_landmarks_celeba.txt", list(zip(NAMES, LANDMARKS + 9, strict=True)), POINTS
    )
    train = open_dataset(tmp_path, "train", "attributes")
    np.testing.assert_array_equal(train.landmarks, LANDMARKS[:4].reshape(4, 5, 2) + 9)


def test_without_a_partition_the_official_numbers_decide(celeba):
    (celeba / "Eval/list_eval_partition.txt").unlink()
    assert describe(celeba).endswith("7 train, 0 val, 0 test")
    renamed = dict(zip(NAMES, ["162770", "162771", "182637", "182638", "202599", "7", "8"], strict=True))
    attributes = celeba / "Anno/list_attr_celeba.txt"
    text = attributes.read_text()
    for name, number in renamed.items():
        (celeba / "Img/img_align_celeba" / name).rename(celeba / "Img/img_align_celeba" / f"{number}.jpg")
        text = text.replace(name, f"{number}.jpg")
    attributes.write_text(text)
    assert describe(celeba).endswith("3 train, 2 val, 2 test")
    (celeba / "Img/img_align_celeba/7.jpg").rename(celeba / "Img/img_align_celeba/anna.jpg")
    attributes.write_text(text.replace("\n7.jpg", "\nanna.jpg"))
    with pytest.raises(TinyfaceError, match=r"no list_eval_partition\.txt says .* anna\.jpg"):
        describe(celeba)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def drop_last_word(path, line):
    lines = path.read_text().splitlines()
    lines[line - 1] = lines[line - 1].rsplit(None, 1)[0]
    path.write_text("\n".join(lines) + "\n")


def fails(celeba, message):
    with pytest.raises(TinyfaceError, match=message) as caught:
        open_dataset(celeba, "train", "attributes")
    assert "\n" not in str(caught.value)


def test_39_columns(celeba):
    attributes = celeba / "Anno/list_attr_celeba.txt"
    drop_last_word(attributes, line=5)
    fails(celeba, r"list_attr_celeba\.txt, line 5: 39 values instead of 40 after '000003\.jpg'")
    drop_last_word(attributes, line=2)
    fails(celeba, r"list_attr_celeba\.txt, line 2: 39 attribute names instead of CelebA's 40")


def test_39_columns_in_csv(kaggle):
    change(kaggle / "list_attr_celeba.csv", ",Young", "")
    fails(kaggle, r"list_attr_celeba\.csv, line 1: 39 attribute names")


def test_a_wrong_attribute_name(celeba):
    change(celeba / "Anno/list_attr_celeba.txt", "Bald", "Bold")
    fails(celeba, r"list_attr_celeba\.txt, line 2: attribute 'Bold' where CelebA has 'Bald'")


def test_a_wrong_value(celeba):
    drop_last_word(celeba / "Anno/list_attr_celeba.txt", line=4)
    change(celeba / "Anno/list_attr_celeba.txt", "\n000003.jpg", " 7\n000003.jpg")
    fails(celeba, r"list_attr_celeba\.txt, line 4: a value makes no sense \('7'\)")


def test_an_empty_attribute_file(celeba):
    (celeba / "Anno/list_attr_celeba.txt").write_text("")
    fails(celeba, r"list_attr_celeba\.txt, line 2: 0 attribute names")


def test_a_name_without_an_image(celeba):
    (celeba / "Img/img_align_celeba/000006.jpg").unlink()
    fails(
        celeba,
        r"list_attr_celeba\.txt: names 000006\.jpg, but there is no .*Img/img_align_celeba/000006\.jpg",
    )


def test_no_image_folder(celeba):
    (celeba / "Img").rename(celeba / "Pictures")
    fails(celeba, "CelebA's images are missing")


def test_a_name_without_a_line_in_another_list(celeba):
    change(celeba / "Eval/list_eval_partition.txt", "000003.jpg", "999999.jpg")
    fails(celeba, r"list_eval_partition\.txt: 000003\.jpg of .* has no line here")
    change(celeba / "Eval/list_eval_partition.txt", "999999.jpg", "000003.jpg")
    change(celeba / "Anno/identity_CelebA.txt", "000003.jpg", "999999.jpg")
    fails(celeba, r"identity_CelebA\.txt: 000003\.jpg of .* has no line here")


def test_a_split_that_does_not_exist(celeba):
    change(celeba / "Eval/list_eval_partition.txt", "000003.jpg   0", "000003.jpg   3")
    fails(celeba, r"list_eval_partition\.txt, line 3: a value makes no sense")


def test_boxes_belong_to_the_original_images(celeba):
    rows = [(name, [i, 2, 3, 4]) for i, name in enumerate(NAMES)]
    write_list(celeba / "Anno/list_bbox_celeba.txt", rows, ["x_1", "y_1", "width", "height"])
    assert open_dataset(celeba, "test", "attributes").boxes is None  # the images there are the aligned ones
    (celeba / "Img/img_align_celeba").rename(celeba / "Img/img_celeba")
    test = open_dataset(celeba, "test", "attributes")
    np.testing.assert_array_equal(test.boxes, np.array([[5, 2, 3, 4], [6, 2, 3, 4]], np.float32))
    rows[6][1][2] = -1
    write_list(celeba / "Anno/list_bbox_celeba.txt", rows, ["x_1", "y_1", "width", "height"])
    with pytest.raises(TinyfaceError, match=r"list_bbox_celeba.txt, line 9: .*no box"):
        open_dataset(celeba, "test", "attributes")


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "-99999999"])
def test_landmarks_that_lie_nowhere(celeba, value):
    rows = [(name, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) for name in NAMES]
    rows[2][1][9] = f" {value}"
    columns = [f"{axis}_{i}" for i in range(5) for axis in "xy"]
    write_list(celeba / "Anno/list_landmarks_align_celeba.txt", rows, columns)
    with pytest.raises(
        TinyfaceError, match=r"list_landmarks_align_celeba.txt, line 5: .*no point lies there"
    ):
        open_dataset(celeba, "test", "attributes")


@pytest.mark.parametrize("number", [-1, 10**24])
def test_identities_that_are_nobodys(celeba, number):
    lines = [f"{name} {number if i == 1 else i}" for i, name in enumerate(NAMES)]
    (celeba / "Anno/identity_CelebA.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(TinyfaceError, match=r"identity_CelebA.txt, line 2: .*no person's number"):
        open_dataset(celeba, "test", "attributes")
