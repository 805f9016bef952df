"""Toy photos in the wild: a toy face at any place and scale on clutter, or clutter alone.

What LNet + ANet (Liu et al. 2015) learn from: the photo's 40 tags, and the identity; the box serves evaluation.
People are drawn several times. A person's attributes, look, hair and eyes stay; pose, light, clothes, the mouth,
the focus and what is behind vary. Photo j of person k depends on (seed, k, j) and on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tinyface.errors import TinyfaceError
from tinyface.files import write_image

from . import toyface_parts as parts
from .dataset import ATTRIBUTES, SPLITS
from .toyfaces import (
    RANDOM_PARTS,
    paint_person,
    photograph,
    sample_attributes,
    write_lines,
    write_mark,
    write_new_folder,
)

SIZE = (160, 160)  # of a photo: height, width
FACE = (0.25, 0.6)  # height of a face as a share of the photo's shorter side
CHANGING = ("Smiling", "Mouth_Slightly_Open", "Blurry")  # attributes that a photo decides, not the person
LASTING = ("eyes", "hair", "glasses", "hat")  # parts whose random numbers are drawn once for a person
FACE_UNITS = 148  # of a head, from the top of the skull to the chin
PERSON, PHOTO, BACKGROUND = range(3)  # streams of random numbers


@dataclass
class WildPhoto:
    image: np.ndarray  # (h, w, 3) uint8
    attributes: np.ndarray  # (40,) uint8, 0 or 1
    box: np.ndarray  # (4,): x, y, width, height of the head without hair, skull to chin, in pixels
    landmarks: np.ndarray  # (5, 2) pixels (x, y), as in toyfaces


def _rng(*numbers):
    return np.random.default_rng(np.random.SeedSequence(numbers))


def draw_photo(seed, person, number, size=SIZE) -> WildPhoto:
    """Photo `number` of a person, of size (height, width)."""
    lasting, rng = _rng(seed, PERSON, person), _rng(seed, PHOTO, person, number)
    attributes = sample_attributes(lasting)
    today = sample_attributes(rng)
    for name in CHANGING:
        attributes[ATTRIBUTES.index(name)] = today[ATTRIBUTES.index(name)]
    has = dict(zip(ATTRIBUTES, attributes.astype(bool).tolist(), strict=True))
    light = float(rng.choice([-1, 1]))
    look = parts.choose_look(has, np.random.default_rng(lasting.integers(2**63)), light)
    chances = {
        part: np.random.default_rng((lasting if part in LASTING else rng).integers(2**63))
        for part in RANDOM_PARTS
    }

    height, width = size
    scale = rng.uniform(*FACE) * min(size) / FACE_UNITS
    angle, yaw = np.deg2rad(rng.uniform(-8, 8)), np.deg2rad(rng.uniform(-10, 10))
    easel = parts.Easel(size, parts.Pose(scale, angle, yaw, (0.0, 0.0)))
    corner, extent = _bounds(easel.place(parts.whole(look.jaw)))
    place = rng.uniform(0, 1, 2) * (np.array([width, height]) - extent)
    easel.pose = parts.Pose(scale, angle, yaw, tuple((place - corner).tolist()))
    easel.image.paste(clutter(easel.image.size, rng))
    landmarks = paint_person(easel, has, look, chances)
    return WildPhoto(
        image=photograph(easel.image, scale, has["Blurry"], light, rng),
        attributes=attributes,
        box=np.concatenate(_bounds(easel.place(parts.whole(look.jaw)))),
        landmarks=landmarks,
    )


def draw_background(seed, number, size=SIZE) -> np.ndarray:
    """A photo without a face: (h, w, 3) uint8."""
    rng = _rng(seed, BACKGROUND, number)
    image = clutter((2 * size[1], 2 * size[0]), rng)
    return photograph(image, min(size) / 218, rng.random() < 0.2, float(rng.choice([-1, 1])), rng)


def _bounds(points):
    """The corner (x, y) and the extent (width, height) of the upright box around points (n, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return low, high - low


def clutter(size, rng):
    """A PIL image of size (width, height): shapes over one another, many in the colours of faces, hair and clothes."""
    w, h = size
    ramp = parts.mix(*rng.uniform(60, 240, (2, 3)), np.linspace(0, 1, h)[:, None, None]).astype(np.uint8)
    image = Image.fromarray(ramp).resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image)
    palette = [*parts.SKIN_TONES, parts.PALE_SKIN, *parts.VIVID, *parts.SUITS, *parts.JEWELS]
    palette += [colour for colours in parts.HAIR_COLOURS.values() for colour in colours]
    for _ in range(int(rng.integers(12, 40))):
        colour = tuple(np.clip(parts.choose(rng, palette) + rng.normal(0, 8, 3), 0, 255).astype(int).tolist())
        x, y = rng.uniform(0, (w, h))
        a, b = rng.uniform(0.01, 0.22, 2) * min(size)
        kind = rng.choice(["oval", "box", "bar", "shard", "ring"])
        if kind == "oval":
            pen.ellipse((x - a, y - b, x + a, y + b), colour)
        elif kind == "box":
            pen.rectangle((x - a, y - b, x + a, y + b), colour)
        elif kind == "bar":
            end = (x, y) + rng.uniform(-0.5, 0.5, 2) * size
            pen.line((x, y, *end.tolist()), colour, max(2, int(a / 4)))
        elif kind == "ring":
            pen.ellipse((x - a, y - b, x + a, y + b), outline=colour, width=max(2, int(min(a, b) / 3)))
        else:
            pen.polygon((rng.uniform(-1, 1, (3, 2)) * (a, b) + (x, y)).ravel().tolist(), colour)
    return image


# A data set on disk.


def draw_dataset(path, train=2000, val=300, test=300, seed=0, per_person=5, report=None, size=SIZE):
    """Draw photos and write them under `path`: `celeba/` as CelebA's original images lie, `backgrounds/` beside it.

    train, val, test: numbers of photos; no person is in two of these. per_person: photos of one person; the last
    person may have fewer. `backgrounds/` has folders train, val and test, each with as many photos without a face.
    `report(done, total)` is called after each photo. As in toyfaces, the folder appears when it is complete.
    TinyfaceError if `path` is in use already or cannot be written, or if a number is out of its range.
    """
    if min(train, val, test, seed) < 0 or per_person < 1:
        raise TinyfaceError("toy photos: numbers must be 0 or more, and a person needs 1 photo at least")
    counts = (train, val, test)
    write_new_folder(Path(path), lambda draft: _write(draft, counts, seed, per_person, report, size))


def _write(root, counts, seed, per_person, report, size):
    anno, partition_folder, photos = (root / "celeba" / name for name in ("Anno", "Eval", "Img/img_celeba"))
    for folder in (anno, partition_folder, photos, *(root / "backgrounds" / split for split in SPLITS)):
        folder.mkdir(parents=True)
    rows = {name: [] for name in ("attributes", "boxes", "points", "identities", "partition")}
    total, person, done = 2 * sum(counts), 0, 0
    for split, count in enumerate(counts):
        for k in range(count):
            number = k % per_person
            person += number == 0  # persons are counted from 1, as CelebA's are
            photo, name = draw_photo(seed, person, number, size), f"{done // 2 + 1:06d}.jpg"
            write_image(Image.fromarray(photo.image), photos / name, "JPEG", quality=92)
            rows["attributes"].append(
                f"{name} " + " ".join(f"{2 * a - 1:2d}" for a in photo.attributes.tolist())
            )
            rows["boxes"].append(f"{name} " + " ".join(f"{v:4d}" for v in np.rint(photo.box).astype(int)))
            points = np.rint(photo.landmarks).astype(int).ravel()
            rows["points"].append(f"{name} " + " ".join(f"{v:4d}" for v in points))
            rows["identities"].append(f"{name} {person}")
            rows["partition"].append(f"{name} {split}")
            background = root / "backgrounds" / SPLITS[split] / name
            write_image(
                Image.fromarray(draw_background(seed, done // 2, size)), background, "JPEG", quality=92
            )
            done += 2
            if report:
                report(done, total)
    count = str(total // 2)
    axes = " ".join(
        f"{p}_{a}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for a in "xy"
    )
    write_lines(anno / "list_attr_celeba.txt", [count, " ".join(ATTRIBUTES) + " ", *rows["attributes"]])
    write_lines(anno / "list_bbox_celeba.txt", [count, "image_id x_1 y_1 width height", *rows["boxes"]])
    write_lines(anno / "list_landmarks_celeba.txt", [count, axes, *rows["points"]])
    write_lines(anno / "identity_CelebA.txt", rows["identities"])
    write_lines(partition_folder / "list_eval_partition.txt", rows["partition"])
    write_mark(root / "celeba", seed)
