"""CelebA (Liu et al. 2015): 202 599 faces, 40 attributes. The original text files and Kaggle's csv files.

    Anno/list_attr_celeba.txt             line 1 the count, line 2 the 40 names, then `000001.jpg -1  1 …`
    Anno/list_bbox_celeba.txt             `000001.jpg 95 71 226 313`: x, y, width, height, original images; optional
    Anno/identity_CelebA.txt              `000001.jpg 2880`; optional
    Anno/list_landmarks_align_celeba.txt  5 points, for the aligned images; optional
    Anno/list_landmarks_celeba.txt        the same for the original images; optional
    Eval/list_eval_partition.txt          `000001.jpg 0`: 0 train, 1 val, 2 test
    Img/img_align_celeba/*.jpg            178x218, aligned and cropped;
        or Img/img_celeba/*.jpg           the original images

The files may also lie directly in the root, and be called .csv (comma-separated, `image_id` first).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinyface.errors import TinyfaceError

from .. import choices
from .dataset import ATTRIBUTES, SPLITS, FaceDataset, Layout

# Where the images may lie: (folder, are they aligned). The aligned ones are preferred.
IMAGE_FOLDERS = (
    ("Img/img_align_celeba", True),
    ("img_align_celeba/img_align_celeba", True),
    ("img_align_celeba", True),
    ("Img/img_celeba", False),
    ("img_celeba", False),
)

FARTHEST = 1e5  # pixels, that a point may lie from an image's corner

# CelebA's own partition goes by number: the last training image, the last validation image.
LAST_TRAIN, LAST_VAL = 162_770, 182_637


def read_table(path: Path, width: int, convert: Callable[[list[str]], Any]) -> dict[str, Any]:
    """Read a CelebA list: file name -> `convert(words)`, with the `width` words after the name.

    Commas count as white space, so the csv files read like the text files. The header is what comes before
    the first line that begins with a file name (it has a dot). `convert` may raise ValueError or KeyError.
    """
    table = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            name, *words = line.replace(",", " ").split() or [""]
            if not name or ("." not in name and not table):
                continue
            if len(words) != width:
                raise TinyfaceError(
                    f"{path}, line {number}: {len(words)} values instead of {width} after '{name}'"
                )
            try:
                table[name] = convert(words)
            except (ValueError, KeyError) as error:
                raise TinyfaceError(f"{path}, line {number}: a value makes no sense ({error})") from None
    return table


def read_attributes(path: Path) -> tuple[list[str], np.ndarray]:
    """File names (N) and attributes (N, 40) uint8 of a list in CelebA's format, 1 = has it.

    Raises TinyfaceError unless the columns are ATTRIBUTES and every value is -1, 0 or 1.
    """
    _check_header(path)
    value = {"1": 1, "-1": 0, "0": 0}.__getitem__
    table = read_table(path, len(ATTRIBUTES), lambda words: bytes(map(value, words)))
    values = np.frombuffer(b"".join(table.values()), dtype=np.uint8)
    return list(table), values.reshape(-1, len(ATTRIBUTES))


def _check_header(path: Path) -> None:
    """The attribute names stand in line 1 of a csv file, in line 2 of a text file (line 1 is the count)."""
    line = 1 if path.suffix == ".csv" else 2
    with open(path, encoding="utf-8", errors="replace") as file:
        names = list(itertools.islice(file, line))[-1:]
    names = names[0].replace(",", " ").split() if names else []
    if names[:1] == ["image_id"]:
        names = names[1:]
    if len(names) != len(ATTRIBUTES):
        raise TinyfaceError(f"{path}, line {line}: {len(names)} attribute names instead of CelebA's 40")
    for name, expected in zip(names, ATTRIBUTES, strict=True):
        if name != expected:
            raise TinyfaceError(f"{path}, line {line}: attribute '{name}' where CelebA has '{expected}'")


def read_partition(path: Path) -> dict[str, str]:
    """File name -> "train", "val" or "test" from list_eval_partition."""
    split = dict(zip("012", SPLITS, strict=True))
    return read_table(path, 1, lambda words: split[words[0]])


class CelebA(Layout):
    name = choices.CELEBA
    sign = "list_attr_celeba.txt or .csv, in Anno/ or in the folder itself"
    offers = ("attributes",)

    @staticmethod
    def recognises(root: Path) -> bool:
        return _find(root, "list_attr_celeba") is not None

    @cached_property
    def attribute_file(self) -> Path:
        return _find(self.root, "list_attr_celeba")

    @cached_property
    def image_folder(self) -> tuple[Path, bool]:
        """The folder of the images, and whether they are aligned."""
        for folder, aligned in IMAGE_FOLDERS:
            if (self.root / folder).is_dir():
                return self.root / folder, aligned
        raise TinyfaceError(f"{self.root}: CelebA's images are missing; put them into Img/img_align_celeba/")

    @property
    def variant(self) -> str:
        kind = "aligned" if self.image_folder[1] else "original"
        return f"{self.attribute_file.suffix[1:]}, {kind} images"

    @cached_property
    def table(self) -> tuple[list[str], np.ndarray]:
        """File names and attributes of the whole data set, every name with an image on disk."""
        names, attributes = read_attributes(self.attribute_file)
        folder, _ = self.image_folder
        require_files(self.attribute_file, names, folder)
        return names, attributes

    @cached_property
    def members(self) -> dict[str, list[int]]:
        names, _ = self.table
        partition_file = _find(self.root, "list_eval_partition")
        if partition_file is None:
            split_of = {name: self._split_by_number(name) for name in names}
        else:
            split_of = read_partition(partition_file)
        members = {split: [] for split in SPLITS}
        for index, name in enumerate(names):
            if name not in split_of:
                raise TinyfaceError(f"{partition_file}: {name} of {self.attribute_file} has no line here")
            members[split_of[name]].append(index)
        return members

    def _split_by_number(self, name: str) -> str:
        stem = Path(name).stem
        if not stem.isdecimal():
            raise TinyfaceError(f"{self.root}: no list_eval_partition.txt says which split {name} belongs to")
        number = int(stem)
        return "train" if number <= LAST_TRAIN else "val" if number <= LAST_VAL else "test"

    def read(self, split: str) -> FaceDataset:
        folder, aligned = self.image_folder
        all_names, attributes = self.table
        indices = self.members[split]
        names = [all_names[index] for index in indices]
        points = "list_landmarks_align_celeba" if aligned else "list_landmarks_celeba"
        landmarks = self._read_optional(points, names, 10, _points)
        boxes = None if aligned else self._read_optional("list_bbox_celeba", names, 4, _box)
        identities = self._read_optional("identity_CelebA", names, 1, _identity)
        return FaceDataset(
            layout=self.name,
            root=self.root,
            split=split,
            images=[folder / name for name in names],
            attributes=attributes[indices],
            identities=None if identities is None else np.array(identities, dtype=np.int64),
            landmarks=None if landmarks is None else np.array(landmarks, dtype=np.float32).reshape(-1, 5, 2),
            boxes=None if boxes is None else np.array(boxes, dtype=np.float32).reshape(-1, 4),
        )

    def _read_optional(self, stem: str, names: list[str], width: int, convert: Callable) -> list | None:
        """The values of `names` in the list called `stem`, or None where there is no such list."""
        path = _find(self.root, stem)
        if path is None:
            return None
        table = read_table(path, width, convert)
        try:
            return [table[name] for name in names]
        except KeyError as error:
            raise TinyfaceError(
                f"{path}: {error.args[0]} of {self.attribute_file} has no line here"
            ) from None


def _points(words: list[str]) -> list[float]:
    """x, y of five points, in pixels."""
    points = list(map(float, words))
    if not all(abs(value) < FARTHEST for value in points):
        raise ValueError("no point lies there")
    return points


def _identity(words: list[str]) -> int:
    number = int(words[0])
    if not 0 <= number < 2**31:
        raise ValueError("no person's number")
    return number


def _box(words: list[str]) -> list[float]:
    """x, y, width, height; nothing has no size."""
    box = list(map(float, words))
    if min(box[2:]) < 0 or not np.isfinite(box).all():
        raise ValueError(f"{' '.join(words)} is no box")
    return box


def require_files(list_file: Path, names: list[str], folder: Path) -> None:
    """Raise TinyfaceError unless every name in a list is a file of `folder`: one listing, not N looks."""
    present = set(os.listdir(folder))
    for name in names:
        if name not in present:
            raise TinyfaceError(f"{list_file}: names {name}, but there is no {folder / name}")


def _find(root: Path, stem: str) -> Path | None:
    """`stem`.txt or .csv in the folders where CelebA's copies keep their lists."""
    for folder in ("Anno", "Eval", "."):
        for suffix in (".txt", ".csv"):
            path = root / folder / (stem + suffix)
            if path.is_file():
                return path
    return None
