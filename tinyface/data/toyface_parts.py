"""The parts of a toy face, from the wall behind it to the glasses on its nose, each drawn by one function.

A part takes the `Easel` it draws on, `has` (attribute name -> bool), the `Look` that the parts of one face
share and, where it varies, a random generator of its own: switching one attribute leaves other parts alone.

Coordinates are *face units*: (0, 0) is the middle of the face, x points right, y down; the eyes are near
(-23, -4) and (23, -4), the chin near (0, 67). A unit is about a pixel of a 178 x 218 image.
Left and right are those of the picture, as in CelebA's landmarks. Curves are arrays (n, 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

# Helen's ids. A part without an id of its own (ear, neck, cloth, hat, glasses, earring) is background.
BACKGROUND, SKIN, LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE = range(6)
NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP, HAIR = range(6, 11)

SKIN_TONES = [(246, 205, 172), (234, 184, 144), (212, 154, 110), (176, 118, 78), (138, 88, 60)]
PALE_SKIN = (252, 236, 229)
HAIR_COLOURS = {
    "Black_Hair": [(30, 27, 32)],
    "Blond_Hair": [(236, 200, 104), (245, 218, 140), (224, 180, 92)],
    "Brown_Hair": [(122, 76, 42), (104, 62, 34), (140, 88, 52)],
    "Gray_Hair": [(172, 172, 178), (198, 198, 202), (150, 152, 160)],
    "none of these": [(202, 74, 30), (214, 96, 150), (60, 140, 150), (118, 84, 180), (90, 160, 90)],
}
IRISES = [(98, 62, 34), (72, 116, 172), (84, 132, 84), (60, 44, 36), (112, 124, 140), (150, 104, 50)]
EYE_SHADOWS = [(58, 90, 196), (128, 52, 160), (28, 138, 128), (176, 40, 120)]
LIPSTICKS = [(206, 16, 52), (222, 30, 100), (164, 12, 60), (236, 50, 40)]
SUITS = [(44, 52, 78), (52, 52, 56), (92, 78, 66), (36, 66, 72)]
SHIRTS = [(246, 246, 248), (206, 224, 244), (250, 238, 214)]
BEADS = [(250, 246, 238), (240, 190, 60), (200, 40, 60), (40, 110, 190)]
JEWELS = [(246, 196, 50), (240, 244, 250), (40, 190, 190), (226, 40, 80)]
FRAMES = [(24, 24, 28), (60, 40, 30), (170, 30, 40), (40, 70, 150)]
VIVID = [
    (196, 46, 54),
    (38, 98, 168),
    (44, 140, 96),
    (232, 158, 42),
    (122, 70, 158),
    (226, 104, 140),
    (40, 150, 164),
]
DULL = [
    (58, 64, 78),
    (112, 104, 96),
    (40, 40, 46),
    (94, 112, 88),
    (150, 120, 92),
    (84, 96, 130),
    (236, 230, 218),
]
WHITE, CREAM, INK = (255, 255, 255), (255, 244, 225), (30, 20, 24)


def choose(rng, options):
    return np.array(options[int(rng.integers(len(options)))], float)


def mix(a, b, share):
    """The colour `share` of the way from a to b."""
    return np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share


# Curves.


def xy(x, y):
    return np.array([x, y]).T


@lru_cache
def _catmull_rom(steps):
    t = np.arange(steps)[:, None] / steps
    cubic = np.array([(0, 2, 0, 0), (-1, 0, 1, 0), (2, -5, 4, -1), (-1, 3, -3, 1)]) / 2
    return t ** np.arange(4) @ cubic  # (steps, 4): weights of four points in a row


def smooth(points, closed=False, steps=6):
    """A Catmull-Rom curve through the points."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    windows = np.arange(len(p) - 3)[:, None] + np.arange(4)
    curve = (_catmull_rom(steps) @ p[windows]).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


@lru_cache
def _circle(n):
    angle = np.arange(n) * (2 * np.pi / n)
    return xy(np.cos(angle), np.sin(angle))


def oval(x, y, rx, ry, n=24):
    return _circle(n) * (rx, ry) + (x, y)


def mirror(points, side=-1):
    """A curve of the right half of the face, on the left (side = -1) or the right (side = 1)."""
    return np.asarray(points, float) * (side, 1)


def whole(right_half):
    """The symmetric closed shape of which this is the right half, from top to bottom."""
    return np.concatenate([right_half, mirror(right_half)[::-1]])


def over(right_half):
    """The symmetric open curve from the left foot over the top (x = 0, given first) to the right foot."""
    return np.concatenate([mirror(right_half)[:0:-1], right_half])


def between(x, top, bottom):
    """The shape between two curves over the same x."""
    return np.concatenate([xy(x, top), xy(x, bottom)[::-1]])


def lengths(curve):
    """The length of the curve up to each of its points."""
    step = np.diff(curve, axis=0)
    return np.concatenate([[0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])


def resample(curve, n):
    s = lengths(curve)
    at = np.linspace(0, s[-1], n)
    return xy(np.interp(at, s, curve[:, 0]), np.interp(at, s, curve[:, 1]))


def normals(curve):
    """Unit normals of a curve (n, 2) or of a stack of curves (k, n, 2)."""
    tangent = np.empty_like(curve)
    tangent[..., 1:-1, :] = curve[..., 2:, :] - curve[..., :-2, :]
    tangent[..., 0, :] = curve[..., 1, :] - curve[..., 0, :]
    tangent[..., -1, :] = curve[..., -1, :] - curve[..., -2, :]
    tangent /= np.sqrt((tangent**2).sum(-1, keepdims=True)) + 1e-9
    return tangent[..., ::-1] * (1, -1)


def ruffle(curve, depth, period):
    """The curve as a row of round bumps, `depth` high and about `period` wide."""
    curve = resample(curve, int(lengths(curve)[-1] / 2) + 2)
    bumps = np.abs(np.sin(np.pi * lengths(curve) / period)) - 0.4
    return curve + normals(curve) * (depth * bumps)[:, None]


# The easel.


@dataclass(frozen=True)
class Pose:
    scale: float  # pixels per face unit
    angle: float  # radians, clockwise
    yaw: float  # radians, positive = the nose goes right
    centre: tuple[float, float]  # pixels (x, y)


class Easel:
    """A colour image at twice the final size and a label map at the final size.

    `fill`, `line` and `spot` only note what is to be drawn; `paint` draws it all in that order. So the
    thousands of points of a face are placed in a few array operations.
    """

    def __init__(self, size, pose: Pose):
        self.height, self.width = size
        self.pose = pose
        self.image = Image.new("RGB", (2 * self.width, 2 * self.height))
        self.labels = Image.new("L", (self.width, self.height), BACKGROUND)
        self._jobs = []

    def place(self, points, on="head"):
        """Face units on the "head" or "body" -> pixels of the final image; "page" points are pixels."""
        points = np.asarray(points, float)
        if on == "page":
            return points
        if on == "head":
            points = _turn(points, self.pose.yaw)
        angle = self.pose.angle * (1.0 if on == "head" else 0.3)
        c, s = np.cos(angle), np.sin(angle)
        return points @ np.array([(c, s), (-s, c)]) * self.pose.scale + self.pose.centre

    def fill(self, points, colour, alpha=1.0, label=None, on="head"):
        """Fill a polygon; with `label`, its pixels get that label too."""
        self._jobs.append((points, on, colour, alpha, label, None))

    def line(self, points, colour, width, alpha=1.0, taper=True, on="head"):
        """A stroke along a curve (n, 2), or along each of a stack (k, n, 2); `taper` thins its ends."""
        points = np.asarray(points, float)
        half = normals(points) * (_taper(points.shape[-2]) * width / 2 if taper else width / 2)
        strokes = np.concatenate([points + half, (points - half)[..., ::-1, :]], axis=-2)
        for stroke in strokes.reshape(-1, *strokes.shape[-2:]):
            self.fill(stroke, colour, alpha, on=on)

    def spot(self, x, y, rx, ry, colour, alpha):
        """A soft blob on the head with half axes rx, ry."""
        self._jobs.append(([(x, y)], "head", colour, alpha, None, (rx, ry)))

    def paint(self):
        """Draw everything noted so far."""
        opaque, glaze = ImageDraw.Draw(self.image), ImageDraw.Draw(self.image, "RGBA")
        label_pen = ImageDraw.Draw(self.labels)
        counts = [len(job[0]) for job in self._jobs]
        points = np.concatenate([job[0] for job in self._jobs])
        on = np.repeat([job[1] for job in self._jobs], counts)
        for space in ("head", "body"):
            points[on == space] = self.place(points[on == space], space)
        # Pillow's polygons include their border pixels: the shift keeps labels in step with the halved image.
        large, final = (points * 2).ravel().tolist(), (points - 0.25).ravel().tolist()
        stop = 0
        for count, (_, _, colour, alpha, label, radii) in zip(counts, self._jobs, strict=True):
            start, stop = stop, stop + 2 * count
            colour = tuple([min(max(int(c), 0), 255) for c in colour])
            if radii:
                self._blob(large[start:stop], radii, colour, alpha)
            elif alpha < 1:
                glaze.polygon(large[start:stop], (*colour, int(255 * alpha)))
            else:
                opaque.polygon(large[start:stop], colour)
            if label is not None:
                label_pen.polygon(final[start:stop], label)
        self._jobs.clear()

    def _blob(self, centre, radii, colour, alpha):
        w, h = (max(2, int(4 * r * self.pose.scale)) for r in radii)
        mask = _soft_disc(int(255 * alpha)).resize((w, h), Image.Resampling.BILINEAR)
        self.image.paste(colour, (int(centre[0] - w / 2), int(centre[1] - h / 2)), mask)


def _turn(points, yaw):
    """Turn points on the front of an ellipsoid (half axes 54, 82, 54) about its vertical axis."""
    x, y = points[:, 0], points[:, 1]
    depth = 54 * np.sqrt(np.clip(1 - (x / 54) ** 2 - (y / 82) ** 2, 0, None))
    return xy(x * np.cos(yaw) + depth * np.sin(yaw), y)


@lru_cache
def _taper(n):
    return (0.25 + 0.75 * np.sin(np.pi * np.linspace(0.08, 0.92, n)))[:, None]


@lru_cache
def _soft_disc(strength):
    r = np.hypot(*np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48)))
    return Image.fromarray((strength * np.clip(1 - r**2, 0, 1) ** 1.3).astype(np.uint8))


# What the parts of one face share.


@dataclass
class Look:
    skin: np.ndarray  # colours: 3 floats of 0..255
    hair: np.ndarray
    jaw: np.ndarray  # the right half of the head's outline, from the top of the skull to the chin
    neck: float  # half its width
    hair_length: float  # a woman's hair ends at this y
    light: float  # 1: from the right, -1: from the left

    @property
    def shade(self):
        """Skin in shadow."""
        return self.skin * (0.80, 0.70, 0.68)

    @property
    def beard(self):
        """Brows and beards: darker than the hair, so that they stand out from any skin."""
        return mix(self.hair * 0.62, INK, 0.25)

    def edge(self, y):
        """Half the width of the head at height y (forehead to mouth)."""
        return np.interp(y, self.jaw[:, 1], self.jaw[:, 0])


def choose_look(has, rng, light) -> Look:
    tone = rng.uniform(0, len(SKIN_TONES) - 1.001)
    skin = mix(SKIN_TONES[int(tone)], SKIN_TONES[int(tone) + 1], tone % 1)
    skin = (PALE_SKIN if has["Pale_Skin"] else skin) + rng.normal(0, 2.5, 3)

    natural = list(HAIR_COLOURS)[:4]
    bald_mans = natural[int(rng.integers(4))]  # for his brows and beard
    name = next((name for name in natural if has[name]), bald_mans if has["Bald"] else "none of these")
    hair = np.clip(choose(rng, HAIR_COLOURS[name]) + rng.normal(0, 4, 3), 5, 250)

    half = [(0, -76), (24, -71), (43, -52), (51, -22), (50, 2)]
    if has["Chubby"] and has["Male"]:
        half += [(57, 22), (57, 42), (42, 60), (22, 68), (0, 68)]
    elif has["Chubby"]:
        half += [(57, 22), (55, 42), (36, 61), (14, 68), (0, 69)]
    elif has["Male"]:
        half += [(48, 22), (44, 44), (27, 62), (14, 67), (0, 67)]
    else:
        half += [(46, 20), (36, 42), (19, 60), (8, 66), (0, 67)]
    half = np.array(half, float) * ((0.87, 1.06) if has["Oval_Face"] else (1, 1))
    half[:, 0] *= rng.uniform(0.97, 1.03)
    outline = smooth(np.concatenate([half, mirror(half)[-2:0:-1]]), closed=True)
    return Look(
        skin=skin,
        hair=hair,
        jaw=outline[: len(outline) // 2 + 1],
        neck=(25 if has["Male"] else 18) + rng.uniform(-1, 1),
        hair_length=float(rng.choice([48, 68, 92])),
        light=light,
    )


# The parts, from back to front.


def wall(easel, rng):
    """A gradient and clutter in front of it, shrunk and enlarged again, so that it is out of focus."""
    w, h = easel.width, easel.height
    top, bottom = rng.uniform(30, 235, (2, 3))
    ramp = mix(top, bottom, np.linspace(0, 1, h)[:, None, None]).astype(np.uint8)  # (h, 1, 3)
    image = Image.fromarray(ramp).resize((w, h), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image, "RGBA")
    kind = rng.choice(["bubbles", "boxes", "stripes", "shards"])
    for _ in range(int(rng.integers(4, 16))):
        colour = mix(mix(top, bottom, 0.5), choose(rng, VIVID + DULL), rng.uniform(0.4, 0.9))
        fill = (*colour.astype(int).tolist(), int(rng.uniform(90, 230)))
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        a, b = rng.uniform(0.04, 0.22, 2) * w
        if kind == "bubbles":
            pen.ellipse((x - a, y - a, x + a, y + a), fill)
        elif kind == "boxes":
            pen.rectangle((x - a, y - 2 * b, x + a, y + 2 * b), fill)
        elif kind == "stripes":
            pen.line((x - b, 0, x + a, h), fill, max(2, int(a * 0.6)))
        else:
            pen.polygon((rng.uniform(-0.3, 0.3, (3, 2)) * w + (x, y)).ravel().tolist(), fill)
    image = image.reduce(int(rng.integers(2, 5))).resize((w, h), Image.Resampling.BILINEAR)
    easel.image.paste(image.resize(easel.image.size, Image.Resampling.NEAREST))


def body(easel, has, look, rng):
    """Neck, clothes, necktie, necklace."""
    n = look.neck
    collar = [(n, 78), (n + 6, 92), (n + 14, 120), (-n - 14, 120), (-n - 6, 92), (-n, 78)]
    # The neck joins the head, which tilts, to the shoulders, which hardly do.
    neck = np.concatenate([easel.place([(n, 30)]), easel.place(collar, "body"), easel.place([(-n, 30)])])
    easel.fill(neck, mix(look.skin, look.shade, 0.45), label=BACKGROUND, on="page")
    chin = look.jaw[look.jaw[:, 1] > 20] * (0.92, 1)
    easel.fill(whole(chin) + np.array((-3 * look.light, 9)), look.shade, 0.6)

    wide = 112 if has["Male"] else 98
    shoulder = smooth([(n + 3, 86), (n + 12, 93), (wide * 0.62, 103), (wide * 0.93, 116), (wide, 132)])
    shoulder = np.concatenate([shoulder, [(wide, 240)]])
    if has["Wearing_Necktie"]:
        _suit_and_tie(easel, shoulder, n, rng)
        return
    cloth = choose(rng, VIVID + DULL) + rng.normal(0, 8, 3)
    depth = 112 if has["Wearing_Necklace"] else float(rng.choice([98, 104, 116]))
    neckline = over([(0, depth), (n + 3, 86)])  # a V, or round
    if rng.random() < 0.6:
        neckline = smooth(over([(0, depth), (n * 0.75, depth - 7), (n + 3, 86)]))
    easel.fill(np.concatenate([neckline, whole(shoulder)]), cloth, label=BACKGROUND, on="body")
    easel.line(neckline, cloth * 0.75, 3, taper=False, on="body")
    if has["Wearing_Necklace"]:
        bead = choose(rng, BEADS)
        chain = smooth(over([(0, 99), (n * 0.7, 93), (n + 1, 83)]))
        for x, y in resample(chain, 11):
            easel.fill(oval(x, y, 3.6, 3.6, 12), bead * 0.55, on="body")
            easel.fill(oval(x, y, 2.9, 2.9, 12), bead, on="body")


def _suit_and_tie(easel, shoulder, n, rng):
    suit, shirt, tie = choose(rng, SUITS), choose(rng, SHIRTS), choose(rng, VIVID)
    easel.fill(whole(shoulder), shirt, label=BACKGROUND, on="body")
    for side in (-1, 1):
        easel.fill(mirror(np.concatenate([shoulder, [(8, 240)]]), side), suit, on="body")
        tip = [(n + 9, 92), (14, 108), (1, 97)]
        easel.fill(mirror([(n + 1, 81), *tip], side), shirt * 0.93, on="body")
        easel.line(mirror(tip, side), shirt * 0.7, 1.2, on="body")
    easel.fill(whole([(9, 95), (6, 106), (17, 240)]), tie, on="body")
    for y in range(112, 170, 12):
        easel.fill([(-7, y + 5), (8, y - 1), (9, y + 4), (-8, y + 10)], mix(tie, WHITE, 0.6), on="body")
    easel.fill(whole([(9, 95), (6, 106)]), tie * 0.8, on="body")  # the knot


def ears(easel, has, look):
    if not has["Male"]:
        return  # under her hair
    x = look.edge(4) + 3
    for side in (-1, 1):
        easel.fill(oval(x * side, 4, 8, 14), mix(look.skin, look.shade, 0.25), label=BACKGROUND)
        easel.line(mirror(smooth([(x, -5), (x + 4, 0), (x + 2, 9)]), side), look.shade * 0.9, 2.4)


def head(easel, has, look):
    """Face skin and what is written on it: light and shadow, cheeks, wrinkles, double chin."""
    skin, shade = look.skin, look.shade
    if has["Double_Chin"]:
        easel.fill(whole(smooth([(40, 46), (36, 66), (20, 81), (0, 84)])), mix(skin, shade, 0.3), label=SKIN)
    easel.fill(whole(look.jaw), skin, label=SKIN)
    if has["Double_Chin"]:
        easel.line(smooth(over([(0, 70), (16, 68), (30, 60)])), shade * 0.8, 3.4)

    dark = mirror(look.jaw, -look.light)
    easel.fill(np.concatenate([dark, (dark * (0.66, 0.97))[::-1]]), shade, 0.35)
    easel.spot(16 * look.light, -46, 22, 16, WHITE, 0.25)
    if has["Bald"]:
        easel.spot(20 * look.light, -62, 15, 9, WHITE, 0.75)

    for side in (-1, 1):
        if has["High_Cheekbones"]:
            hollow = [(look.edge(10) - 1, 10), (34, 22), (21, 32), (27, 38), (look.edge(30) - 1, 28)]
            easel.fill(mirror(hollow, side), shade * 0.9, 0.5)
            easel.spot(35 * side, 10, 11, 6, CREAM, 0.7)
        if has["Rosy_Cheeks"]:
            easel.spot(32 * side, 19, 15, 12, (240, 66, 88), 0.7)
    if not has["Young"]:
        crease = shade * 0.72
        forehead = () if has["Wearing_Hat"] or has["Bangs"] else (-50, -43)
        for y in forehead:
            easel.line(smooth(over([(0, y + 1), (10, y - 1), (20, y + 1)])), crease, 2.2, 0.8)
        for side in (-1, 1):
            easel.line(mirror(smooth([(13, 21), (21, 28), (28, 44)]), side), crease, 3.0, 0.9)
            for y in (-1, 0, 1):  # crow's feet
                easel.line(
                    mirror([(38, 3 * y - 4), (42, 6 * y - 4), (46, 9 * y - 4)], side), crease, 2.0, 0.9
                )


def beard(easel, has, look):
    """Stubble, mustache, goatee: on face skin. (Sideburns are hair.)"""
    strand = mix(look.beard, CREAM, 0.25)
    if has["5_o_Clock_Shadow"]:
        jaw = look.jaw[look.jaw[:, 1] > 8]
        tint = mix(look.skin * 0.35, (52, 58, 76), 0.6)
        for inset in (0, 5):  # two coats: a soft upper edge
            cheek = np.array([(0, 26), (10, 25), (24, 27), (36, 24), (look.edge(12) - 2, 12)])
            cheek = smooth(cheek + np.array((0, inset)))
            easel.fill(np.concatenate([over(cheek), whole(jaw)]), tint, 0.29)
    if has["Mustache"]:
        half = smooth([(0, 25), (9, 24), (20, 29), (28, 37), (19, 37), (10, 36), (0, 34)])
        easel.fill(whole(half), look.beard, label=SKIN)
        for side in (-1, 1):
            easel.line(mirror(smooth([(3, 27), (13, 29), (24, 35)]), side), strand, 1.6)
    if has["Goatee"]:
        half = smooth([(0, 52), (11, 50), (19, 56), (17, 68), (8, 77), (0, 79)])
        easel.fill(whole(half), look.beard, label=SKIN)
        for x in (-9, -3, 3, 9):
            easel.line(smooth([(x, 58), (x * 0.9, 66), (x * 0.6, 75)]), strand, 1.6)


def mouth(easel, has, look, rng):
    """Lips, teeth, tongue. Returns the mouth's two corners, left first."""
    droop, lipstick = rng.uniform(1, 3), choose(rng, LIPSTICKS)
    width, lift, y = (25, 11, 44) if has["Smiling"] else (19, -droop, 42)
    gap = 11 if has["Mouth_Slightly_Open"] else 0
    upper, lower = (9.5, 12) if has["Big_Lips"] else (5, 6)
    lips = lipstick if has["Wearing_Lipstick"] else mix(look.skin * (0.84, 0.68, 0.66), (168, 100, 92), 0.3)

    t = np.linspace(-1, 1, 25)
    x, arch = t * width, 1 - t**2
    line = y - lift * t**2
    top, bottom = line - 0.3 * gap * arch, line + 0.7 * gap * arch
    bow = 1 - 0.28 * np.exp(-((t / 0.16) ** 2))  # Cupid's bow
    if gap:
        teeth = top + 0.42 * gap * arch
        tongue = np.maximum(bottom - 0.3 * gap * np.clip(1 - (t / 0.6) ** 2, 0, 1), teeth)
        easel.fill(between(x, top, bottom), (74, 18, 26), label=INNER_MOUTH)
        easel.fill(between(x, top, teeth), (250, 248, 240))
        easel.fill(between(x, tongue, bottom), (206, 88, 92))
    easel.fill(between(x, top - upper * arch**0.6 * bow, top), lips * 0.88, label=UPPER_LIP)
    easel.fill(between(x, bottom, bottom + lower * arch**0.7), lips, label=LOWER_LIP)
    shine = between(x, bottom + 0.3 * lower * arch, bottom + 0.55 * lower * arch)
    easel.fill(shine[6:-6], mix(lips, WHITE, 0.4), 0.6)
    if not gap:
        easel.line(xy(x, line), lips * 0.45, 2.2)
    if has["Smiling"]:
        for side in (-1, 1):
            dimple = smooth([(1.5, -4), (4, 0), (1.5, 4.5)]) + np.array((width, y - lift))
            easel.line(mirror(dimple, side), look.shade * 0.8, 2.2)
    below = bottom[12] + lower + 5
    easel.line(smooth([(-7, below), (0, below + 1.5), (7, below)]), look.shade, 2, 0.5)
    return [(-width, y - lift), (width, y - lift)]


def eyes(easel, has, look, rng):
    """Eyeballs (what shows of them is labelled eye), lids, lashes, make-up, bags. Returns the two centres."""
    iris, shadow = choose(rng, IRISES) + rng.normal(0, 6, 3), choose(rng, EYE_SHADOWS)
    gaze, tilt = rng.uniform(-2.5, 2.5), rng.uniform(-1.5, 1.5)
    up, down, half = (4.4, 3.4, 13.0) if has["Narrow_Eyes"] else (9.0, 6.6, 12.5)
    makeup = has["Heavy_Makeup"]
    t = np.linspace(-1, 1, 21)
    arch = (1 - t**2) ** 0.7
    for side, label in ((-1, LEFT_EYE), (1, RIGHT_EYE)):
        cx, cy = 23.0 * side, -4.0
        x, middle = cx + half * t, cy - tilt * t * side  # the outer corner a little higher or lower
        top, bottom = middle - up * arch, middle + down * arch
        if makeup:
            lid = middle - (up + 7.5) * (1 - (0.96 * t) ** 2) ** 0.6
            easel.fill(np.concatenate([xy(cx + 1.12 * half * t, lid), xy(x, top + 2)[::-1]]), shadow, 0.85)
        else:
            easel.line(xy(x, top - 3.4), look.shade * 0.85, 1.8, 0.7)
        if has["Bags_Under_Eyes"]:
            sag = bottom + 8.5 * (1 - t**2) ** 0.6
            easel.fill(between(x, bottom, sag), look.shade * (0.72, 0.66, 0.86), 0.7)
            easel.line(xy(x, sag), look.shade * 0.55, 2.0, 0.8)

        easel.fill(between(x, top, bottom), (250, 250, 248), label=label)
        glint = (cx + gaze + 2.4 * look.light, cy - 2.2)
        discs = (
            (iris * 0.6, 6.9, (cx + gaze, cy)),
            (iris, 5.9, (cx + gaze, cy)),
            (INK, 3.2, (cx + gaze, cy)),
        )
        for colour, radius, centre in (*discs, (WHITE, 1.9, glint)):
            disc = oval(*centre, radius, radius)
            y = np.clip(disc[:, 1], np.interp(disc[:, 0], x, top), np.interp(disc[:, 0], x, bottom))
            easel.fill(xy(disc[:, 0], y), colour)  # the lids cut it off
        easel.fill(between(x, top, top + 1.6), (90, 80, 100), 0.35)

        easel.line(xy(x, top - 0.4), INK, 4.2 if makeup else 2.6)
        if makeup:
            easel.line(xy(x, bottom), INK, 2.0)
        if makeup or not has["Male"]:
            reach = 7.5 if makeup else 4.5
            root = xy(cx + side * half * np.array([0.35, 0.62, 0.88]), top[::side][[13, 16, 19]])
            lash = np.array([(0, 0), (0.4 * side, -0.7), (0.8 * side, -1.0)]) * reach
            easel.line(root[:, None] + lash, INK, 2.2)
    return [(-23.0, -4.0), (23.0, -4.0)]


def nose(easel, has, look):
    """Returns the tip."""
    skin, shade = look.skin, look.shade
    if has["Big_Nose"]:
        half, tip, nostril = (
            [(0, -8), (5, -6), (6, 4), (13, 13), (18, 20), (13, 27), (5, 28), (0, 29)],
            22,
            (9.5, 25, 3.6),
        )
    elif has["Pointy_Nose"]:
        half, tip, nostril = (
            [(0, -8), (4, -6), (5, 6), (8, 14), (9, 18), (4, 26), (0, 31)],
            24,
            (4, 25.5, 1.8),
        )
    else:
        half, tip, nostril = (
            [(0, -8), (4, -6), (5, 5), (9, 13), (11, 19), (7, 23), (0, 24)],
            18,
            (5.5, 19.5, 2.4),
        )
    half = np.array(half, float) if has["Pointy_Nose"] else smooth(half, steps=4)
    easel.fill(whole(half), mix(skin, shade, 0.22), label=NOSE)
    dark = mirror(half, -look.light)
    easel.fill(np.concatenate([dark, dark[::-1] * (0.35, 1)]), shade, 0.75)
    easel.line(xy(np.full(6, 1.5 * look.light), np.linspace(-4, tip - 6, 6)), WHITE, 3.2, 0.35)
    easel.spot(2 * look.light, tip - 3, 4.5, 4, WHITE, 0.5)
    for side in (-1, 1):
        easel.fill(oval(nostril[0] * side, nostril[1], nostril[2], nostril[2] * 0.6, 12), shade * 0.5)
    return [(0, tip - 1)]


def brows(easel, has, look):
    thick = 11.5 if has["Bushy_Eyebrows"] else 6.5
    t = np.linspace(-1, 1, 17)  # from the nose outwards
    if has["Arched_Eyebrows"]:
        middle = -20.5 - 10 * (1 - ((t - 0.25) / 1.25) ** 2) + t
    else:
        middle = -22.5 - 0.8 * (1 - t**2)
    half = thick / 2 * (1.05 - 0.55 * np.clip(t, 0, 1) ** 1.5) * np.minimum(1, 0.45 + 4 * (1 - t**2))
    top, bottom = middle - half, middle + half
    x = 24 + 15 * t
    if has["Bushy_Eyebrows"]:
        top = top - 1.6 * (np.arange(17) % 2)  # ragged
    for side, label in ((-1, LEFT_BROW), (1, RIGHT_BROW)):
        easel.fill(mirror(between(x, top, bottom), side), look.beard, label=label)
        if has["Bushy_Eyebrows"]:
            k = np.arange(2, 15, 3)
            hairs = np.stack(
                [xy(x[k], bottom[k] - 1), xy(x[k] + 1.6, middle[k]), xy(x[k] + 4, top[k] + 1)], axis=1
            )
            easel.line(mirror(hairs, side), mix(look.beard, CREAM, 0.25), 1.5)


def glasses(easel, has, look, rng):
    if not has["Eyeglasses"]:
        return
    frame, power = choose(rng, FRAMES), rng.choice([0.55, 1.0])  # 1: round, less: square
    circle = _circle(40)
    rim = np.sign(circle) * np.abs(circle) ** power
    for side in (-1, 1):
        centre = np.array((23.5 * side, -2))
        outer, inner = rim * (18.5, 15.5) + centre, rim * (15.3, 12.3) + centre
        easel.fill(outer, (215, 235, 255), 0.10)
        easel.fill(centre + np.array([(-9, -9), (-4, -11), (-11, 6), (-14, 2)]), WHITE, 0.4)
        easel.fill(np.concatenate([outer, outer[:1], inner[:1], inner[::-1]]), frame)
        easel.line(mirror([(41, -6), (46, -7), (look.edge(-6) + 1, -8)], side), frame, 3.4, taper=False)
    easel.line(smooth([(-6, -4), (0, -7), (6, -4)]), frame, 3.4, taper=False)


def back_hair(easel, has, look):
    """Long hair behind neck and shoulders."""
    if has["Bald"] or has["Male"]:
        return
    y = look.hair_length
    half = smooth(
        [(0, -84), (34, -76), (52, -44), (57, 0), (58, y * 0.6), (52, y - 3), (28, y + 4), (0, y + 2)]
    )
    easel.fill(whole(ruffle(half, 4, 14) if has["Wavy_Hair"] else half), look.hair * 0.72, label=HAIR)


def hair(easel, has, look, rng):
    """The hair in front: sideburns, a cap from the crown to the hairline, locks at the sides, bangs."""
    volume, part = rng.uniform(0, 5), rng.uniform(-18, 18)
    wavy, hat, man = has["Wavy_Hair"], has["Wearing_Hat"], has["Male"]
    if has["Sideburns"]:
        top, foot = look.edge(-22), look.edge(28)
        burn = [
            (top, -30),
            (top - 9, -30),
            (top - 9, 0),
            (foot - 11, 24),
            (foot - 8, 31),
            (foot - 1, 29),
            (look.edge(5), 5),
        ]
        for side in (-1, 1):
            easel.fill(mirror(burn, side), look.hair, label=HAIR)
            strand = mirror([(top - 4, -25), (top - 4, 0), (foot - 6, 26)], side)
            easel.line(strand, mix(look.hair, CREAM, 0.3), 1.8, 0.8)
    if has["Bald"]:
        return

    foot = 12 if hat or not man else -8  # where the cap ends at the ears
    puff = volume + (7 if hat else 0)
    crown = [(0, -88 - volume), (24, -84 - volume), (44 + volume, -66), (54 + puff, -36), (52 + puff, foot)]
    if has["Receding_Hairline"]:
        hairline = over([(0, -53), (8, -57), (17, -69), (31, -62), (40, -45), (44, -28), (46, foot)])
    else:
        temple = [(24, -54), (40, -42), (44, -24), (46, foot)]
        hairline = np.array([*mirror(temple)[::-1].tolist(), (part, -63), *temple])
    narrow = has["Oval_Face"]
    crown = smooth(over(np.array(crown) * ((0.93, 1.05) if narrow else (1, 1))))
    hairline = smooth(hairline * ((0.88, 1.06) if narrow else (1, 1)))
    _lock(easel, look, ruffle(crown, 6.5, 15) if wavy else crown, hairline, wavy, rng, strands=4)
    if not has["Receding_Hairline"] and not has["Bangs"]:
        easel.line(smooth([(part, -62), (part * 0.8, -74), (part * 0.5, -86)]), look.hair * 0.55, 2.6)

    if not man:
        w, y = 58 + volume, look.hair_length
        outer = smooth([(46, -62), (w - 2, -30), (w, 0), (w + 2, y * 0.6), (w - 4, y)])
        inner = smooth([(36, -50), (44, -26), (46, 0), (46, y * 0.6), (42, y + 3)])
        if wavy:
            outer, inner = ruffle(outer, -5, 14), ruffle(inner, 2.5, 12)
        for side in (-1, 1):
            _lock(easel, look, mirror(outer, side), mirror(inner, side), wavy, rng, strands=3)
    if has["Bangs"]:
        top = smooth(over([(0, -74), (30, -66), (45, -42)]))
        x = np.linspace(-46, 46, 31)
        fringe = -36.5 - 5 * (x / 46) ** 2
        fringe += 3.5 * np.abs(np.sin(x * np.pi * 2.5 / 46)) - 2 if wavy else -3.5 * (np.arange(31) % 5 == 0)
        _lock(easel, look, top, xy(x, fringe), wavy, rng, strands=9, across=True)


def _lock(easel, look, outer, inner, wavy, rng, strands, across=False):
    """Hair between two edges; its strands, light and dark, run along the edges or across between them."""
    easel.fill(np.concatenate([outer, inner[::-1]]), look.hair, label=HAIR)
    n = 120 if across else 40
    a, b = resample(outer, n), resample(inner, n)
    phase = rng.uniform(0, 6)
    start = ((np.arange(strands) + 0.7 + rng.uniform(-0.15, 0.15, strands)) / (strands + 0.4))[:, None]
    if across:
        t = np.linspace(0.06, 0.9, 9)
        along = start + (0.02 * np.sin(9 * t + phase) if wavy else 0 * t)
        index = np.clip(np.rint(along * n), 0, n - 1).astype(int)
        curves = a[index] * (1 - t[:, None]) + b[index] * t[:, None]
    else:
        u = np.arange(2, n - 1)
        wave = 0.11 * np.sin(0.75 * u + phase + np.arange(strands)[:, None]) if wavy else 0 * u
        depth = np.clip(start + wave, 0.04, 0.96)[:, :, None]
        curves = a[u] * (1 - depth) + b[u] * depth
    width = 2.4 if wavy else 2.0
    easel.line(curves[::2], mix(look.hair, CREAM, 0.3), width, 0.9)
    easel.line(curves[1::2], look.hair * 0.7, width, 0.9)


def hat(easel, has, rng):
    if not has["Wearing_Hat"]:
        return
    kind = rng.choice(["beanie", "cap", "fedora"])
    colour, band = choose(rng, VIVID + DULL) + rng.normal(0, 8, 3), choose(rng, VIVID + DULL[-1:])
    dark, light = colour * 0.72, mix(colour, WHITE, 0.25)

    def strip(top, bottom):
        return np.concatenate([smooth(over(top)), smooth(over(bottom))[::-1]])

    if kind == "fedora":
        easel.fill(
            whole(smooth([(0, -104), (14, -110), (38, -106), (46, -84), (52, -50)])), colour, label=BACKGROUND
        )
        easel.fill(strip([(0, -70), (53, -64)], [(0, -52), (55, -48)]), band)
        brim = strip([(0, -58), (50, -54), (84, -42)], [(0, -45), (40, -43), (76, -38)])
        easel.fill(brim, dark, label=BACKGROUND)
        easel.line(smooth(over([(0, -54), (46, -51), (80, -43)])), light, 2, 0.6)
        return
    easel.fill(whole(smooth([(0, -108), (30, -104), (52, -82), (62, -46)])), colour, label=BACKGROUND)
    if kind == "beanie":
        for x in range(-45, 46, 15):
            easel.line(smooth([(x, -60), (x * 0.85, -86), (x * 0.35, -106)]), dark, 2.4, 0.8)
        easel.fill(strip([(0, -66), (64, -58)], [(0, -46), (64, -40)]), band, label=BACKGROUND)
        for x in range(-54, 55, 9):
            easel.line([(x, -61), (x, -52), (x, -44)], band * 0.75, 2, 0.8)
        easel.fill(oval(0, -108, 12, 12), mix(band, WHITE, 0.3), label=BACKGROUND)
    else:
        easel.line([(0, -107), (0, -80), (0, -56)], dark, 2)
        for side in (-1, 1):
            easel.line(mirror(smooth([(2, -107), (26, -84), (34, -54)]), side), dark, 2)
        easel.fill(oval(0, -78, 13, 11), band)
        visor = strip([(0, -62), (58, -50)], [(0, -45), (34, -44), (66, -40)])
        easel.fill(visor, dark, label=BACKGROUND)
        easel.line(smooth(over([(0, -57), (56, -47)])), light, 2, 0.7)


def earrings(easel, has, look, rng):
    if not has["Wearing_Earrings"]:
        return
    metal, hoop = choose(rng, JEWELS), rng.random() < 0.5
    for side in (-1, 1):
        x = side * (look.edge(14) + 5)
        if hoop:
            ring, hole = oval(x, 30, 9, 11), oval(x, 30, 5, 7)
            easel.fill(np.concatenate([ring, ring[:1], hole[:1], hole[::-1]]), metal, label=BACKGROUND)
            shape = ring
        else:
            easel.fill(oval(x, 20, 4, 4, 14), metal * 0.6, label=BACKGROUND)
            shape = smooth([(x, 22), (x + 6.5, 36), (x, 43), (x - 6.5, 36)], closed=True)
            easel.fill(shape, metal, label=BACKGROUND)
            easel.spot(x - 1, 34, 3, 4, WHITE, 0.8)
        easel.line(np.concatenate([shape, shape[:2]]), metal * 0.45, 1.6, taper=False)
