"""CelebAMask-HQ (Lee et al. 2020): 30 000 faces of CelebA in high quality, with label maps and attributes.

    CelebA-HQ-img/<i>.jpg                              1024x1024
    CelebAMask-HQ-mask-anno/<i//2000>/<i:05d>_<part>.png   512x512; no file for a part that isn't visible
    CelebAMask-HQ-attribute-anno.txt                   in CelebA's format; optional
    CelebA-HQ-to-CelebA-mapping.txt                    rows `idx orig_idx orig_file …`
    list_eval_partition.txt                            CelebA's own, to be added beside it

With the last two an image has the split of the CelebA image it comes from. Without them, ten consecutive
images give eight to train, one to val (i % 10 == 8) and one to test (i % 10 == 9); one person may then stand
in several splits.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import numpy as np

from tinyface.errors import TinyfaceError

from .. import choices
from .celeba import read_attributes, read_partition, require_files
from .dataset import REGIONS, SPLITS, FaceDataset, Layout
from .transforms import image_size, read_mask, require_same_size

BACKGROUND, HAIR, SKIN, EYES, EYEBROWS, MOUTH, NOSE = range(len(REGIONS))

# The parts overlap. They are painted in the order of the authors' own script (g_mask.py), later over earlier:
# skin spans the whole face and goes first, then what lies on it; glasses before eyes and brows, which are
# drawn through the lenses; then hair, which falls over the face; last what covers hair.
PAINT = {
    "skin": SKIN,
    "nose": NOSE,
    "eye_g": BACKGROUND,
    "l_eye": EYES,
    "r_eye": EYES,
    "l_brow": EYEBROWS,
    "r_brow": EYEBROWS,
    "l_ear": BACKGROUND,
    "r_ear": BACKGROUND,
    "mouth": MOUTH,
    "u_lip": MOUTH,
    "l_lip": MOUTH,
    "hair": HAIR,
    "hat": BACKGROUND,
    "ear_r": BACKGROUND,
    "neck_l": BACKGROUND,
    "neck": BACKGROUND,
    "cloth": BACKGROUND,
}


def read_parts(folder: Path, index: int, image_path: Path) -> np.ndarray:
    """(H, W) uint8 ids of the 7 regions, painted from the part files of image number `index`.

    H and W are those of the image. The data set's part files have half its size; such maps are doubled.
    """
    size = image_size(image_path)
    regions = None
    for part, region in PAINT.items():
        path = folder / str(index // 2000) / f"{index:05d}_{part}.png"
        if not path.exists():
            continue
        mask = read_mask(path)
        if (2 * mask.shape[0], 2 * mask.shape[1]) == size:
            mask = mask.repeat(2, axis=0).repeat(2, axis=1)
        require_same_size(path, mask.shape, image_path, size)
        regions = np.zeros(size, dtype=np.uint8) if regions is None else regions
        regions[mask] = region
    if regions is None:
        raise TinyfaceError(
            f"{image_path}: no part of it in {folder / str(index // 2000)} ({index:05d}_skin.png …)"
        )
    return regions


class CelebAMaskHQ(Layout):
    name = choices.CELEBAMASK_HQ
    sign = "CelebA-HQ-img/ beside CelebAMask-HQ-mask-anno/"

    @staticmethod
    def recognises(root: Path) -> bool:
        return (root / "CelebA-HQ-img").is_dir() and (root / "CelebAMask-HQ-mask-anno").is_dir()

    @property
    def attribute_file(self) -> Path:
        return self.root / "CelebAMask-HQ-attribute-anno.txt"

    @property
    def offers(self) -> tuple[str, ...]:
        return ("labels", "attributes") if self.attribute_file.is_file() else ("labels",)

    @property
    def variant(self) -> str:
        return "CelebA's splits" if self._split_of_celeba else "splits by number"

    @cached_property
    def _split_of_celeba(self) -> dict[int, str] | None:
        """Image number -> CelebA's split; None where the files for it are missing."""
        mapping_file = self.root / "CelebA-HQ-to-CelebA-mapping.txt"
        partition_file = self.root / "list_eval_partition.txt"
        if not (mapping_file.is_file() and partition_file.is_file()):
            return None
        partition = read_partition(partition_file)
        split_of = {}
        for number, line in enumerate(mapping_file.read_text("utf-8", "replace").splitlines(), 1):
            words = line.split()
            if number == 1 or not words:
                continue
            try:
                # By orig_file: orig_idx counts from 0, file names from 1.
                split_of[int(words[0])] = partition[words[2]]
            except (ValueError, IndexError):
                raise TinyfaceError(
                    f"{mapping_file}, line {number}: expected `idx orig_idx orig_file`"
                ) from None
            except KeyError:
                raise TinyfaceError(
                    f"{partition_file}: {words[2]} of {mapping_file} has no line here"
                ) from None
        return split_of

    @cached_property
    def members(self) -> dict[str, list[int]]:
        members = {split: [] for split in SPLITS}
        stems = [name[:-4] for name in os.listdir(self.root / "CelebA-HQ-img") if name.endswith(".jpg")]
        for index in sorted(int(stem) for stem in stems if stem.isdecimal()):
            if self._split_of_celeba is None:
                split = {8: "val", 9: "test"}.get(index % 10, "train")
            elif index in self._split_of_celeba:
                split = self._split_of_celeba[index]
            else:
                raise TinyfaceError(
                    f"{self.root / 'CelebA-HQ-to-CelebA-mapping.txt'}: no row for image {index}"
                )
            members[split].append(index)
        return members

    def read(self, split: str) -> FaceDataset:
        folder = self.root / "CelebA-HQ-img"
        indices = self.members[split]
        images = [folder / f"{index}.jpg" for index in indices]
        parts = self.root / "CelebAMask-HQ-mask-anno"
        return FaceDataset(
            layout=self.name,
            root=self.root,
            split=split,
            images=images,
            attributes=self._attributes([image.name for image in images]),
            label_reader=lambda i: read_parts(parts, indices[i], images[i]),
        )

    def _attributes(self, names: list[str]) -> np.ndarray | None:
        if not self.attribute_file.is_file():
            return None
        listed, attributes = read_attributes(self.attribute_file)
        require_files(self.attribute_file, listed, self.root / "CelebA-HQ-img")
        row_of = {name: row for row, name in enumerate(listed)}
        for name in names:
            if name not in row_of:
                raise TinyfaceError(f"{self.attribute_file}: no row for {name}")
        return attributes[[row_of[name] for name in names]]
