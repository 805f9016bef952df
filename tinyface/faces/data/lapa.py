"""LaPa (Liu et al. 2020): {train,val,test}/images/<name>.jpg and labels/<name>.png, maps of Helen's 11 ids.

LaPa's "face skin" includes the ears.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from tinyface.errors import TinyfaceError

from .. import choices
from .dataset import SPLITS, FaceDataset, Layout
from .helen import read_regions


class LaPa(Layout):
    name = choices.LAPA
    sign = "train/images/ and train/labels/ (or val, test)"
    offers = ("labels",)

    @staticmethod
    def recognises(root: Path) -> bool:
        return any(_has_both(root / split) for split in SPLITS)

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """File names without suffix, in order."""
        members = {}
        for split in SPLITS:
            folder = self.root / split
            names = os.listdir(folder / "images") if _has_both(folder) else []
            members[split] = sorted(name[:-4] for name in names if name.endswith(".jpg"))
        return members

    def read(self, split: str) -> FaceDataset:
        folder = self.root / split
        names = self.members[split]
        images = [folder / "images" / f"{name}.jpg" for name in names]
        labels = [folder / "labels" / f"{name}.png" for name in names]
        present = set(os.listdir(folder / "labels"))
        for image, label in zip(images, labels, strict=True):
            if label.name not in present:
                raise TinyfaceError(f"{image}: its label map {label} is missing")
        return FaceDataset(
            layout=self.name,
            root=self.root,
            split=split,
            images=images,
            label_reader=lambda i: read_regions(labels[i], images[i]),
        )


def _has_both(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "labels").is_dir()
