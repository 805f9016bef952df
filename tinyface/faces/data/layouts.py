"""Which data set lies in a folder, and how to open it: the layouts that tinyface reads, recognised by their files."""

from __future__ import annotations

import os
from pathlib import Path

from tinyface.errors import TinyfaceError

from .celeba import CelebA
from .celebamask import CelebAMaskHQ
from .dataset import ATTRIBUTES, SPLITS, FaceDataset, Layout
from .helen import Helen, HelenStar
from .lapa import LaPa
from .lfwa import LFWA
from .toyfaces import NOT_DRAWN, are_toyfaces

# Every layout that tinyface reads. A new one is a subclass of Layout in a file of its own, added here.
LAYOUTS = (CelebA, CelebAMaskHQ, Helen, HelenStar, LaPa, LFWA)

DRAWN, PHOTOS, UNKNOWN = "drawn", "photos", "unknown"  # what the faces of a data set are


def find_layouts(path: Path | str) -> list[Layout]:
    """The layouts found at `path` itself, or else in its direct sub-folders; never empty.

    Raises TinyfaceError for a folder that is missing, empty or not understood.
    """
    path = Path(path)
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "no such folder"
        raise TinyfaceError(f"{path}: {what}; give the folder of a face data set")
    with os.scandir(path) as entries:
        entries = sorted(entries, key=lambda entry: entry.name)
    if not entries:
        raise TinyfaceError(f"{path}: the folder is empty; give the folder of a face data set")
    found = [layout(path) for layout in LAYOUTS if layout.recognises(path)]
    if not found:
        children = [path / entry.name for entry in entries if entry.is_dir()]
        found = [layout(child) for child in children for layout in LAYOUTS if layout.recognises(child)]
    if not found:
        known = "; ".join(f"{layout.name} by {layout.sign}" for layout in LAYOUTS)
        raise TinyfaceError(f"{path}: no data set recognised here or one folder below (known: {known})")
    return found


def choose_layout(path: Path | str, need: str) -> Layout:
    """The one layout at `path` that offers `need`, "attributes" or "labels".

    Raises TinyfaceError where none does, or more than one.
    """
    found = find_layouts(path)
    fitting = [layout for layout in found if need in layout.offers]
    what = "attributes" if need == "attributes" else "label maps"
    if not fitting:
        names = ", ".join(layout.name for layout in found)
        raise TinyfaceError(f"{path}: {what} are needed, but {names} has none; give another folder")
    if len(fitting) > 1:
        roots = ", ".join(f"{layout.root} ({layout.name})" for layout in fitting)
        raise TinyfaceError(f"{path}: several data sets have {what}: {roots}; give one of these folders")
    return fitting[0]


def describe(path: Path | str, need: str | None = None) -> str:
    """A line for people on what lies at `path`: layout and number of images per split.

    With `need` ("attributes" or "labels") only the data set that `open_dataset` would take.
    """
    found = find_layouts(path) if need is None else [choose_layout(path, need)]
    return "; ".join(layout.describe() for layout in found)


def split_sizes(path: Path | str, need: str) -> dict[str, int]:
    """Number of images per split, 0 where a split does not exist."""
    members = choose_layout(path, need).members
    return {split: len(members[split]) for split in SPLITS}


def faces_of(layout: Layout) -> str:
    """DRAWN where tinyface drew the faces, else PHOTOS.

    UNKNOWN where no training face has an attribute that is never drawn: drawn photos had no mark at first.
    """
    if are_toyfaces(layout.root):
        return DRAWN
    if "attributes" in layout.offers:
        never_drawn = [ATTRIBUTES.index(name) for name in NOT_DRAWN]
        if not layout.read("train").attributes[:, never_drawn].any():
            return UNKNOWN
    return PHOTOS


def open_dataset(path: Path | str, split: str, need: str) -> FaceDataset:
    """The `split` ("train", "val" or "test") of the data set at `path` that has what you `need`.

    `need` is "attributes" or "labels". `path` is the folder of a data set, or a folder of such folders.
    Raises TinyfaceError for a folder that is missing, empty or not understood, or a split without images.
    """
    layout = choose_layout(path, need)
    if not layout.members.get(split):
        there = ", ".join(name for name in SPLITS if layout.members[name]) or "no images at all"
        raise TinyfaceError(f"{layout.root}: {layout.name} has no images in split '{split}'; it has: {there}")
    return layout.read(split)
