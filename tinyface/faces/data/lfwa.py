"""LFWA (Liu et al. 2015): the 13 143 faces of LFW that have CelebA's 40 attributes; 6 263 train, 6 880 test, no val.

    lfw_att_40.mat           AttrName (40 names, with spaces), label (N, 40) of 0 and 1,
                             name (N file names `Person\\Person_0001.jpg`)
    indices_train_test.mat   indices_img_train, indices_img_test: rows of the above, counted from 1
    lfw/<Person>/<Person>_0001.jpg    250x250

The two files may also lie in Anno/, the folders of the persons in any of IMAGE_FOLDERS.

A .mat file of version 7.3 is HDF5. In it MATLAB's matrices are transposed, numbers are doubles, and a cell array
of texts is an array of references, each to an array of uint16, one per character.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from tinyface.errors import TinyfaceError

from .. import choices
from .dataset import ATTRIBUTES, FaceDataset, Layout

ATTRIBUTE_FILE, SPLIT_FILE = "lfw_att_40.mat", "indices_train_test.mat"
IMAGE_FOLDERS = (
    "lfw",
    "Img/lfw",
    "Img",
    "lfw-deepfunneled",
    "lfw_funneled",
    ".",
)  # the first that has persons


class LFWA(Layout):
    name = choices.LFWA
    sign = f"{ATTRIBUTE_FILE}, in the folder itself or in Anno/"
    offers = ("attributes",)

    @staticmethod
    def recognises(root: Path) -> bool:
        return _find(root, ATTRIBUTE_FILE) is not None

    @cached_property
    def table(self) -> tuple[list[str], np.ndarray]:
        """File names `Person/Person_0001.jpg` (N) and attributes (N, 40) uint8 of the whole data set."""
        return _read_once(read_attributes, _find(self.root, ATTRIBUTE_FILE))

    @cached_property
    def members(self) -> dict[str, list[int]]:
        path = _find(self.root, SPLIT_FILE)
        if path is None:
            raise TinyfaceError(f"{self.root}: {SPLIT_FILE} is missing; put it beside {ATTRIBUTE_FILE}")
        train, test = read_splits(path, len(self.table[0]))
        return {"train": train, "val": [], "test": test}

    @cached_property
    def image_folder(self) -> Path:
        """The first of IMAGE_FOLDERS that has the folder of a person in it."""
        persons = {person_of(name) for name in self.table[0]}
        for folder in IMAGE_FOLDERS:
            path = self.root / folder
            if path.is_dir() and not persons.isdisjoint(os.listdir(path)):
                return path
        raise TinyfaceError(f"{self.root}: LFWA's images are missing; put the persons' folders into lfw/")

    def read(self, split: str) -> FaceDataset:
        all_names, attributes = self.table
        names = [all_names[index] for index in self.members[split]]
        self._require_images(names)
        number = {person: k for k, person in enumerate(sorted({person_of(name) for name in all_names}))}
        return FaceDataset(
            layout=self.name,
            root=self.root,
            split=split,
            images=[self.image_folder / name for name in names],
            attributes=attributes[self.members[split]],
            identities=np.array([number[person_of(name)] for name in names], dtype=np.int64),
        )

    def _require_images(self, names: list[str]) -> None:
        """Raise TinyfaceError unless every name is a file: one listing per person, not one look per image."""
        listed: dict[str, set[str]] = {}
        for name in names:
            person, _, file = name.rpartition("/")
            folder = self.image_folder / person
            if person not in listed:
                listed[person] = set(os.listdir(folder)) if folder.is_dir() else set()
            if file not in listed[person]:
                source = _find(self.root, ATTRIBUTE_FILE)
                raise TinyfaceError(f"{source}: names {name}, but there is no {folder / file}")


def person_of(name: str) -> str:
    """`Person` of `Person/Person_0001.jpg`."""
    return name.split("/")[0]


def read_attributes(path: Path) -> tuple[list[str], np.ndarray]:
    """File names (N) and attributes (N, 40) uint8, in the order of ATTRIBUTES, of a file like lfw_att_40.mat.

    `label` may also stand as (N, 40), as programs other than MATLAB write it. Raises TinyfaceError where the
    file is no MATLAB 7.3 file or lacks something, where the attributes aren't CelebA's 40, and for values other
    than -1, 0 and 1.
    """
    columns, names, label = read_matlab(path, texts=("AttrName", "name"), numbers=("label",))
    order = attribute_order(path, columns)
    names = [name.strip().replace("\\", "/").lstrip("/") for name in names]
    shape = len(columns), len(names)
    if label.shape not in (shape, shape[::-1]):
        raise TinyfaceError(
            f"{path}: label is {label.shape}, but there are {len(names)} names and {len(columns)} attributes"
        )
    label = label.T if label.shape == shape else label
    if not np.isin(label, (-1, 0, 1)).all():
        raise TinyfaceError(f"{path}: label has values other than 0 and 1; take the file of the data set")
    return names, (label[:, order] == 1).astype(np.uint8)


def attribute_order(path: Path, columns: list[str]) -> list[int]:
    """The column of each of ATTRIBUTES. Letters and digits decide: "5 o Clock Shadow " is 5_o_Clock_Shadow."""
    keys = [_letters(column) for column in columns]
    wanted = [_letters(name) for name in ATTRIBUTES]
    missing = [name for name, key in zip(ATTRIBUTES, wanted, strict=True) if key not in keys]
    unknown = [column.strip() for column, key in zip(columns, keys, strict=True) if key not in wanted]
    if missing or unknown or len(keys) != len(wanted):
        notes = [
            f"{what}: {', '.join(n[:3])}" for what, n in (("missing", missing), ("unknown", unknown)) if n
        ]
        raise TinyfaceError(
            f"{path}: {len(columns)} attributes that are not CelebA's 40 ({'; '.join(notes) or 'one comes twice'})"
        )
    return [keys.index(key) for key in wanted]


def read_splits(path: Path, count: int) -> tuple[list[int], list[int]]:
    """Rows of the training and of the test split, counted from 0, of a file like indices_train_test.mat.

    Raises TinyfaceError for an index outside 1 … count, or in both splits.
    """
    names = "indices_img_train", "indices_img_test"
    splits = []
    for name, values in zip(names, read_matlab(path, numbers=names), strict=True):
        values = values.ravel()
        wrong = values[~((values >= 1) & (values <= count) & (values == np.floor(values)))]
        if wrong.size:
            raise TinyfaceError(
                f"{path}: {name} has {wrong[0]:g}, which is no row of {ATTRIBUTE_FILE}: they go from 1 to {count}"
            )
        splits.append((values.astype(np.int64) - 1).tolist())
    both = set(splits[0]).intersection(splits[1])
    if both:
        raise TinyfaceError(f"{path}: image {min(both) + 1} is in both splits; take the file of the data set")
    return splits[0], splits[1]


def read_matlab(path: Path, texts: tuple = (), numbers: tuple = ()) -> list:
    """Variables of a MATLAB 7.3 file: cell arrays of texts as lists of str, matrices as they lie there, transposed.

    Raises TinyfaceError for a file that is missing, damaged, of an older version, or without such variables.
    """
    import h5py

    try:
        with open(path, "rb") as file:
            head = file.read(10)
        with h5py.File(path, "r") as file:
            absent = [name for name in (*texts, *numbers) if name not in file]
            if absent:
                raise TinyfaceError(f"{path}: has no variable {absent[0]}; take the file of the data set")
            found = [[_text(file[place]) for place in file[name][()].ravel()] for name in texts]
            return found + [np.asarray(file[name][()], dtype=np.float64) for name in numbers]
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise TinyfaceError(f"{path}: can't be opened ({error.strerror})") from None
        if head == b"MATLAB 5.0":
            what = "is of an older version of MATLAB's format; load it in MATLAB and save it with -v7.3"
        else:
            what = "is damaged or no MATLAB 7.3 file; replace it"
        raise TinyfaceError(f"{path}: {what}") from None


def _text(dataset) -> str:
    """Characters of a text; MATLAB writes the shape in place of an empty one."""
    return "" if "MATLAB_empty" in dataset.attrs else "".join(map(chr, dataset[()].ravel()))


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _find(root: Path, name: str) -> Path | None:
    paths = (root / folder / name for folder in (".", "Anno"))
    return next((path for path in paths if path.is_file()), None)


def _read_once(read, path: Path):
    """`read(path)`, kept while the file stays as it is: following 13 143 references takes a second or two."""
    stat = path.stat()
    return _kept(read, path.absolute(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _kept(read, path: Path, mtime: int, size: int):
    return read(path)
