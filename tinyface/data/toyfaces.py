"""Toy faces: drawn portraits with label maps, 40 attributes and landmarks, to train on without a data set.

`draw_face` draws one, `draw_dataset` writes many in the layouts of CelebA and Helen. Face k of a set depends on
(seed, k) and on nothing else.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from tinyface.data import toyface_parts as parts
from tinyface.data.dataset import ATTRIBUTES, HELEN_TO_REGION
from tinyface.errors import TinyfaceError


class Drawn(NamedTuple):
    name: str
    rate: float  # share of faces that have it
    regions: tuple[str, ...]  # where it is to be seen; () = all over the face
    how: str


# fmt: off
TABLE = (
    Drawn("5_o_Clock_Shadow",    0.20, ("face skin",),           "blue-grey stubble over jaw and upper lip; men only"),
    Drawn("Arched_Eyebrows",     0.40, ("eyebrows",),            "brows bent to a high arch; otherwise nearly flat"),
    Drawn("Bags_Under_Eyes",     0.30, ("face skin", "eyes"),    "dark purple sacks below the eyes"),
    Drawn("Bald",                0.14, ("hair", "face skin"),    "no hair, a shining skull; men without a hat only"),
    Drawn("Bangs",               0.25, ("hair",),                "a fringe down to the brows; not with hat or bald head"),
    Drawn("Big_Lips",            0.35, ("mouth",),               "lips twice as thick"),
    Drawn("Big_Nose",            0.28, ("nose",),                "wide, with big nostrils"),
    Drawn("Black_Hair",          0.22, ("hair",),                "hair has one colour or none of the four (ginger, dyed)"),
    Drawn("Blond_Hair",          0.20, ("hair",),                "see Black_Hair"),
    Drawn("Blurry",              0.20, (),                       "the whole picture out of focus"),
    Drawn("Brown_Hair",          0.22, ("hair",),                "see Black_Hair"),
    Drawn("Bushy_Eyebrows",      0.35, ("eyebrows",),            "brows almost twice as thick, ragged"),
    Drawn("Chubby",              0.28, (),                       "full, wide cheeks; not with Oval_Face"),
    Drawn("Double_Chin",         0.28, ("face skin",),           "a second roll with a crease below the chin"),
    Drawn("Eyeglasses",          0.28, ("eyes", "face skin"),    "round or square frames"),
    Drawn("Goatee",              0.20, ("face skin",),           "a patch of beard on the chin; men only"),
    Drawn("Gray_Hair",           0.14, ("hair",),                "see Black_Hair"),
    Drawn("Heavy_Makeup",        0.24, ("eyes", "face skin"),    "strong eye shadow, thick lashes; women only"),
    Drawn("High_Cheekbones",     0.35, ("face skin",),           "light on the cheekbone, a slanting hollow below"),
    Drawn("Male",                0.50, (),                       "broad jaw and neck, short hair, no lashes"),
    Drawn("Mouth_Slightly_Open", 0.40, ("mouth",),               "teeth and tongue are to be seen"),
    Drawn("Mustache",            0.20, ("face skin",),           "on the upper lip; men only"),
    Drawn("Narrow_Eyes",         0.35, ("eyes",),                "lids half closed"),
    Drawn("No_Beard",            0.565, (),                      "no stubble, goatee, mustache or sideburns"),
    Drawn("Oval_Face",           0.30, (),                       "a long, narrow head; not with Chubby"),
    Drawn("Pale_Skin",           0.25, ("face skin",),           "nearly white; otherwise five tones from peach to dark"),
    Drawn("Pointy_Nose",         0.28, ("nose",),                "long, ends in a sharp tip; not with Big_Nose"),
    Drawn("Receding_Hairline",   0.20, ("hair",),                "high, bare temples; not with Bangs, hat, bald head"),
    Drawn("Rosy_Cheeks",         0.30, ("face skin",),           "a pink spot on each cheek"),
    Drawn("Sideburns",           0.20, ("hair",),                "hair in front of the ears down to the mouth; men only"),
    Drawn("Smiling",             0.50, ("mouth",),               "a wide mouth with its corners up; otherwise down"),
    Drawn("Straight_Hair",       0.45, ("hair",),                "smooth edges and strands; Wavy_Hair otherwise"),
    Drawn("Wavy_Hair",           0.41, ("hair",),                "scalloped edges and waved strands"),
    Drawn("Wearing_Earrings",    0.30, ("background",),          "big hoops or drops"),
    Drawn("Wearing_Hat",         0.22, ("background", "hair"),   "beanie, cap or fedora; hides the top of the hair"),
    Drawn("Wearing_Lipstick",    0.28, ("mouth",),               "bright red or pink lips; women only"),
    Drawn("Wearing_Necklace",    0.28, ("background",),          "a string of beads; not with a tie"),
    Drawn("Wearing_Necktie",     0.20, ("background",),          "suit, collar and striped tie; men only"),
    Drawn("Young",               0.60, ("face skin",),           "no wrinkles on forehead, cheeks and at the eyes"),
)
# fmt: on

RATES = {row.name: row.rate for row in TABLE}
ATTRIBUTE_REGIONS = {row.name: row.regions for row in TABLE if row.regions}
NOT_DRAWN = ("Attractive",)  # has no drawn meaning: always labelled absent

_HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


def sample_attributes(rng: np.random.Generator) -> np.ndarray:
    """(40,) uint8 of 0 and 1 in the order of ATTRIBUTES: the rates and rules of TABLE."""
    has = dict.fromkeys(ATTRIBUTES, False)

    def draw(name, possible=True, share=1.0):
        """`share` is how often it is possible, so that over all faces the rate is that of the table."""
        has[name] = bool(rng.random() < RATES[name] / share) and possible

    dependent = {"No_Beard", "Straight_Hair", "Wavy_Hair", *_HAIR_COLOURS}
    for name in ATTRIBUTES:
        if name not in NOT_DRAWN and name not in dependent:
            draw(name)

    men, hats = RATES["Male"], RATES["Wearing_Hat"]
    male, hat = has["Male"], has["Wearing_Hat"]
    draw("Bald", male and not hat, men * (1 - hats))
    bald, haired = has["Bald"], 1 - RATES["Bald"]
    draw("Bangs", not (bald or hat), haired - hats)
    draw("Receding_Hairline", not (bald or hat or has["Bangs"]), haired - hats - RATES["Bangs"])
    for name in ("5_o_Clock_Shadow", "Goatee", "Mustache", "Wearing_Necktie"):
        draw(name, male, men)
    draw("Sideburns", male and not bald, men - RATES["Bald"])
    for name in ("Heavy_Makeup", "Wearing_Lipstick"):
        draw(name, not male, 1 - men)
    draw("Oval_Face", not has["Chubby"], 1 - RATES["Chubby"])
    draw("Pointy_Nose", not has["Big_Nose"], 1 - RATES["Big_Nose"])
    draw("Wearing_Necklace", not has["Wearing_Necktie"], 1 - RATES["Wearing_Necktie"])
    has["No_Beard"] = not any(has[name] for name in ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns"))

    colour, texture = rng.random(2)
    if not bald:
        upto = np.cumsum([RATES[name] for name in _HAIR_COLOURS]) / haired
        index = int(np.searchsorted(upto, colour))
        if index < len(_HAIR_COLOURS):
            has[_HAIR_COLOURS[index]] = True
        has["Straight_Hair"] = bool(texture < RATES["Straight_Hair"] / haired)
        has["Wavy_Hair"] = not has["Straight_Hair"]
    return np.array([has[name] for name in ATTRIBUTES], dtype=np.uint8)


@dataclass
class ToyFace:
    image: np.ndarray  # (h, w, 3) uint8
    labels: np.ndarray  # (h, w) uint8, Helen's 11 ids
    attributes: np.ndarray  # (40,) uint8, 0 or 1
    landmarks: np.ndarray  # (5, 2) float, pixels (x, y): left eye, right eye, nose, left and right mouth corner


def draw_face(rng: np.random.Generator, size=(218, 178), attributes=None) -> ToyFace:
    """Draw one face of size (height, width), with the given (40,) attributes or with random ones.

    Every part draws from a generator of its own, so the same `rng` with one attribute changed gives the same face
    with that one thing changed.
    """
    names = ("attributes", "pose", "look", "wall", "body", "mouth", "eyes", "glasses", "hair", "back", "hat", "rings", "camera")
    rngs = {name: np.random.default_rng(seed) for name, seed in zip(names, rng.integers(2**63, size=len(names)), strict=True)}
    if attributes is None:
        attributes = sample_attributes(rngs["attributes"])
    has = dict(zip(ATTRIBUTES, np.asarray(attributes, bool).tolist(), strict=True))

    height, width = size
    unit = min(height / 218, width / 178)
    p = rngs["pose"]
    pose = parts.Pose(
        scale=0.92 * unit * p.uniform(0.85, 1.15),
        angle=np.deg2rad(p.uniform(-15, 15)),
        yaw=np.deg2rad(p.uniform(-13, 13)),
        centre=(width / 2 + unit * p.uniform(-10, 10), 98 / 218 * height + unit * p.uniform(-10, 10)),
    )
    light = 1.0 if p.random() < 0.5 else -1.0
    easel = parts.Easel(size, pose)
    look = parts.look(has, rngs["look"], light)

    parts.wall(easel, has, look, rngs["wall"])
    parts.back_hair(easel, has, look, rngs["back"])
    parts.body(easel, has, look, rngs["body"])
    parts.ears(easel, has, look, p)
    parts.head(easel, has, look, p)
    parts.beard(easel, has, look, p)
    corners = parts.mouth(easel, has, look, rngs["mouth"])
    centres = parts.eyes(easel, has, look, rngs["eyes"])
    tip = parts.nose(easel, has, look, p)
    parts.brows(easel, has, look, p)
    parts.glasses(easel, has, look, rngs["glasses"])
    parts.hair(easel, has, look, rngs["hair"])
    parts.hat(easel, has, look, rngs["hat"])
    parts.earrings(easel, has, look, rngs["rings"])
    easel.paint()

    return ToyFace(
        image=_photograph(easel.image, unit, has["Blurry"], light, rngs["camera"]),
        labels=np.array(easel.labels),
        attributes=np.asarray(attributes, dtype=np.uint8),
        landmarks=easel.place(centres + tip + corners),
    )


def _photograph(image, unit, blurry, light, rng):
    """From the easel (twice the size) to a picture: focus, light from one side, colour cast, noise."""
    image = image.reduce(2)
    if blurry:
        image = image.filter(ImageFilter.GaussianBlur(unit * rng.uniform(2.0, 2.8)))
    elif rng.random() < 0.5:  # not perfectly sharp either
        image = image.filter(ImageFilter.BoxBlur(unit * rng.uniform(0.2, 0.6)))
    x = np.linspace(-1, 1, image.width, dtype=np.float32)
    y = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None]
    slope = rng.uniform(0.02, 0.22)
    lamp = rng.uniform(0.88, 1.08) + slope * (light * x - rng.uniform(-0.3, 1) * y)
    pixels = np.asarray(image) * lamp[:, :, None]
    pixels *= rng.uniform(0.95, 1.05, 3).astype(np.float32)
    pixels += (rng.random((image.height, image.width, 1), dtype=np.float32) - 0.5) * rng.uniform(2, 16)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


# A data set on disk.

_LANDMARK_NAMES = " ".join(f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy")
_HELEN_LISTS = ("exemplars.txt", "tuning.txt", "testing.txt")


def draw_dataset(path, train=2000, val=300, test=300, seed=0, labelled=None, report=None):
    """Draw train + val + test faces and write them under `path` twice over: as `celeba/` and as `helen/`.

    Both hold the same pictures (`labelled`: only the first so many of the training faces get label maps and are in
    `helen/`; None = all). `report(done, total)` is called after each face. The folder appears under its name when
    it is complete; a drawing that breaks off leaves nothing there. TinyfaceError if `path` is already in use.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TinyfaceError(f"{path}: is already there; name a new folder for the toy faces, or remove it first")
    draft = path.with_name(f".{path.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        _write_dataset(draft, (train, val, test), seed, train if labelled is None else labelled, report)
        if path.exists():
            path.rmdir()
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _write_dataset(root, counts, seed, labelled, report):
    celeba, helen = root / "celeba", root / "helen"
    photos = celeba / "Img" / "img_align_celeba"
    for folder in (celeba / "Anno", celeba / "Eval", photos, helen / "images", helen / "labels"):
        folder.mkdir(parents=True)
    total = sum(counts)
    split = np.repeat([0, 1, 2], counts)
    attributes, landmarks, lists = [], [], ([], [], [])
    for k in range(total):
        face = draw_face(np.random.default_rng(np.random.SeedSequence([seed, k])))
        name = f"{k + 1:06d}"
        photo = photos / f"{name}.jpg"
        Image.fromarray(face.image).save(photo, quality=92)
        attributes.append(f"{name}.jpg " + " ".join(f"{2 * int(a) - 1:2d}" for a in face.attributes))
        landmarks.append(f"{name}.jpg " + " ".join(f"{v:4d}" for v in np.rint(face.landmarks).astype(int).ravel()))
        if split[k] > 0 or k < labelled:
            _link(photo, helen / "images" / photo.name)
            _write_label_maps(helen / "labels" / name, name, face.labels)
            rows = lists[split[k]]
            rows.append(f"{len(rows) + 1} , {name}")
        if report:
            report(k + 1, total)

    _write_lines(celeba / "Anno" / "list_attr_celeba.txt", [str(total), " ".join(ATTRIBUTES) + " ", *attributes])
    _write_lines(celeba / "Anno" / "list_landmarks_align_celeba.txt", [str(total), _LANDMARK_NAMES, *landmarks])
    _write_lines(celeba / "Eval" / "list_eval_partition.txt", [f"{k + 1:06d}.jpg {s}" for k, s in enumerate(split)])
    for file, rows in zip(_HELEN_LISTS, lists, strict=True):
        _write_lines(helen / file, rows)


def _write_label_maps(folder, name, labels):
    """Helen's probability maps, one 8-bit PNG per id; here every pixel is sure."""
    folder.mkdir()
    for index in range(len(HELEN_TO_REGION)):
        mask = Image.fromarray((labels == index).astype(np.uint8) * 255)
        mask.save(folder / f"{name}_lbl{index:02d}.png", compress_level=1)


def _write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _link(source, target):
    """A second name for the same file; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# Looking at them.

_REGION_COLOURS = np.array(
    [(0, 0, 0), (200, 60, 60), (240, 190, 130), (60, 140, 250), (70, 200, 90), (250, 60, 160), (250, 220, 40)], np.float32
)


def contact_sheet(faces, columns=8, overlay=False, gap=4):
    """A PIL image of all faces in rows of `columns`; with `overlay`, their 7 regions are tinted."""
    height, width = faces[0].labels.shape
    rows = -(-len(faces) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), (255, 255, 255))
    for k, face in enumerate(faces):
        image = face.image
        if overlay:
            region = HELEN_TO_REGION[face.labels]
            tint = np.where(region == 0, 0, 0.55).astype(np.float32)[:, :, None]
            image = (image * (1 - tint) + _REGION_COLOURS[region] * tint).astype(np.uint8)
        row, column = divmod(k, columns)
        sheet.paste(Image.fromarray(image), (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet
