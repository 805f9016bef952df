"""Five points of a face: left eye, right eye, nose, left and right mouth corner, as in CelebA's lists.

Left and right are those of the picture. Points are x, y in pixels, 0 at the centre of the first pixel.
"""

from __future__ import annotations

import numpy as np

from .dataset import REGIONS
from .transforms import Size

# Where they stand in CelebA's aligned images, on average, as shares of width and height.
STANDARD = np.array([[69, 111], [108, 111], [88, 135], [71, 152], [105, 152]]) / (178, 218)
EYES, MOUTH, NOSE = (REGIONS.index(name) for name in ("eyes", "mouth", "nose"))
FACE = REGIONS.index("face skin")  # this and what comes after it: eyes, eyebrows, mouth, nose


def standard_landmarks(size: Size) -> np.ndarray:
    """(5, 2) float32: those of an average aligned face in an image of `size` (height, width)."""
    return (STANDARD * size[::-1]).astype(np.float32)


def scale_landmarks(landmarks: np.ndarray, old: Size, new: Size) -> np.ndarray:
    """Points (…, 2) of an image of size `old` after it was resized to `new`; both (height, width)."""
    return ((landmarks + 0.5) * np.divide(new[::-1], old[::-1]) - 0.5).astype(np.float32)


def mirror_landmarks(landmarks: np.ndarray, flips: np.ndarray, width: int) -> np.ndarray:
    """Points (N, 5, 2) of images of which those in `flips` (N,) were mirrored left to right; a new array.

    The left eye's point is then where the right eye was. The points keep their order: pooling around
    them (`models/masks.py: box_masks`) shares its weights among all boxes, so the order has no meaning.
    """
    landmarks = landmarks.copy()
    landmarks[flips, :, 0] = width - 1 - landmarks[flips, :, 0]
    return landmarks


def landmarks_from_regions(labels: np.ndarray) -> np.ndarray:
    """Points estimated from regions, for images without landmarks: (N, H, W) ids → (N, 5, 2) float32.

    Our reading; the paper takes CelebA's own points. Eyes: the centroids of the eye pixels left and right of the face's
    middle, which is the mean x of the face's pixels. Nose: the centroid of the lower half of its pixels, for the
    landmark is its tip, and the region reaches up to between the eyes. Mouth corners: the middles of the leftmost and
    of the rightmost column of mouth pixels. A point whose pixels are missing stands where the average face has it,
    moved by as much as the points that were found are off theirs, on average.
    """
    standard = standard_landmarks(labels.shape[1:])
    points = np.empty((len(labels), *standard.shape), np.float32)
    for found, face in zip(points, labels, strict=True):
        found[...] = _points_of(face)
        missing = np.isnan(found[:, 0])
        shift = 0 if missing.all() else (found - standard)[~missing].mean(axis=0)
        found[missing] = (standard + shift)[missing]
    return points


def _points_of(face):
    """The points of one label map (H, W), NaN where there are no pixels of that part."""
    points = np.full((5, 2), np.nan)
    eyes, nose, mouth = (np.argwhere(face == region)[:, ::-1] for region in (EYES, NOSE, MOUTH))  # x, y
    if len(eyes):
        middle = np.nonzero(face >= FACE)[1].mean()
        for point, side in ((0, eyes[:, 0] < middle), (1, eyes[:, 0] >= middle)):
            if side.any():
                points[point] = eyes[side].mean(axis=0)
    if len(nose):
        points[2] = nose[nose[:, 1] >= np.median(nose[:, 1])].mean(axis=0)
    if len(mouth):
        for point, x in ((3, mouth[:, 0].min()), (4, mouth[:, 0].max())):
            points[point] = mouth[mouth[:, 0] == x].mean(axis=0)
    return points
