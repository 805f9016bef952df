"""Helen (Le et al. 2012) with the label maps of Smith et al. 2013, and its relabelled edition HELEN*.

Smith et al., images of any size:
    exemplars.txt, tuning.txt, testing.txt   the splits train, val and test; lines `1 , 100032540_1`
    images/<name>.jpg
    labels/<name>/<name>_lbl00.png … _lbl10.png   8-bit probability maps, one for each of the 11 ids

HELEN*:
    train|val|test/<id>_image.jpg and <id>_label.png, one map of the 11 ids

The ids: background, face skin, left brow, right brow, left eye, right eye, nose, upper lip, inner mouth,
lower lip, hair. HELEN_TO_REGION brings them to the 7 regions.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import numpy as np

from tinyface.errors import TinyfaceError

from .. import choices
from .dataset import HELEN_TO_REGION, SPLITS, FaceDataset, Layout
from .transforms import image_size, read_label_image, require_same_size

LISTS = {"train": "exemplars.txt", "val": "tuning.txt", "test": "testing.txt"}


def read_regions(label_path: Path, image_path: Path) -> np.ndarray:
    """(H, W) uint8 ids of the 7 regions from a label file of Helen's 11 ids, at the size of its image."""
    labels = read_label_image(label_path)
    require_same_size(label_path, labels.shape, image_path, image_size(image_path))
    if labels.max() >= len(HELEN_TO_REGION):
        raise TinyfaceError(f"{label_path}: id {labels.max()}, but a label map has only the ids 0 to 10")
    return HELEN_TO_REGION[labels]


def read_probabilities(folder: Path, image_path: Path) -> np.ndarray:
    """(H, W) uint8 ids of the 7 regions from Smith's 11 probability maps: the likeliest id of each pixel."""
    size = image_size(image_path)
    maps = np.empty((len(HELEN_TO_REGION), *size), dtype=np.uint8)
    for index in range(len(maps)):
        path = folder / f"{folder.name}_lbl{index:02d}.png"
        probability = read_label_image(path)
        require_same_size(path, probability.shape, image_path, size)
        maps[index] = probability
    return HELEN_TO_REGION[maps.argmax(axis=0)]


class Helen(Layout):
    name = choices.HELEN
    sign = "exemplars.txt, tuning.txt or testing.txt beside images/ and labels/"
    variant = "Smith et al., probability maps"
    offers = ("labels",)

    @staticmethod
    def recognises(root: Path) -> bool:
        has_list = any((root / name).is_file() for name in LISTS.values())
        return has_list and (root / "images").is_dir() and (root / "labels").is_dir()

    @cached_property
    def members(self) -> dict[str, list[str]]:
        images = set(os.listdir(self.root / "images"))
        label_folders = set(os.listdir(self.root / "labels"))
        members = {}
        for split, list_name in LISTS.items():
            path = self.root / list_name
            members[split] = _read_list(path) if path.is_file() else []
            for name in members[split]:
                if f"{name}.jpg" not in images:
                    raise TinyfaceError(f"{path}: names {name}, but there is no images/{name}.jpg beside it")
                if name not in label_folders:
                    raise TinyfaceError(
                        f"{path}: names {name}, but there is no folder labels/{name} beside it"
                    )
        return members

    def read(self, split: str) -> FaceDataset:
        names = self.members[split]
        images = [self.root / "images" / f"{name}.jpg" for name in names]
        return FaceDataset(
            layout=self.name,
            root=self.root,
            split=split,
            images=images,
            label_reader=lambda i: read_probabilities(self.root / "labels" / names[i], images[i]),
        )


def _read_list(path: Path) -> list[str]:
    """The names in a list of lines `index , name`."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.split(",")[-1].strip() for line in lines if line.strip()]


class HelenStar(Layout):
    name = choices.HELEN_STAR
    sign = "train/*_label.png or test/*_label.png"
    offers = ("labels",)

    @staticmethod
    def recognises(root: Path) -> bool:
        return any(_label_files(root / split) for split in SPLITS)

    @cached_property
    def members(self) -> dict[str, list[str]]:
        return {split: _label_files(self.root / split) for split in SPLITS}

    def read(self, split: str) -> FaceDataset:
        folder = self.root / split
        labels = [folder / name for name in self.members[split]]
        images = [path.with_name(path.name.replace("_label.png", "_image.jpg")) for path in labels]
        present = set(os.listdir(folder))
        for label, image in zip(labels, images, strict=True):
            if image.name not in present:
                raise TinyfaceError(f"{label}: its image {image.name} is missing beside it")
        return FaceDataset(
            layout=self.name,
            root=self.root,
            split=split,
            images=images,
            label_reader=lambda i: read_regions(labels[i], images[i]),
        )


def _label_files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(name for name in os.listdir(folder) if name.endswith("_label.png"))
