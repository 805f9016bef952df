"""The common form of all face data sets, whatever their files on disk look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tinyface.errors import TinyfaceError

from ..choices import SPLITS
from .transforms import Size, read_image, resize_labels

# CelebA's 40 attributes in the order of its own files (list_attr_celeba.txt).
ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)

# The 7 classes of the segmentation network, in the order of its channels (Kalayeh et al. 2017).
REGIONS = ("background", "hair", "face skin", "eyes", "eyebrows", "mouth", "nose")

# Helen's and LaPa's 11 ids: background, face skin, left brow, right brow, left eye, right eye, nose,
# upper lip, inner mouth, lower lip, hair.
HELEN_TO_REGION = np.array([0, 2, 4, 4, 3, 3, 6, 5, 5, 5, 1], dtype=np.uint8)


@dataclass
class FaceDataset:
    """One split of one data set. Images and label maps stay on disk until they are asked for."""

    layout: str  # "CelebA", "LaPa", …
    root: Path
    split: str  # one of SPLITS
    images: list[Path]  # N files
    attributes: np.ndarray | None = None  # (N, 40) uint8, 1 = has it, in the order of ATTRIBUTES
    identities: np.ndarray | None = None  # (N,) int64
    landmarks: np.ndarray | None = None  # (N, 5, 2) float32: x, y in pixels of the image file
    boxes: np.ndarray | None = None  # (N, 4) float32: x, y, width, height of the face in pixels of the file
    label_reader: Callable[[int], np.ndarray] | None = None  # index -> (H, W) uint8, ids of REGIONS

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int, size: Size) -> np.ndarray:
        """(h, w, 3) uint8 RGB at size = (h, w). Raises TinyfaceError for a damaged file."""
        return read_image(self.images[index], size)

    def labels(self, index: int, size: Size) -> np.ndarray:
        """(h, w) uint8 ids of REGIONS at size = (h, w), by nearest neighbour.

        Raises TinyfaceError for a damaged label file, or one of another size than its image.
        """
        if self.label_reader is None:
            raise TinyfaceError(f"{self.root}: {self.layout} has no label maps")
        return resize_labels(self.label_reader(index), size)

    def every(self, k: int) -> FaceDataset:
        """Images 0, k, 2k … with all that is known of them."""
        return self.take(range(0, len(self), k))

    def take(self, indices: Sequence[int]) -> FaceDataset:
        """These images, in this order, with all that is known of them."""

        def part(values):
            return None if values is None else values[list(indices)]

        reader = self.label_reader
        return replace(
            self,
            images=[self.images[index] for index in indices],
            attributes=part(self.attributes),
            identities=part(self.identities),
            landmarks=part(self.landmarks),
            boxes=part(self.boxes),
            label_reader=reader and (lambda index: reader(indices[index])),
        )


class Layout:
    """One way in which a data set lies on disk, found at `root`. Its subclasses are listed in `layouts.LAYOUTS`."""

    name: str
    sign: str  # what it is recognised by, for people

    def __init__(self, root: Path):
        self.root = root

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether `root` holds this layout: by the names in the folder, no file is read."""
        raise NotImplementedError

    @property
    def offers(self) -> tuple[str, ...]:
        """What it has besides images: "attributes", "labels" or both."""
        raise NotImplementedError

    @property
    def variant(self) -> str:
        """Which of its variants was found, for people; may be empty."""
        return ""

    @cached_property
    def members(self) -> dict[str, Sequence]:
        """What belongs to each split of SPLITS; the lengths are the numbers of images."""
        raise NotImplementedError

    def read(self, split: str) -> FaceDataset:
        """The data set of one split. Raises TinyfaceError where files are missing or make no sense."""
        raise NotImplementedError

    def describe(self) -> str:
        """E.g. "CelebA (txt, aligned images): 7000 train, 1000 val, 0 test"."""
        counts = ", ".join(f"{len(self.members[split])} {split}" for split in SPLITS)
        return f"{self.name} ({self.variant}): {counts}" if self.variant else f"{self.name}: {counts}"
