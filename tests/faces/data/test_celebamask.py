import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.celebamask import PAINT
from tinyface.faces.data.dataset import ATTRIBUTES, REGIONS
from tinyface.faces.data.layouts import describe, open_dataset

SIZE = 24  # of the images; the parts have half of it
INDICES = [*range(10), 2001]
VALUES = np.random.default_rng(0).integers(0, 2, (len(INDICES), 40), dtype=np.uint8)


def part_path(root, index, part):
    return root / f"CelebAMask-HQ-mask-anno/{index // 2000}/{index:05d}_{part}.png"


def write_part(root, index, part, where, size=SIZE // 2):
    """A part file that is white in the box `where` = (top, bottom, left, right)."""
    path = part_path(root, index, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((size, size, 3), dtype=np.uint8)
    mask[where[0] : where[1], where[2] : where[3]] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture
def celebamask(tmp_path):
    (tmp_path / "CelebA-HQ-img").mkdir()
    rows = []
    for i, index in enumerate(INDICES):
        Image.new("RGB", (SIZE, SIZE), (20 * i, 0, 0)).save(tmp_path / f"CelebA-HQ-img/{index}.jpg")
        write_part(tmp_path, index, "skin", (2, 10, 2, 10))
        rows.append(f"{index}.jpg " + " ".join("1" if value else "-1" for value in VALUES[i]))
    lines = [str(len(rows)), " ".join(ATTRIBUTES) + " ", *rows]
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def labels_of_first(root, size=SIZE):
    return open_dataset(root, "train", "labels").labels(0, (size, size))


def test_reads_images_attributes_and_labels(celebamask):
    assert describe(celebamask) == "CelebAMask-HQ (splits by number): 9 train, 1 val, 1 test"
    for need in ("attributes", "labels"):
        train = open_dataset(celebamask, "train", need)
        assert [path.name for path in train.images] == [f"{i}.jpg" for i in [*range(8), 2001]][: len(train)]
        np.testing.assert_array_equal(train.attributes, VALUES[[*range(8), 10]])
        assert train.image(8, (6, 5)).shape == (6, 5, 3)
        assert (train.labels(8, (SIZE, SIZE)) == REGIONS.index("face skin")).sum() == 16 * 16


def test_an_absent_part_is_no_error_and_labels_have_the_size_of_the_image(celebamask):
    labels = open_dataset(celebamask, "train", "labels").label_reader(0)
    expected = np.zeros((SIZE, SIZE), dtype=np.uint8)
    expected[4:20, 4:20] = REGIONS.index("face skin")
    np.testing.assert_array_equal(labels, expected)


def test_every_part_goes_to_its_region(celebamask):
    region_of = {
        "skin": "face skin",
        "nose": "nose",
        "hair": "hair",
        **dict.fromkeys(("l_eye", "r_eye"), "eyes"),
        **dict.fromkeys(("l_brow", "r_brow"), "eyebrows"),
        **dict.fromkeys(("mouth", "u_lip", "l_lip"), "mouth"),
        **dict.fromkeys(("eye_g", "l_ear", "r_ear", "ear_r", "neck_l", "neck", "cloth", "hat"), "background"),
    }
    assert set(PAINT) == set(region_of)
    for part, region in region_of.items():
        write_part(celebamask, 0, part, (3, 5, 3, 5))
        assert REGIONS[labels_of_first(celebamask)[8, 8]] == region, part
        if part != "skin":
            part_path(celebamask, 0, part).unlink()


@pytest.mark.parametrize(
    ("under", "over"),
    [
        ("skin", "nose"),
        ("skin", "l_brow"),
        ("eye_g", "r_eye"),
        ("skin", "eye_g"),
        ("mouth", "hair"),
        ("skin", "hair"),
        ("hair", "hat"),
        ("skin", "cloth"),
    ],
)
def test_what_lies_on_top_wins(celebamask, under, over):
    write_part(celebamask, 0, under, (2, 8, 2, 8))
    write_part(celebamask, 0, over, (4, 10, 4, 10))
    labels = labels_of_first(celebamask)
    assert labels[10, 10] == PAINT[over] and labels[5, 5] == PAINT[under]


def test_celebas_own_splits_joined_by_file_name(celebamask):
    # orig_idx is 0-based: joined by it, every image would get its neighbour's split.
    lines = ["idx\torig_idx\torig_file\tproj_md5"]
    lines += [f"{index}\t{100 + i}\t{101 + i:06d}.jpg\tx" for i, index in enumerate(INDICES)]
    (celebamask / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines) + "\n")
    assert "splits by number" in describe(celebamask)
    split = [0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    rows = [f"{101 + i:06d}.jpg {number}" for i, number in enumerate(split)]
    partition = celebamask / "list_eval_partition.txt"
    partition.write_text("\n".join(rows) + "\n")
    assert describe(celebamask) == "CelebAMask-HQ (CelebA's splits): 8 train, 2 val, 1 test"
    val = open_dataset(celebamask, "val", "attributes")
    assert [path.name for path in val.images] == ["1.jpg", "2001.jpg"]
    np.testing.assert_array_equal(val.attributes, VALUES[[1, 10]])
    partition.write_text("\n".join(rows[1:]) + "\n")
    with pytest.raises(TinyfaceError, match=r"list_eval_partition\.txt: 000101\.jpg of .* has no line here"):
        describe(celebamask)
    (celebamask / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines[:3]) + "\n")
    partition.write_text("\n".join(rows) + "\n")
    with pytest.raises(TinyfaceError, match=r"mapping\.txt: no row for image 2"):
        describe(celebamask)


def test_without_attribute_file(celebamask):
    (celebamask / "CelebAMask-HQ-attribute-anno.txt").unlink()
    assert open_dataset(celebamask, "train", "labels").attributes is None
    with pytest.raises(TinyfaceError, match="attributes are needed, but CelebAMask-HQ has none"):
        open_dataset(celebamask, "train", "attributes")


def test_bad_files(celebamask):
    write_part(celebamask, 0, "hair", (0, 2, 0, 2), size=10)
    with pytest.raises(
        TinyfaceError, match=r"00000_hair\.png: 10x10 pixels, but its image .*0\.jpg has 24x24"
    ):
        labels_of_first(celebamask)
    part_path(celebamask, 0, "hair").unlink()
    part_path(celebamask, 0, "skin").unlink()
    with pytest.raises(TinyfaceError, match=r"0\.jpg: no part of it in .*CelebAMask-HQ-mask-anno/0"):
        labels_of_first(celebamask)
    (celebamask / "CelebA-HQ-img/3.jpg").unlink()
    with pytest.raises(TinyfaceError, match=r"attribute-anno\.txt: names 3\.jpg, but there is no"):
        open_dataset(celebamask, "train", "attributes")
