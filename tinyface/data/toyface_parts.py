"""The parts of a toy face, from the wall behind it to the glasses on its nose, each drawn by one function.

Every part takes the `Easel` it draws on, `has` (attribute name -> bool), the `Look` that the parts of one face
share, and a random generator of its own: switching one attribute on or off leaves the other parts as they were.

Coordinates are *face units*: (0, 0) is the middle of the face, x points right, y down; the chin is near y = 66
and the eyes near x = -23 and 23. At scale 1 a unit is a bit less than a pixel of a 178 x 218 image.
Left and right are those of the picture, as in CelebA's landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

BACKGROUND, SKIN, LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE, NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP, HAIR = range(11)

SKIN_TONES = np.array([(246, 205, 172), (234, 184, 144), (212, 154, 110), (176, 118, 78), (138, 88, 60)], float)
PALE_SKIN = np.array((252, 236, 229), float)
HAIR_COLOURS = {
    "Black_Hair": [(30, 27, 32)],
    "Blond_Hair": [(236, 200, 104), (245, 218, 140), (224, 180, 92)],
    "Brown_Hair": [(122, 76, 42), (104, 62, 34), (140, 88, 52)],
    "Gray_Hair": [(172, 172, 178), (198, 198, 202), (150, 152, 160)],
    None: [(202, 74, 30), (214, 96, 150), (60, 140, 150), (118, 84, 180), (90, 160, 90)],  # ginger and dyed
}
IRIS_COLOURS = [(98, 62, 34), (72, 116, 172), (84, 132, 84), (60, 44, 36), (112, 124, 140), (150, 104, 50)]
VIVID = [(196, 46, 54), (38, 98, 168), (44, 140, 96), (232, 158, 42), (122, 70, 158), (226, 104, 140), (40, 150, 164)]
DULL = [(58, 64, 78), (112, 104, 96), (236, 230, 218), (40, 40, 46), (94, 112, 88), (150, 120, 92), (84, 96, 130)]


def mix(a, b, share):
    """The colour `share` of the way from a to b."""
    return np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share


def choose(rng, options):
    return options[int(rng.integers(len(options)))]


# Curves: arrays of points, shape (n, 2), in face units.


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
    rows = np.arange(len(p) - 3)[:, None] + np.arange(4)
    curve = (_catmull_rom(steps) @ p[rows]).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


@lru_cache
def _circle(n):
    angle = np.arange(n) * (2 * np.pi / n)
    return xy(np.cos(angle), np.sin(angle))


def oval(x, y, rx, ry, n=24):
    return _circle(n) * (rx, ry) + (x, y)


def mirror(points, side=-1):
    """The same curve on the left (side = -1) or right (side = 1) half of the face."""
    return np.asarray(points, float) * (side, 1)


def both_sides(right_half):
    """Mirror a right half, given from top to bottom, into an open curve: up the left side, down the right."""
    right = np.asarray(right_half, float)
    return np.concatenate([mirror(right)[:0:-1] if right[0, 0] == 0 else mirror(right)[::-1], right])


def lengths(points):
    """The length of the curve up to each of its points."""
    steps = np.diff(points, axis=0)
    return np.concatenate([[0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])


def resample(points, n):
    s = lengths(points)
    at = np.linspace(0, s[-1], n)
    return xy(np.interp(at, s, points[:, 0]), np.interp(at, s, points[:, 1]))


def normals(points):
    """Unit normals of a curve (n, 2) or of a stack of curves (k, n, 2)."""
    tangent = np.empty_like(points)
    tangent[..., 1:-1, :] = points[..., 2:, :] - points[..., :-2, :]
    tangent[..., 0, :] = points[..., 1, :] - points[..., 0, :]
    tangent[..., -1, :] = points[..., -1, :] - points[..., -2, :]
    tangent /= np.sqrt((tangent**2).sum(-1, keepdims=True)) + 1e-9
    return tangent[..., ::-1] * (1, -1)


@lru_cache(maxsize=256)
def _taper(n):
    return (0.25 + 0.75 * np.sin(np.pi * np.linspace(0.08, 0.92, n)))[:, None]


def ruffle(points, depth, period, phase=0.0):
    """Turn a curve into a row of round bumps `depth` high and about `period` wide."""
    s = lengths(points)
    points = resample(points, max(len(points), int(s[-1] / 2) + 2))
    bumps = np.abs(np.sin(np.pi * lengths(points) / period + phase)) - 0.4
    return points + normals(points) * (depth * bumps)[:, None]


# The easel.


@dataclass(frozen=True)
class Pose:
    scale: float  # pixels per face unit
    angle: float  # radians, clockwise
    yaw: float  # radians, positive = the nose goes right
    centre: tuple[float, float]  # pixels


class Easel:
    """A colour image at twice the final size and a label map at the final size.

    `fill`, `line` and `spot` only note what is to be drawn; `paint` draws it all in that order. So the thousands
    of points of a face are placed in a few array operations.
    """

    def __init__(self, size, pose: Pose):
        self.height, self.width = size
        self.pose = pose
        self.image = Image.new("RGB", (2 * self.width, 2 * self.height))
        self.labels = Image.new("L", (self.width, self.height), BACKGROUND)
        self._jobs = []

    def place(self, points, on="head"):
        """Face units -> pixels of the final image. `on` is "head" (turned by the yaw), "body" or "page"."""
        points = np.asarray(points, float)
        if on == "page":
            return points
        if on == "body":
            return points @ _rotation(0.3 * self.pose.angle).T * self.pose.scale + self.pose.centre
        return _turn(points, self.pose.yaw) @ _rotation(self.pose.angle).T * self.pose.scale + self.pose.centre

    def fill(self, points, colour, alpha=1.0, label=None, on="head"):
        """Fill a polygon; with `label`, its pixels get that label too."""
        self._jobs.append((points, on, colour, alpha, label))

    def line(self, points, colour, width, alpha=1.0, taper=True, on="head"):
        """A stroke `width` wide along a curve (n, 2), or along each of a stack (k, n, 2); `taper` thins its ends."""
        points = np.asarray(points, float)
        half = normals(points) * (_taper(points.shape[-2]) * width / 2 if taper else width / 2)
        band = np.concatenate([points + half, (points - half)[..., ::-1, :]], axis=-2)
        for stroke in band if points.ndim == 3 else [band]:
            self.fill(stroke, colour, alpha, on=on)

    def spot(self, x, y, rx, ry, colour, alpha):
        """A soft round blob of half axes rx, ry on the head."""
        self._jobs.append(([(x, y)], "head", colour, alpha, (rx, ry)))

    def paint(self):
        """Draw everything noted so far."""
        solid, glaze = ImageDraw.Draw(self.image), ImageDraw.Draw(self.image, "RGBA")
        label_pen = ImageDraw.Draw(self.labels)
        counts = [len(job[0]) for job in self._jobs]
        points = np.concatenate([job[0] for job in self._jobs])
        on = np.repeat([job[1] for job in self._jobs], counts)
        for kind in ("head", "body"):
            points[on == kind] = self.place(points[on == kind], kind)
        big, small = (points * 2).ravel().tolist(), (points - 0.25).ravel().tolist()
        stop = 0
        for count, (_, _, colour, alpha, label) in zip(counts, self._jobs, strict=True):
            start, stop = stop, stop + 2 * count
            colour = tuple([min(max(int(c), 0), 255) for c in colour])
            if isinstance(label, tuple):
                self._blob(*big[start:stop], *label, colour, alpha)
                continue
            if alpha < 1:
                glaze.polygon(big[start:stop], (*colour, int(255 * alpha)))
            else:
                solid.polygon(big[start:stop], colour)
            if label is not None:
                label_pen.polygon(small[start:stop], label)
        self._jobs.clear()

    def _blob(self, x, y, rx, ry, colour, alpha):
        w, h = (max(2, int(4 * r * self.pose.scale)) for r in (rx, ry))
        mask = _soft_disc(int(255 * alpha)).resize((w, h), Image.Resampling.BILINEAR)
        self.image.paste(colour, (int(x - w / 2), int(y - h / 2)), mask)


def _rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([(c, -s), (s, c)])


def _turn(points, yaw):
    """Turn points on the front of an ellipsoid (half axes 54, 82, 54) about the vertical axis."""
    x, y = points[:, 0], points[:, 1]
    depth = 54 * np.sqrt(np.clip(1 - (x / 54) ** 2 - (y / 82) ** 2, 0, None))
    return xy(x * np.cos(yaw) + depth * np.sin(yaw), y)


@lru_cache(maxsize=64)
def _soft_disc(strength):
    r = np.hypot(*np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48)))
    return Image.fromarray((strength * np.clip(1 - r**2, 0, 1) ** 1.3).astype(np.uint8))


# What the parts of one face share.


@dataclass
class Look:
    skin: np.ndarray
    hair: np.ndarray
    outline: np.ndarray  # the head, closed, (n, 2)
    neck: float  # half its width
    hair_length: float  # of women: how far down it hangs
    light: float  # +1: light from the right, -1: from the left

    @property
    def shade(self):
        """The colour of skin in shadow."""
        return self.skin * (0.80, 0.70, 0.68)

    @property
    def beard(self):
        """Brows and beards: darker than the hair, and never too close to the skin."""
        return mix(self.hair * 0.62, (20, 16, 18), 0.25)

    def edge(self, y):
        """Half the width of the head at height y."""
        right = self.outline[self.outline[:, 0] >= 0]
        order = np.argsort(right[:, 1])
        return np.interp(y, right[order, 1], right[order, 0])


def look(has, rng, light) -> Look:
    if has["Pale_Skin"]:
        skin = PALE_SKIN + rng.normal(0, 2, 3)
    else:
        tone = rng.uniform(0, len(SKIN_TONES) - 1.001)
        skin = mix(SKIN_TONES[int(tone)], SKIN_TONES[int(tone) + 1], tone % 1) + rng.normal(0, 3, 3)
    colour = next((name for name in HAIR_COLOURS if name and has[name]), None)
    if has["Bald"]:
        colour = choose(rng, ["Black_Hair", "Brown_Hair", "Gray_Hair"])  # of brows and beard
    hair = choose(rng, HAIR_COLOURS[colour]) + rng.normal(0, 4, 3)

    half = [(0, -76), (24, -71), (43, -52), (51, -22), (50, 2)]
    if has["Chubby"]:
        half += [(57, 22), (55, 42), (36, 61), (14, 68), (0, 69)]
        if has["Male"]:
            half[-4:] = [(57, 42), (42, 60), (22, 68), (0, 68)]
    elif has["Male"]:
        half += [(48, 22), (44, 44), (27, 62), (14, 67), (0, 67)]
    else:
        half += [(46, 20), (36, 42), (19, 60), (8, 66), (0, 67)]
    half = np.array(half, float)
    if has["Oval_Face"]:
        half *= (0.87, 1.06)
    half[:, 0] *= rng.uniform(0.97, 1.03)
    outline = smooth(np.concatenate([half, mirror(half)[-2:0:-1]]), closed=True)
    neck = (25 if has["Male"] else 18) + rng.uniform(-1, 1)
    return Look(skin, np.clip(hair, 5, 250), outline, neck, float(choose(rng, [48, 68, 92])), light)


# The parts, from back to front.


def wall(easel, has, look, rng):
    """Background: a gradient with clutter in front of it, shrunk and enlarged again, so that it is out of focus."""
    w, h = easel.width, easel.height
    hues = [rng.uniform(30, 235, 3) for _ in range(2)]
    ramp = mix(hues[0], hues[1], np.linspace(0, 1, h)[:, None, None]).astype(np.uint8)
    image = Image.fromarray(ramp).resize((w, h), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image, "RGBA")
    kind = choose(rng, ["bubbles", "boxes", "stripes", "shards"])
    base = mix(hues[0], hues[1], 0.5)
    for _ in range(int(rng.integers(4, 16))):
        colour = mix(base, choose(rng, VIVID + DULL) if rng.random() < 0.7 else rng.uniform(0, 255, 3), 0.7)
        fill = (*(int(c) for c in colour), int(rng.uniform(90, 230)))
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        a, b = rng.uniform(0.04, 0.22, 2) * w
        if kind == "bubbles":
            pen.ellipse((x - a, y - a, x + a, y + a), fill)
        elif kind == "boxes":
            pen.rectangle((x - a, y - 2 * b, x + a, y + 2 * b), fill)
        elif kind == "stripes":
            slant = rng.uniform(-0.3, 0.3) * w
            pen.line((x - slant, 0, x + slant, h), fill, max(1, int(a * 0.6)))
        else:
            corners = rng.uniform(-0.3, 0.3, (3, 2)) * w + (x, y)
            pen.polygon(corners.ravel().tolist(), fill)
    image = image.reduce(int(choose(rng, [2, 3, 4]))).resize((w, h), Image.Resampling.BILINEAR)
    easel.image.paste(image.resize(easel.image.size, Image.Resampling.NEAREST))


def body(easel, has, look, rng):
    """Neck, clothes, necktie, necklace: all of them background."""
    n = look.neck
    neck = np.concatenate([
        easel.place([(n, 30)]),
        easel.place([(n, 78), (n + 6, 92), (n + 14, 120), (-n - 14, 120), (-n - 6, 92), (-n, 78)], "body"),
        easel.place([(-n, 30)]),
    ])  # fmt: skip
    easel.fill(neck, mix(look.skin, look.shade, 0.45), on="page", label=BACKGROUND)
    chin = look.outline * (0.92, 1) + (-3 * look.light, 9)
    easel.fill(chin[chin[:, 1] > 20], look.shade, 0.6)

    wide = 112 if has["Male"] else 98
    hem = [(wide, 132), (wide, 240), (-wide, 240), (-wide, 132)]
    shoulder = smooth([(n + 3, 86), (n + 12, 93), (wide * 0.62, 103), (wide * 0.93, 116), (wide, 132)])
    if has["Wearing_Necktie"]:
        suit = np.array(choose(rng, [(44, 52, 78), (52, 52, 56), (92, 78, 66), (36, 66, 72)]), float)
        shirt = np.array(choose(rng, [(246, 246, 248), (206, 224, 244), (250, 238, 214)]), float)
        tie = np.array(choose(rng, VIVID), float)
        easel.fill(np.concatenate([mirror(shoulder)[::-1], shoulder, hem]), shirt, on="body", label=BACKGROUND)
        for side in (-1, 1):
            lapel = [(n + 6, 89), (n + 12, 93), (wide * 0.62, 103), (wide * 0.93, 116), (wide, 132), (wide, 240), (8, 240)]
            easel.fill(mirror(lapel, side), suit, on="body")
            collar = [(n + 1, 81), (n + 9, 92), (14, 108), (1, 97)]
            easel.fill(mirror(collar, side), shirt * 0.93, on="body")
            easel.line(mirror([(n + 9, 92), (14, 108), (1, 97)], side), shirt * 0.7, 1.2, on="body")
        easel.fill([(-9, 95), (9, 95), (6, 106), (17, 240), (-17, 240), (-6, 106)], tie, on="body")
        for y in range(112, 170, 12):
            easel.fill([(-7, y + 5), (9, y - 1), (10, y + 4), (-8, y + 10)], mix(tie, (255, 255, 255), 0.6), on="body")
        easel.fill([(-9, 95), (9, 95), (6, 106), (-6, 106)], tie * 0.8, on="body")
        return

    cloth = np.array(choose(rng, VIVID + DULL), float) + rng.normal(0, 8, 3)
    depth = 112 if has["Wearing_Necklace"] else float(choose(rng, [98, 104, 116]))
    pointed = rng.random() < 0.4
    neckline = [(n + 3, 86), (0, depth), (-n - 3, 86)]
    if not pointed:
        neckline = smooth([(n + 3, 86), (n * 0.75, depth - 7), (0, depth), (-n * 0.75, depth - 7), (-n - 3, 86)])
    cut = np.concatenate([mirror(shoulder)[::-1], np.asarray(neckline)[::-1], shoulder, hem])
    easel.fill(cut, cloth, on="body", label=None)
    easel.line(neckline, cloth * 0.75, 3, taper=False, on="body")
    if has["Wearing_Necklace"]:
        bead = np.array(choose(rng, [(250, 246, 238), (240, 190, 60), (200, 40, 60), (40, 110, 190)]), float)
        chain = resample(smooth([(-n - 1, 83), (-n * 0.7, 93), (0, 99), (n * 0.7, 93), (n + 1, 83)]), 11)
        for x, y in chain:
            easel.fill(oval(x, y, 3.6, 3.6, 12), bead * 0.55, on="body")
            easel.fill(oval(x, y, 2.9, 2.9, 12), bead, on="body")


def ears(easel, has, look, rng):
    for side in (-1, 1):
        x = side * (look.edge(4) + 3)
        easel.fill(oval(x, 4, 8, 14), mix(look.skin, look.shade, 0.25), label=BACKGROUND)
        easel.line(smooth([(x, -5), (x + 4 * side, 0), (x + 2 * side, 9)]), look.shade * 0.9, 2.4)


def head(easel, has, look, rng):
    """Face skin and what is written on it: shading, cheeks, wrinkles, double chin."""
    skin, shade = look.skin, look.shade
    if has["Double_Chin"]:
        roll = both_sides(smooth([(0, 84), (20, 80), (33, 66), (38, 48)])[::-1])[::-1]
        roll = np.concatenate([mirror(smooth([(40, 46), (36, 66), (20, 81), (0, 84)])), smooth([(0, 84), (20, 81), (36, 66), (40, 46)])])
        easel.fill(roll, mix(skin, shade, 0.3), label=SKIN)
    easel.fill(look.outline, skin, label=SKIN)
    if has["Double_Chin"]:
        easel.line(smooth([(-30, 60), (-16, 68), (0, 70), (16, 68), (30, 60)]), shade * 0.8, 3.4)

    # The side away from the light lies in shadow; the forehead catches some light.
    inner = look.outline * (0.80, 0.97) + (7 * look.light, -1)
    dark = np.sign(look.outline[:, 0]) == -look.light
    if dark.any():
        order = np.argsort(look.outline[dark][:, 1])
        crescent = np.concatenate([look.outline[dark][order], inner[dark][order][::-1]])
        easel.fill(crescent, shade, 0.35)
    easel.spot(16 * look.light, -46, 22, 16, (255, 255, 255), 0.25)
    if has["Bald"]:
        easel.spot(20 * look.light, -62, 15, 9, (255, 255, 255), 0.75)

    for side in (-1, 1):
        if has["High_Cheekbones"]:
            hollow = [(look.edge(10) - 1, 10), (34, 22), (21, 32), (27, 38), (look.edge(30) - 1, 28)]
            easel.fill(mirror(hollow, side), shade * 0.9, 0.5)
            easel.spot(35 * side, 10, 11, 6, (255, 250, 240), 0.7)
        if has["Rosy_Cheeks"]:
            easel.spot(32 * side, 19, 15, 12, (240, 66, 88), 0.7)
    if not has["Young"]:
        crease = shade * 0.72
        for y in (-50, -43):
            easel.line(smooth([(-20, y + 1), (-10, y - 1), (0, y + 1), (10, y - 1), (20, y + 1)]), crease, 2.2, 0.8)
        for side in (-1, 1):
            easel.line(mirror(smooth([(13, 21), (21, 28), (28, 44)]), side), crease, 3.0, 0.9)
            for lift in (-7, 0, 7):
                easel.line(mirror([(38, -4 + lift * 0.4), (42, -4 + lift * 0.8), (46, -4 + lift * 1.3)], side), crease, 2.0, 0.9)


def beard(easel, has, look, rng):
    """Stubble, mustache, goatee: on face skin. (Sideburns are hair.)"""
    if has["5_o_Clock_Shadow"]:
        jaw = look.outline[look.outline[:, 1] > 8]
        jaw = jaw[np.argsort(np.arctan2(jaw[:, 0], jaw[:, 1]))]
        tint = mix(look.skin * 0.35, (52, 58, 76), 0.6)
        for inset, alpha in ((0, 0.28), (5, 0.3)):
            cheek = smooth([(look.edge(12) - 2, 12), (36, 24), (24, 27), (10, 25), (0, 26)])
            cheek = np.concatenate([cheek, mirror(cheek)[-2::-1]]) + (0, inset)
            easel.fill(np.concatenate([jaw, cheek]), tint, alpha)
    if has["Mustache"]:
        half = smooth([(0, 25), (9, 24), (20, 29), (28, 37), (19, 37), (10, 36), (0, 34)])
        easel.fill(np.concatenate([half, mirror(half)[::-1]]), look.beard, label=SKIN)
        for side in (-1, 1):
            easel.line(mirror(smooth([(3, 27), (13, 29), (24, 35)]), side), mix(look.beard, (255, 240, 230), 0.25), 1.6)
    if has["Goatee"]:
        half = smooth([(0, 52), (11, 50), (19, 56), (17, 68), (8, 77), (0, 79)])
        easel.fill(np.concatenate([half, mirror(half)[::-1]]), look.beard, label=SKIN)
        for x in (-9, -3, 3, 9):
            easel.line(smooth([(x, 58), (x * 0.9, 66), (x * 0.6, 75)]), mix(look.beard, (255, 240, 230), 0.25), 1.6)


def mouth(easel, has, look, rng):
    width = 25 if has["Smiling"] else 19
    lift = 11 if has["Smiling"] else -rng.uniform(1, 3)
    gap = 11 if has["Mouth_Slightly_Open"] else 0
    upper, lower = (9.5, 12) if has["Big_Lips"] else (5, 6)
    y0 = 44 if has["Smiling"] else 42

    x = np.linspace(-1, 1, 25)
    arch = 1 - x**2
    line = y0 - lift * x**2
    top, bottom = line - gap * 0.3 * arch, line + gap * 0.7 * arch
    bow = 1 - 0.28 * np.exp(-((x / 0.16) ** 2))  # Cupid's bow
    outer_top, outer_bottom = top - upper * arch**0.6 * bow, bottom + lower * arch**0.7

    def between(a, b):
        return np.concatenate([xy(x * width, a), xy(x * width, b)[::-1]])

    if has["Wearing_Lipstick"]:
        lips = np.array(choose(rng, [(206, 16, 52), (222, 30, 100), (164, 12, 60), (236, 50, 40)]), float)
    else:
        lips = mix(look.skin * (0.84, 0.68, 0.66), (168, 100, 92), 0.3)
    if gap:
        easel.fill(between(top, bottom), (74, 18, 26), label=INNER_MOUTH)
        teeth = np.minimum(top + gap * 0.42 * arch, bottom)
        easel.fill(between(top, teeth), (250, 248, 240))
        tongue = np.maximum(bottom - gap * 0.3 * np.clip(1 - (x / 0.6) ** 2, 0, 1), teeth)
        easel.fill(between(tongue, bottom), (206, 88, 92))
    easel.fill(between(outer_top, top), lips * 0.88, label=UPPER_LIP)
    easel.fill(between(bottom, outer_bottom), lips, label=LOWER_LIP)
    easel.fill(between(bottom + lower * 0.3 * arch, bottom + lower * 0.55 * arch)[6:-6], mix(lips, (255, 255, 255), 0.4), 0.6)
    if not gap:
        easel.line(xy(x * width, line), lips * 0.45, 2.2)
    if has["Smiling"]:
        for side in (-1, 1):
            corner = np.array((width + 1.5, y0 - lift))
            easel.line(mirror(smooth(corner + [(0, -4), (2.5, 0), (0, 4.5)]), side), look.shade * 0.8, 2.2)
    easel.line(smooth([(-7, y0 + gap * 0.7 + lower + 5), (0, y0 + gap * 0.7 + lower + 6.5), (7, y0 + gap * 0.7 + lower + 5)]), look.shade, 2, 0.5)
    return [(-width, y0 - lift), (width, y0 - lift)]


def nose(easel, has, look, rng):
    skin, shade = look.skin, look.shade
    if has["Big_Nose"]:
        half, tip = [(0, -8), (5, -6), (6, 4), (13, 13), (18, 20), (13, 27), (5, 28), (0, 29)], 22
    elif has["Pointy_Nose"]:
        half, tip = [(0, -8), (4, -6), (5, 6), (8, 14), (9, 18), (4, 26), (0, 31)], 24
    else:
        half, tip = [(0, -8), (4, -6), (5, 5), (9, 13), (11, 19), (7, 23), (0, 24)], 18
    half = np.array(half, float) if has["Pointy_Nose"] else smooth(half, steps=4)
    easel.fill(np.concatenate([half, mirror(half)[::-1]]), mix(skin, shade, 0.22), label=NOSE)
    dark = mirror(half, -look.light)
    easel.fill(np.concatenate([dark, dark[::-1] * (0.35, 1)]), shade, 0.75)
    easel.line(xy(np.full(6, 1.5 * look.light), np.linspace(-4, tip - 6, 6)), (255, 255, 255), 3.2, 0.35)
    easel.spot(2 * look.light, tip - 3, 4.5, 4, (255, 255, 255), 0.5)
    nostril, width = (9.5, 3.6) if has["Big_Nose"] else (4, 1.8) if has["Pointy_Nose"] else (5.5, 2.4)
    for side in (-1, 1):
        easel.fill(oval(nostril * side, tip + (3 if has["Big_Nose"] else 1.5), width, width * 0.6, 12), shade * 0.5)
    return [(0, tip - 1)]


def eyes(easel, has, look, rng):
    """Eyeballs, lids, make-up and bags. Only what shows of the eyeball is labelled eye."""
    up, down = (4.4, 3.4) if has["Narrow_Eyes"] else (9.0, 6.6)
    half = 13.0 if has["Narrow_Eyes"] else 12.5
    iris = choose(rng, IRIS_COLOURS) + rng.normal(0, 6, 3)
    gaze = rng.uniform(-2.5, 2.5)
    tilt = rng.uniform(-1.5, 1.5)
    shadow = np.array(choose(rng, [(58, 90, 196), (128, 52, 160), (28, 138, 128), (176, 40, 120)]), float)
    centres = []
    x = np.linspace(-1, 1, 21)
    for side, label in ((-1, LEFT_EYE), (1, RIGHT_EYE)):
        cx, cy = 23.0 * side, -4.0
        rise = -tilt * x * side  # the outer corner a little higher or lower
        top, bottom = cy + rise - up * (1 - x**2) ** 0.7, cy + rise + down * (1 - x**2) ** 0.7
        xs = cx + x * half
        if has["Heavy_Makeup"]:
            lid = cy + rise - (up + 7.5) * (1 - (0.96 * x) ** 2) ** 0.6
            easel.fill(np.concatenate([xy(cx + x * half * 1.12, lid), xy(xs, top + 2)[::-1]]), shadow, 0.85)
        else:
            easel.line(xy(xs, top - 3.4), look.shade * 0.85, 1.8, 0.7)
        if has["Bags_Under_Eyes"]:
            sag = bottom + 8.5 * (1 - x**2) ** 0.6
            easel.fill(np.concatenate([xy(xs, bottom), xy(xs, sag)[::-1]]), look.shade * (0.72, 0.66, 0.86), 0.7)
            easel.line(xy(xs, sag), look.shade * 0.55, 2.0, 0.8)

        def clip(points, xs=xs, top=top, bottom=bottom):
            """Keep a shape inside the lids."""
            px = np.clip(points[:, 0], xs[0], xs[-1])
            return xy(px, np.clip(points[:, 1], np.interp(px, xs, top), np.interp(px, xs, bottom)))

        ball = np.concatenate([xy(xs, top), xy(xs, bottom)[::-1]])
        easel.fill(ball, (250, 250, 248), label=label)
        easel.fill(clip(oval(cx + gaze, cy, 6.9, 6.9)), iris * 0.6)
        easel.fill(clip(oval(cx + gaze, cy, 5.9, 5.9)), iris)
        easel.fill(clip(oval(cx + gaze, cy, 3.2, 3.2, 16)), (18, 16, 20))
        easel.fill(clip(oval(cx + gaze + 2.4 * look.light, cy - 2.2, 1.9, 1.7, 12)), (255, 255, 255))
        easel.fill(np.concatenate([xy(xs, top), xy(xs, top + 1.6)[::-1]]), (90, 80, 100), 0.35)
        ink = (30, 20, 24)
        thick = 4.2 if has["Heavy_Makeup"] else 2.6
        easel.line(xy(xs, top - 0.4), ink, thick)
        if has["Heavy_Makeup"]:
            easel.line(xy(xs, bottom), ink, 2.0)
        if has["Heavy_Makeup"] or not has["Male"]:
            reach = 7.5 if has["Heavy_Makeup"] else 4.5
            for t in (0.35, 0.62, 0.88):
                px = cx + side * t * half
                py = np.interp(px, xs, top)
                easel.line([(px, py), (px + side * reach * 0.4, py - reach * 0.7), (px + side * reach * 0.8, py - reach)], ink, 2.2)
        centres.append((cx, cy))
    return centres


def brows(easel, has, look, rng):
    thick = 11.5 if has["Bushy_Eyebrows"] else 6.5
    x = np.linspace(-1, 1, 17)
    for side, label in ((-1, LEFT_BROW), (1, RIGHT_BROW)):
        outward = x * side
        if has["Arched_Eyebrows"]:
            middle = -20.5 - 10 * (1 - ((outward - 0.25) / 1.25) ** 2) + 1.0 * outward
        else:
            middle = -22.5 - 0.8 * (1 - x**2)
        body = np.clip(1.05 - 0.55 * np.clip(outward, 0, 1) ** 1.5, 0, 1) * np.minimum(1, (1 - x**2) * 4 + 0.45)
        xs = 24.0 * side + x * 15
        top, bottom = middle - thick / 2 * body, middle + thick / 2 * body
        if has["Bushy_Eyebrows"]:  # a ragged upper edge
            top = top - 1.6 * (np.arange(17) % 2)
        easel.fill(np.concatenate([xy(xs, top), xy(xs, bottom)[::-1]]), look.beard, label=label)
        if has["Bushy_Eyebrows"]:
            for k in range(2, 15, 3):
                hairs = [(xs[k], bottom[k] - 1), (xs[k] + side * 1.6, middle[k]), (xs[k] + side * 4, top[k] + 1)]
                easel.line(hairs, mix(look.beard, (255, 240, 230), 0.25), 1.5)


def glasses(easel, has, look, rng):
    frame = np.array(choose(rng, [(24, 24, 28), (24, 24, 28), (170, 30, 40), (40, 70, 150), (150, 104, 30)]), float)
    square = rng.random() < 0.5
    if not has["Eyeglasses"]:
        return
    for side in (-1, 1):
        cx, cy, rx, ry = 23.5 * side, -2, 18.5, 15.5
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        power = 0.55 if square else 1.0
        rim = xy(np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power, np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power)
        easel.fill(rim * (rx, ry) + (cx, cy), (215, 235, 255), 0.10)
        glare = [(cx - 9, cy - 9), (cx - 4, cy - 11), (cx - 11, cy + 6), (cx - 14, cy + 2)]
        easel.fill(glare, (255, 255, 255), 0.4)
        ring = rim * (rx, ry) + (cx, cy)
        inner = rim * (rx - 3.2, ry - 3.2) + (cx, cy)
        easel.fill(np.concatenate([ring, ring[:1], inner[:1], inner[::-1]]), frame)
        easel.line(mirror([(41, -6), (46, -7), (look.edge(-6) + 1, -8)], side), frame, 3.4, taper=False)
    easel.line(smooth([(-6, -4), (0, -7), (6, -4)]), frame, 3.4, taper=False)


# Hair is made of locks: strips between an outer and an inner edge, with strands running along or across.


def _lock(easel, look, outer, inner, wavy, rng, across=False, count=4):
    n = 120 if across else 40
    colour = look.hair
    edges = np.concatenate([outer, inner[::-1]])
    easel.fill(edges, colour, label=HAIR)
    a, b = resample(outer, n), resample(inner, n)
    light, dark = mix(colour, (255, 244, 225), 0.30), mix(colour, (0, 0, 0), 0.30)
    phase = rng.uniform(0, 6)
    f = (np.arange(count) + 0.7 + rng.uniform(-0.15, 0.15, count)) / (count + 0.4)  # where each strand starts
    if across:  # from the outer edge to the inner one
        t = np.linspace(0.06, 0.9, 9)
        at = f[:, None] + (0.02 * np.sin(9 * t + phase) if wavy else 0 * t)
        index = np.clip(np.rint(at * n), 0, n - 1).astype(int)
        strands = a[index] * (1 - t[:, None]) + b[index] * t[:, None]
    else:  # between the two edges
        u = np.arange(2, n - 1)
        at = f[:, None] + (0.11 * np.sin(0.75 * u + phase + np.arange(count)[:, None]) if wavy else 0 * u)
        at = np.clip(at, 0.04, 0.96)[:, :, None]
        strands = a[u] * (1 - at) + b[u] * at
    easel.line(strands[::2], light, 2.4 if wavy else 2.0, 0.9)
    easel.line(strands[1::2], dark, 2.4 if wavy else 2.0, 0.9)


def _side(points, side):
    return smooth(mirror(points, side), steps=5)


def back_hair(easel, has, look, rng):
    """Long hair behind the neck and shoulders."""
    if has["Bald"] or has["Male"]:
        return
    length = look.hair_length
    half = smooth([(0, -84), (34, -76), (52, -44), (57, 0), (58, length * 0.6), (52, length - 3), (28, length + 4), (0, length + 2)])
    if has["Wavy_Hair"]:
        half = ruffle(half, 4, 14)
    shape = np.concatenate([half, mirror(half)[::-1]])
    easel.fill(shape, look.hair * 0.72, label=HAIR)


def hair(easel, has, look, rng):
    """The hair in front: a cap between crown and hairline, locks at the sides, bangs, sideburns."""
    length = look.hair_length
    volume = rng.uniform(0, 5)
    part = rng.uniform(-18, 18)
    wavy = has["Wavy_Hair"]
    if has["Sideburns"]:
        for side in (-1, 1):
            e0, e1 = look.edge(-22), look.edge(28)
            burn = [(e0, -30), (e0 - 9, -30), (e0 - 9, 0), (e1 - 11, 24), (e1 - 8, 31), (e1 - 1, 29), (look.edge(5), 5)]
            easel.fill(mirror(burn, side), look.hair, label=HAIR)
            easel.line(mirror([(e0 - 4, -25), (e0 - 4, 0), (e1 - 6, 26)], side), mix(look.hair, (255, 244, 225), 0.3), 1.8, 0.8)
    if has["Bald"]:
        return
    stretch, tight = ((0.93, 1.05), (0.88, 1.06)) if has["Oval_Face"] else ((1, 1), (1, 1))
    ear = 12 if has["Wearing_Hat"] or not has["Male"] else -8
    puff = volume + (7 if has["Wearing_Hat"] else 0)
    outer_half = [(0, -88 - volume), (24, -84 - volume), (44 + volume, -66), (54 + puff, -36), (52 + puff, ear)]
    outer = smooth(both_sides(np.array(outer_half) * stretch))
    if wavy:
        outer = ruffle(outer, 6.5, 15)
    if has["Receding_Hairline"]:
        line = [(0, -53), (8, -57), (17, -69), (31, -62), (40, -45), (44, -28), (46, ear)]
        inner = smooth(both_sides(np.array(line) * tight))
    else:
        line = np.array([(-46, ear), (-44, -24), (-40, -42), (-24, -54), (part, -63), (24, -54), (40, -42), (44, -24), (46, ear)], float)
        inner = smooth(line * tight)
    _lock(easel, look, outer, inner, wavy, rng, count=4)
    # Where the hair parts
    if not has["Receding_Hairline"] and not has["Bangs"]:
        easel.line(smooth([(part, -62), (part * 0.8, -74), (part * 0.5, -86)]), look.hair * 0.55, 2.6)

    if not has["Male"]:
        for side in (-1, 1):
            w = 58 + volume
            lock_outer = _side([(46, -62), (w - 2, -30), (w, 0), (w + 2, length * 0.6), (w - 4, length)], side)
            lock_inner = _side([(36, -50), (44, -26), (46, 0), (46, length * 0.6), (42, length + 3)], side)
            if wavy:
                lock_outer, lock_inner = ruffle(lock_outer, 5 * -side, 14), ruffle(lock_inner, 2.5 * side, 12)
            _lock(easel, look, lock_outer, lock_inner, wavy, rng, count=3)
    if has["Bangs"]:
        top = smooth([(-45, -42), (-30, -66), (0, -74), (30, -66), (45, -42)])
        x = np.linspace(-46, 46, 31)
        y = -36.5 - 5 * (x / 46) ** 2
        if wavy:
            y = y + 3.5 * np.abs(np.sin(x / 46 * np.pi * 2.5)) - 2
        else:
            y = y - 3.5 * (np.arange(31) % 5 == 0)
        _lock(easel, look, top, xy(x, y), wavy, rng, across=True, count=9)


def hat(easel, has, look, rng):
    kind = choose(rng, ["beanie", "cap", "fedora"])
    colour = np.array(choose(rng, VIVID + DULL[:5]), float) + rng.normal(0, 8, 3)
    band = np.array(choose(rng, VIVID + [(245, 240, 230)]), float)
    if not has["Wearing_Hat"]:
        return
    wide = 62.0
    crown = both_sides(smooth([(0, -108), (30, -104), (52, -82), (wide, -46)]))
    if kind == "fedora":
        crown = both_sides(smooth([(0, -104), (14, -110), (38, -106), (46, -84), (52, -50)]))
    easel.fill(crown, colour, label=BACKGROUND)
    easel.fill(np.concatenate([crown, crown[::-1] * (0.6, 1) + (16 * look.light, 0)])[: len(crown)], colour)
    dark, light = colour * 0.72, mix(colour, (255, 255, 255), 0.25)
    if kind == "beanie":
        for x in range(-45, 46, 15):
            easel.line(smooth([(x, -60), (x * 0.85, -86), (x * 0.35, -106)]), dark, 2.4, 0.8)
        cuff = np.concatenate([smooth([(-wide - 2, -58), (0, -66), (wide + 2, -58)]), smooth([(wide + 2, -40), (0, -46), (-wide - 2, -40)])])
        easel.fill(cuff, band, label=BACKGROUND)
        for x in range(-54, 55, 9):
            easel.line([(x, -61), (x, -52), (x, -44)], band * 0.75, 2, 0.8)
        easel.fill(oval(0, -108, 12, 12), mix(band, (255, 255, 255), 0.3), label=BACKGROUND)
    elif kind == "cap":
        easel.line(smooth([(0, -107), (-3, -80), (0, -56)]), dark, 2)
        for side in (-1, 1):
            easel.line(mirror(smooth([(2, -107), (26, -84), (34, -54)]), side), dark, 2)
        easel.fill(oval(0, -78, 13, 11), band, label=None)
        visor = np.concatenate([smooth([(-58, -50), (0, -62), (58, -50)]), smooth([(66, -40), (34, -44), (0, -45), (-34, -44), (-66, -40)])])
        easel.fill(visor, dark, label=BACKGROUND)
        easel.line(smooth([(-56, -47), (0, -57), (56, -47)]), light, 2, 0.7)
    else:
        easel.fill(np.concatenate([smooth([(-53, -64), (0, -70), (53, -64)]), smooth([(55, -48), (0, -52), (-55, -48)])]), band)
        brim = np.concatenate([smooth([(-84, -42), (-50, -54), (0, -58), (50, -54), (84, -42)]), smooth([(76, -38), (40, -43), (0, -45), (-40, -43), (-76, -38)])])
        easel.fill(brim, dark, label=BACKGROUND)
        easel.line(smooth([(-80, -43), (-46, -51), (0, -54), (46, -51), (80, -43)]), light, 2, 0.6)


def earrings(easel, has, look, rng):
    metal = np.array(choose(rng, [(246, 196, 50), (240, 244, 250), (40, 190, 190), (226, 40, 80)]), float)
    hoop = rng.random() < 0.5
    if not has["Wearing_Earrings"]:
        return
    for side in (-1, 1):
        x = side * (look.edge(14) + 5)
        if hoop:
            ring, hole = oval(x, 30, 9, 11), oval(x, 30, 5, 7)
            easel.line(np.concatenate([ring, ring[:2]]), metal * 0.4, 1.6, taper=False)
            rim = np.concatenate([ring, ring[:1], hole[:1], hole[::-1]])
            easel.fill(rim, metal, label=BACKGROUND)
        else:
            easel.fill(oval(x, 20, 4, 4, 14), metal * 0.6, label=BACKGROUND)
            drop = smooth([(x, 22), (x + 6.5, 36), (x, 43), (x - 6.5, 36)], closed=True)
            easel.fill(drop, metal, label=BACKGROUND)
            easel.line(np.concatenate([drop, drop[:2]]), metal * 0.5, 1.6, taper=False)
            easel.spot(x - 1, 34, 3, 4, (255, 255, 255), 0.8)
