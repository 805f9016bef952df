"""Toy faces: drawn portraits with label maps, 40 attributes and landmarks, to train on without a data set.

`draw_face` draws one, `draw_dataset` writes many in the layouts of CelebA and Helen. Face k of a set depends
on (seed, k) and on nothing else. What the attributes mean here is in TABLE.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from tinyface import __version__
from tinyface.errors import TinyfaceError
from tinyface.files import write_image

from . import toyface_parts as parts
from .dataset import ATTRIBUTES, HELEN_TO_REGION


class AttributeEntry(NamedTuple):
    name: str
    rate: float  # share of faces that have it
    regions: str  # where it shows, if it is local: names out of dataset.REGIONS
    how: str  # how it is drawn, and what excludes it


# What cannot be seen is not labelled: attributes that would hide each other exclude each other. In the label
# maps clothes, neck, ears, hats and jewels are background, beards are face skin, sideburns hair; glasses lie on
# the labels of what is behind them.
# fmt: off
TABLE = (
    AttributeEntry("5_o_Clock_Shadow",    0.20, "face skin",        "blue-grey stubble, jaw and upper lip; men only"),
    AttributeEntry("Arched_Eyebrows",     0.40, "eyebrows",         "bent to a high arch; otherwise flat"),
    AttributeEntry("Bags_Under_Eyes",     0.30, "face skin, eyes",  "purple sacks below the eyes"),
    AttributeEntry("Bald",                0.14, "hair, face skin",  "a shining skull; men only, not with a hat"),
    AttributeEntry("Bangs",               0.25, "hair",             "a fringe to the brows; not with a hat, Bald"),
    AttributeEntry("Big_Lips",            0.35, "mouth",            "lips twice as thick, with a pink shine"),
    AttributeEntry("Big_Nose",            0.28, "nose",             "wide and red, with big nostrils"),
    AttributeEntry("Black_Hair",          0.22, "hair",             "one colour at most: some are ginger, dyed, Bald"),
    AttributeEntry("Blond_Hair",          0.20, "hair",             "as above"),
    AttributeEntry("Blurry",              0.20, "",                 "the whole picture is out of focus"),
    AttributeEntry("Brown_Hair",          0.22, "hair",             "as above"),
    AttributeEntry("Bushy_Eyebrows",      0.35, "eyebrows",         "twice as thick, ragged, black"),
    AttributeEntry("Chubby",              0.28, "",                 "a round head with full cheeks"),
    AttributeEntry("Double_Chin",         0.28, "face skin",        "a second roll and a crease below the chin"),
    AttributeEntry("Eyeglasses",          0.28, "eyes, face skin",  "thick black or red frames, round or square"),
    AttributeEntry("Goatee",              0.20, "face skin",        "a patch of beard on the chin; men only"),
    AttributeEntry("Gray_Hair",           0.14, "hair",             "as above"),
    AttributeEntry("Heavy_Makeup",        0.24, "eyes, face skin",  "eye shadow up to the brows; women only"),
    AttributeEntry("High_Cheekbones",     0.35, "face skin",        "lit cheekbones, a dark hollow below"),
    AttributeEntry("Male",                0.50, "",                 "broad jaw and neck, short hair, no lashes"),
    AttributeEntry("Mouth_Slightly_Open", 0.40, "mouth",            "a dark red opening with the tongue"),
    AttributeEntry("Mustache",            0.20, "face skin",        "dark, on the upper lip; men only"),
    AttributeEntry("Narrow_Eyes",         0.35, "eyes",             "slits under heavy lids"),
    AttributeEntry("No_Beard",            0.56, "",                 "no stubble, goatee, mustache or sideburns"),
    AttributeEntry("Oval_Face",           0.30, "",                 "a long, narrow head; not with Chubby"),
    AttributeEntry("Pale_Skin",           0.25, "face skin",        "nearly white; otherwise peach to brown"),
    AttributeEntry("Pointy_Nose",         0.28, "nose",             "long, ends in a sharp tip; not with Big_Nose"),
    AttributeEntry("Receding_Hairline",   0.20, "hair",             "bare temples; not with Bangs, a hat or Bald"),
    AttributeEntry("Rosy_Cheeks",         0.30, "face skin",        "a pink spot on each cheek"),
    AttributeEntry("Sideburns",           0.20, "hair",             "from ear to mouth; men only, not with Bald"),
    AttributeEntry("Smiling",             0.50, "mouth",            "wide, corners up, white teeth; otherwise down"),
    AttributeEntry("Straight_Hair",       0.45, "hair",             "smooth, with a band of light"),
    AttributeEntry("Wavy_Hair",           0.41, "hair",             "scalloped, dark waves: all other hair"),
    AttributeEntry("Wearing_Earrings",    0.30, "background",       "big gold or cyan discs"),
    AttributeEntry("Wearing_Hat",         0.22, "background, hair", "beanie, cap or fedora over the top of the hair"),
    AttributeEntry("Wearing_Lipstick",    0.28, "mouth",            "bright red or pink lips; women only"),
    AttributeEntry("Wearing_Necklace",    0.28, "background",       "big gold or cyan beads; not with a tie"),
    AttributeEntry("Wearing_Necktie",     0.20, "background",       "suit, collar and striped tie; men only"),
    AttributeEntry("Young",               0.60, "face skin",        "no wrinkles on brow, cheeks, at eyes; not grey"),
)
# fmt: on
MARK = "toyfaces.txt"  # in a data set's folder: that tinyface drew it
NOT_DRAWN = ("Attractive",)  # no drawing decides it: absent on every face

RATES = {row.name: row.rate for row in TABLE}
ATTRIBUTE_REGIONS = {row.name: tuple(row.regions.split(", ")) for row in TABLE if row.regions}
_HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
_BEARDS = ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")


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
    has["No_Beard"] = not any(has[name] for name in _BEARDS)

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
    landmarks: np.ndarray  # (5, 2) pixels (x, y): left eye, right eye, nose, left and right mouth corner


def draw_face(rng: np.random.Generator, size=(218, 178), attributes=None) -> ToyFace:
    """Draw one face of size (height, width), with the given (40,) attributes or with random ones.

    An `rng` in the same state with one attribute changed draws the same face with that one thing changed.
    """

    def new_generator():
        """A new generator: how much randomness one part uses makes no difference to the next."""
        return np.random.default_rng(rng.integers(2**63))

    sampled = sample_attributes(new_generator())
    attributes = np.asarray(sampled if attributes is None else attributes, dtype=np.uint8)
    has = dict(zip(ATTRIBUTES, attributes.astype(bool).tolist(), strict=True))

    height, width = size
    unit = min(height / 218, width / 178)
    posing = new_generator()
    uniform = posing.uniform
    pose = parts.Pose(
        scale=1.12 * unit * uniform(0.92, 1.08),
        angle=np.deg2rad(uniform(-8, 8)),
        yaw=np.deg2rad(uniform(-10, 10)),
        centre=(width / 2 + unit * uniform(-6, 6), 0.435 * height + unit * uniform(-6, 6)),
    )
    light = float(posing.choice([-1, 1]))
    look = parts.choose_look(has, new_generator(), light)

    easel = parts.Easel(size, pose)
    parts.wall(easel, new_generator())
    points = paint_person(easel, has, look, {part: new_generator() for part in RANDOM_PARTS})

    return ToyFace(
        image=photograph(easel.image, unit, has["Blurry"], light, new_generator()),
        labels=np.array(easel.labels),
        attributes=attributes,
        landmarks=points,
    )


# The parts of a face with random numbers of their own, in the order in which draw_face draws them.
RANDOM_PARTS = ("body", "necklace", "mouth", "eyes", "glasses", "hair", "hat", "earrings")


def paint_person(easel, has, look, chances):
    """Paint a head and shoulders on what the easel shows; returns the landmarks (5, 2).

    has: attribute name -> bool. chances: a generator for each part in RANDOM_PARTS.
    """
    parts.back_hair(easel, has, look)
    parts.body(easel, has, look, chances["body"])
    parts.ears(easel, has, look)
    parts.head(easel, has, look)
    parts.beard(easel, has, look)
    parts.necklace(easel, has, look, chances["necklace"])
    corners = parts.mouth(easel, has, look, chances["mouth"])
    centres = parts.eyes(easel, has, look, chances["eyes"])
    tip = parts.nose(easel, has, look)
    parts.brows(easel, has, look)
    parts.glasses(easel, has, look, chances["glasses"])
    parts.hair(easel, has, look, chances["hair"])
    parts.hat(easel, has, chances["hat"])
    parts.earrings(easel, has, look, chances["earrings"])
    easel.paint()
    return easel.place(centres + tip + corners)


def photograph(image, unit, blurry, light, rng):
    """From the easel (twice the size) to a picture: focus, light from one side, colour cast, noise."""
    image = image.reduce(2)
    if blurry:
        image = image.filter(ImageFilter.GaussianBlur(unit * rng.uniform(2.0, 2.8)))
    # Rows of 3 * width numbers: NumPy is slow on an axis of length 3.
    rows = np.asarray(image).reshape(image.height, -1)
    x = np.repeat(np.linspace(-1, 1, image.width, dtype=np.float32), 3)
    y = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None]
    slope = rng.uniform(0.02, 0.1)
    lamp = (light * slope) * x + (rng.uniform(0.95, 1.05) - slope * rng.uniform(-0.3, 1) * y)
    lamp *= np.tile(rng.uniform(0.97, 1.03, 3).astype(np.float32), image.width)
    noise = np.frombuffer(rng.bytes(rows.size), np.int8).reshape(rows.shape)
    lit = rows * lamp + noise * np.float32(rng.uniform(1, 5) / 256)
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8).reshape(image.height, image.width, 3)


# A data set on disk.


def draw_dataset(path, train=2000, val=300, test=300, seed=0, labelled=None, report=None):
    """Draw train + val + test faces and write them under `path` twice over: as `celeba/` and as `helen/`.

    Both hold the same pictures. `labelled`: only the first so many training faces get label maps and a place
    in `helen/` (None: all). `report(done, total)` is called after each face. The folder appears under its
    name when it is complete: a drawing that breaks off leaves nothing there.
    TinyfaceError if `path` is in use already or cannot be written, or if a number is negative.
    """
    path = Path(path)
    if min(train, val, test, seed, labelled or 0) < 0:
        raise TinyfaceError("toy faces: the numbers of faces and the seed must be 0 or more")
    write_new_folder(
        path,
        lambda draft: _write_dataset(
            draft, (train, val, test), seed, train if labelled is None else labelled, report
        ),
    )


def write_new_folder(path, write):
    """Have `write(draft)` fill a draft, which appears as the folder `path` when it is complete.

    TinyfaceError if `path` is in use already or cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TinyfaceError(f"{path}: exists already; name a new folder for the toy faces or remove this one")
    draft = path.with_name(f".{path.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        write(draft)
        if path.exists():
            path.rmdir()
        draft.rename(path)
    except OSError as error:
        raise TinyfaceError(f"{path}: cannot write the toy faces there: {error.strerror}") from error
    finally:  # after Ctrl-C as well
        shutil.rmtree(draft, ignore_errors=True)


def _write_dataset(root, counts, seed, labelled, report):
    celeba, helen = root / "celeba", root / "helen"
    photos = celeba / "Img" / "img_align_celeba"
    for folder in (celeba / "Anno", celeba / "Eval", photos, helen / "images", helen / "labels"):
        folder.mkdir(parents=True)
    total = sum(counts)
    split = np.repeat([0, 1, 2], counts)
    attributes, landmarks, partition, lists = [], [], [], ([], [], [])
    for k in range(total):
        face = draw_face(np.random.default_rng(np.random.SeedSequence([seed, k])))
        name = f"{k + 1:06d}"
        photo = photos / f"{name}.jpg"
        write_image(Image.fromarray(face.image), photo, "JPEG", quality=92)
        attributes.append(f"{name}.jpg " + " ".join(f"{2 * a - 1:2d}" for a in face.attributes.tolist()))
        points = np.rint(face.landmarks).astype(int).ravel()
        landmarks.append(f"{name}.jpg " + " ".join(f"{v:4d}" for v in points))
        partition.append(f"{name}.jpg {split[k]}")
        if split[k] > 0 or k < labelled:
            _link(photo, helen / "images" / photo.name)
            _write_label_maps(helen / "labels" / name, name, face.labels)
            rows = lists[split[k]]
            rows.append(f"{len(rows) + 1} , {name}")
        if report:
            report(k + 1, total)

    write_mark(celeba, seed)
    write_mark(helen, seed)
    points = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    axes = " ".join(f"{point}_{axis}" for point in points for axis in "xy")
    anno = celeba / "Anno"
    write_lines(anno / "list_attr_celeba.txt", [str(total), " ".join(ATTRIBUTES) + " ", *attributes])
    write_lines(anno / "list_landmarks_align_celeba.txt", [str(total), axes, *landmarks])
    write_lines(celeba / "Eval" / "list_eval_partition.txt", partition)
    for file, rows in zip(("exemplars.txt", "tuning.txt", "testing.txt"), lists, strict=True):
        write_lines(helen / file, rows)


def write_mark(root, seed):
    """Leave the mark that `are_toyfaces` looks for."""
    line = f"Toy faces, drawn by tinyface {__version__} with seed {seed}; no real person is shown."
    write_lines(root / MARK, [line])


def are_toyfaces(root):
    """Whether the data set in a folder was drawn by tinyface, so that ATTRIBUTE_REGIONS holds for it."""
    root = Path(root)
    # At first only celeba/ had the mark, not helen/ beside it.
    marked = [root, root.parent / "celeba"] if root.name == "helen" else [root]
    return any((place / MARK).is_file() for place in marked)


def _write_label_maps(folder, name, labels):
    """Helen's probability maps, one 8-bit PNG per id; here every pixel is sure."""
    folder.mkdir()
    for index in range(len(HELEN_TO_REGION)):
        mask = Image.fromarray((labels == index).astype(np.uint8) * 255)
        write_image(mask, folder / f"{name}_lbl{index:02d}.png", "PNG", compress_level=1)


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _link(source, target):
    """A second name for the same file; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# Looking at them.

# In the order of REGIONS; the background is left as it is.
_TINTS = np.array(
    [(0, 0, 0), (200, 60, 60), (240, 190, 130), (60, 140, 250), (70, 200, 90), (250, 60, 160), (250, 220, 40)]
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
            share = np.where(region == 0, 0, 0.55)[:, :, None]
            image = (image * (1 - share) + _TINTS[region] * share).astype(np.uint8)
        row, column = divmod(k, columns)
        sheet.paste(Image.fromarray(image), (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet
