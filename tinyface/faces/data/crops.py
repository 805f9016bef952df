"""Parts of photos: a data set of which each image is a region of a photo, as LNet_s and ANet take it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .dataset import FaceDataset
from .transforms import Size, read_image


def crop(image: np.ndarray, region: np.ndarray, size: Size) -> np.ndarray:
    """The region (x, y, width, height) of an image (H, W, 3) uint8 at size (h, w), bilinear and antialiased.

    Rounded to whole pixels, one at least; beyond the image its edge goes on.
    """
    x, y, w, h = (int(v) for v in np.rint(region))
    rows = np.clip(np.arange(y, y + max(h, 1)), 0, image.shape[0] - 1)
    cols = np.clip(np.arange(x, x + max(w, 1)), 0, image.shape[1] - 1)
    part = Image.fromarray(image[rows[:, None], cols])
    return np.array(part.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def enlarged(region: np.ndarray, factor: float) -> np.ndarray:
    """Regions (…, 4) x, y, width, height, `factor` times as wide and high around the same centre."""
    region = np.asarray(region, dtype=np.float64)
    corner = region[..., :2] - (factor - 1) / 2 * region[..., 2:]
    return np.concatenate([corner, factor * region[..., 2:]], axis=-1)


def square(region: np.ndarray) -> np.ndarray:
    """Regions (…, 4) as wide as they are high, around the same centre."""
    x, y, w, h = np.moveaxis(np.asarray(region, dtype=np.float64), -1, 0)
    return np.stack([x + (w - h) / 2, y, h, h], axis=-1)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (…, 4) x, y, width, height; 0 for boxes without area."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


@dataclass
class CroppedDataset(FaceDataset):
    """A data set of regions (N, 4) x, y, width, height in pixels of the image files. Only images and tags fit them."""

    regions: np.ndarray | None = None

    def image(self, index: int, size: Size) -> np.ndarray:
        return crop(read_image(self.images[index]), self.regions[index], size)


def cropped(dataset: FaceDataset, regions: np.ndarray) -> CroppedDataset:
    """The regions of a data set's images, with its tags and identities."""
    return CroppedDataset(
        dataset.layout,
        dataset.root,
        dataset.split,
        dataset.images,
        dataset.attributes,
        dataset.identities,
        regions=np.asarray(regions),
    )


def with_backgrounds(dataset: FaceDataset, backgrounds: list[Path]) -> FaceDataset:
    """A data set, and behind it photos without a face: they have no tag and no identity (−1)."""
    none = np.zeros((len(backgrounds), dataset.attributes.shape[1]), dataset.attributes.dtype)
    identities = dataset.identities
    if identities is not None:
        identities = np.concatenate([identities, np.full(len(backgrounds), -1, identities.dtype)])
    return FaceDataset(
        dataset.layout,
        dataset.root,
        dataset.split,
        dataset.images + list(backgrounds),
        np.concatenate([dataset.attributes, none]),
        identities,
    )
