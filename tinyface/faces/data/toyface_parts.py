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

# Helen's ids. A part without an id of its own (ear, neck, cloth, hat, jewel) is background.
BACKGROUND, SKIN, LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE = range(6)
NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP, HAIR = range(6, 11)

# Caricature: skin, hair, cloth and wall keep to colours of their own, which can be told apart at a glance.
SKIN_TONES = [(244, 192, 150), (228, 172, 130), (206, 146, 106), (182, 122, 86), (160, 104, 74)]
PALE_SKIN = (255, 238, 230)
HAIR_COLOURS = {
    "Black_Hair": [(26, 24, 30)],
    "Blond_Hair": [(244, 206, 66), (250, 220, 96), (232, 192, 52)],
    "Brown_Hair": [(96, 54, 24), (84, 46, 22), (108, 62, 30)],
    "Gray_Hair": [(150, 152, 162), (170, 172, 182), (134, 136, 146)],
    "none of these": [(222, 84, 22), (240, 100, 170), (150, 84, 204)],
}
IRISES = [(98, 62, 34), (60, 116, 190), (70, 140, 80), (60, 44, 36), (96, 116, 140), (150, 104, 50)]
EYE_SHADOWS = [(40, 80, 220), (130, 40, 190), (10, 150, 140), (200, 30, 140)]
LIPSTICKS = [(214, 8, 50), (228, 20, 100), (190, 0, 64), (240, 40, 36)]
SUITS = [(38, 48, 88), (48, 50, 58), (30, 66, 78)]
SHIRTS = [(246, 246, 248), (206, 224, 244)]
JEWELS = [(255, 208, 30), (30, 222, 236)]  # of earrings and necklaces
FRAMES = [(20, 20, 24), (206, 16, 36)]
VIVID = [(30, 96, 200), (20, 150, 84), (60, 54, 190), (0, 156, 170), (196, 24, 72), (112, 178, 30)]
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
        self.image = Image.new("RGB", (2 * self.width, 2 * self.height), None)  # the wall fills it
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
    breadth: float  # of head and hair: 1 is neither chubby nor narrow
    hair_length: float  # a woman's hair ends at this y
    light: float  # 1: from the right, -1: from the left

    @property
    def shade(self):
        """Skin in shadow."""
        return self.skin * (0.80, 0.70, 0.68)

    @property
    def beard(self):
        """Brows and beards: darker than the hair, so that they stand out from any skin."""
        return mix(self.hair * 0.55, INK, 0.4)

    def edge(self, y):
        """Half the width of the head at height y (forehead to mouth)."""
        return np.interp(y, self.jaw[:, 1], self.jaw[:, 0])


def choose_look(has, rng, light) -> Look:
    tone = rng.uniform(0, len(SKIN_TONES) - 1.001)
    skin = mix(SKIN_TONES[int(tone)], SKIN_TONES[int(tone) + 1], tone % 1)
    skin = (PALE_SKIN if has["Pale_Skin"] else skin) + rng.normal(0, 2.5, 3)
    if not has["Young"]:
        skin = mix(skin, (150, 150, 150), 0.2)

    natural = list(HAIR_COLOURS)[:4]
    bald_mans = natural[int(rng.integers(4))]  # for his brows and beard
    name = next((name for name in natural if has[name]), bald_mans if has["Bald"] else "none of these")
    hair = np.clip(choose(rng, HAIR_COLOURS[name]) + rng.normal(0, 4, 3), 5, 250)

    half = [(0, -76), (24, -71), (43, -52), (51, -22), (51, 2)]
    if has["Chubby"]:
        half += [(62, 20), (65, 42), (49, 63), (24, 72), (0, 73)]
    elif has["Male"]:
        half += [(49, 22), (46, 46), (29, 66), (15, 71), (0, 71)]
    else:
        half += [(48, 20), (40, 44), (22, 64), (8, 70), (0, 71)]
    half = np.array(half, float) * ((0.84, 1.08) if has["Oval_Face"] else (1, 1))
    half[:, 0] *= rng.uniform(0.97, 1.03)
    outline = smooth(np.concatenate([half, mirror(half)[-2:0:-1]]), closed=True)
    return Look(
        skin=skin,
        hair=hair,
        jaw=outline[: len(outline) // 2 + 1],
        neck=(25 if has["Male"] else 18) + rng.uniform(-1, 1) + (7 if has["Chubby"] else 0),
        breadth=1.13 if has["Chubby"] else 0.86 if has["Oval_Face"] else 1.0,
        hair_length=float(rng.choice([48, 68, 92])),
        light=light,
    )


# The parts, from back to front.


def wall(easel, rng):
    """A pale gradient between green and blue, a few soft shapes on it."""
    w, h = easel.width // 4 + 1, easel.height // 4 + 1  # drawn small and enlarged: out of focus
    tints = rng.uniform((150, 190, 190), (205, 240, 245), (2, 3))
    ramp = mix(*tints, np.linspace(0, 1, h)[:, None, None]).astype(np.uint8)  # (h, 1, 3)
    image = Image.fromarray(ramp).resize((w, h), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image, "RGBA")
    kind = rng.choice(["bubbles", "boxes", "stripes", "shards"])
    for _ in range(int(rng.integers(2, 8))):
        colour = rng.uniform((120, 180, 180), (215, 250, 255))
        fill = (*colour.astype(int).tolist(), int(rng.uniform(60, 150)))
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        a, b = rng.uniform(0.06, 0.24, 2) * w
        if kind == "bubbles":
            pen.ellipse((x - a, y - a, x + a, y + a), fill)
        elif kind == "boxes":
            pen.rectangle((x - a, y - 2 * b, x + a, y + 2 * b), fill)
        elif kind == "stripes":
            pen.line((x - b, 0, x + a, h), fill, max(2, int(a * 0.6)))
        else:
            pen.polygon((rng.uniform(-0.3, 0.3, (3, 2)) * w + (x, y)).ravel().tolist(), fill)
    image = image.resize((easel.width, easel.height), Image.Resampling.BILINEAR)
    easel.image.paste(image.resize(easel.image.size, Image.Resampling.NEAREST))


def body(easel, has, look, rng):
    """Neck, clothes, necktie."""
    n = look.neck
    collar = [(n, 78), (n + 6, 92), (n + 14, 120), (-n - 14, 120), (-n - 6, 92), (-n, 78)]
    # The neck joins the head, which tilts, to the shoulders, which hardly do.
    neck = np.concatenate([easel.place([(n, 30)]), easel.place(collar, "body"), easel.place([(-n, 30)])])
    easel.fill(neck, mix(look.skin, look.shade, 0.45), label=BACKGROUND, on="page")
    chin = look.jaw[look.jaw[:, 1] > 20] * (0.9, 1)
    easel.fill(whole(chin) + np.array((-3 * look.light, 9)), look.shade, 0.6)

    wide = 112 if has["Male"] else 98
    shoulder = smooth([(n + 3, 86), (n + 12, 93), (wide * 0.62, 103), (wide * 0.93, 116), (wide, 132)])
    shoulder = np.concatenate([shoulder, [(wide, 240)]])
    if has["Wearing_Necktie"]:
        _suit_and_tie(easel, shoulder, n, rng)
        return
    cloth = choose(rng, VIVID) + rng.normal(0, 8, 3)
    depth = 112 if has["Wearing_Necklace"] else float(rng.choice([98, 104, 116]))
    neckline = over([(0, depth), (n + 3, 86)])  # a V, or round
    if rng.random() < 0.6:
        neckline = smooth(over([(0, depth), (n * 0.75, depth - 7), (n + 3, 86)]))
    easel.fill(np.concatenate([neckline, whole(shoulder)]), cloth, label=BACKGROUND, on="body")
    easel.line(neckline, cloth * 0.75, 3, taper=False, on="body")


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


def necklace(easel, has, look, rng):
    if not has["Wearing_Necklace"]:
        return
    bead, n = choose(rng, JEWELS), look.neck
    chain = smooth(over([(0, 101), (n * 0.7, 96), (n + 3, 84)]))
    for x, y in resample(chain, 9):
        easel.fill(oval(x, y, 6.5, 6.5, 14), bead * 0.4, label=BACKGROUND, on="body")
        easel.fill(oval(x, y, 5.3, 5.3, 14), bead, on="body")
        easel.fill(oval(x - 1.5, y - 2, 1.8, 1.8, 8), WHITE, on="body")


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
    wide, chin = look.breadth, look.jaw[-1, 1]
    if has["Double_Chin"]:
        roll = smooth(np.array([(44, 44), (45, chin - 6), (28, chin + 16), (0, chin + 20)]) * (wide, 1))
        easel.fill(whole(roll), mix(skin, shade, 0.5), label=SKIN)
    easel.fill(whole(look.jaw), skin, label=SKIN)
    if has["Double_Chin"]:
        crease = np.array([(0, chin + 2), (18, chin - 1), (38, chin - 18)]) * (wide, 1)
        easel.line(smooth(over(crease)), shade * 0.55, 6.5)

    dark = mirror(look.jaw, -look.light)
    easel.fill(np.concatenate([dark, (dark * (0.8, 0.98))[::-1]]), shade, 0.3)
    if has["Bald"]:
        easel.spot(20 * look.light, -60, 18, 11, WHITE, 0.8)

    for side in (-1, 1):
        if has["High_Cheekbones"]:
            edge = look.edge(20) - 1
            hollow = smooth([(edge, 16), (22, 36), (27, 47), (look.edge(38) - 1, 40)])
            easel.fill(mirror(hollow, side), shade * (0.62, 0.55, 0.6), 0.75)
        if has["Rosy_Cheeks"]:
            easel.fill(oval(34 * side, 23, 13, 12), (255, 50, 110), 0.75)
        if has["High_Cheekbones"]:
            easel.fill(oval(40 * side * wide, 10, 10, 7), WHITE, 0.75)
    if not has["Young"]:
        crease = shade * 0.55
        for y in (-55, -48, -41):  # where hat or bangs leave the forehead free
            easel.line(smooth(over([(0, y), (12, y - 3), (27, y + 2)])), crease, 3.4)
        for side in (-1, 1):
            folds = [(14, 20), (27, 27), (35, 42)], [(26, 52), (30, 58), (26, 66)]
            for fold in folds:
                easel.line(mirror(smooth(fold), side), crease, 4.4)
            feet = np.array([(37, -2), (42, -2), (48, -2)]) * (wide, 1)
            for y in (-6, 0, 6):
                easel.line(mirror(feet + xy(np.zeros(3), np.array([0, y / 2, y])), side), crease, 2.8)


def beard(easel, has, look):
    """Stubble, mustache, goatee: on face skin. (Sideburns are hair.)"""
    strand = mix(look.beard, CREAM, 0.2)
    if has["5_o_Clock_Shadow"]:
        jaw = look.jaw[look.jaw[:, 1] > 8]
        tint = mix(look.skin * 0.3, (44, 56, 84), 0.6)
        for inset in (0, 5):  # two coats: a soft upper edge
            cheek = np.array([(0, 26), (10, 25), (24, 28), (36, 27), (look.edge(14) - 2, 14)])
            cheek = smooth(cheek + np.array((0, inset)))
            easel.fill(np.concatenate([over(cheek), whole(jaw)]), tint, 0.34)
    if has["Mustache"]:
        half = smooth([(0, 25), (12, 22), (26, 27), (39, 36), (30, 42), (12, 42), (0, 40)])
        easel.fill(whole(half), look.beard, label=SKIN)
        for side in (-1, 1):
            easel.line(mirror(smooth([(8, 27), (20, 30), (32, 36)]), side), strand, 2)
    if has["Goatee"]:
        chin = look.jaw[-1, 1]
        half = smooth([(0, 52), (14, 52), (25, 50), (25, 66), (13, chin + 11), (0, chin + 15)])
        easel.fill(whole(half), look.beard, label=SKIN)
        for x in (-8, 0, 8):
            easel.line([(x, 68), (x * 0.9, 74), (x * 0.7, chin + 9)], strand, 2)


def mouth(easel, has, look, rng):
    """Lips, teeth, tongue. Returns the mouth's two corners, left first.

    A smile shows the teeth, an open mouth the dark behind them.
    """
    droop, lipstick = rng.uniform(3, 5), choose(rng, LIPSTICKS)
    smiling, is_open = has["Smiling"], has["Mouth_Slightly_Open"]
    width, lift, y = (31, 13, 45) if smiling else (22, -droop, 45)
    if has["Oval_Face"]:
        width *= 0.88
    white = 8 if smiling else 0  # the height of the teeth
    gap = (21 if smiling else 17) if is_open else white
    upper, lower = (13, 15) if has["Big_Lips"] else (5, 6)
    lips = lipstick if has["Wearing_Lipstick"] else mix(look.skin * (0.78, 0.6, 0.56), (160, 84, 76), 0.4)

    t = np.linspace(-1, 1, 25)
    x, arch = t * width, 1 - t**2
    line = y - lift * t**2
    top, bottom = line - 0.35 * gap * arch, line + 0.65 * gap * arch
    bow = 1 - 0.28 * np.exp(-((t / 0.16) ** 2))  # Cupid's bow
    if gap:
        teeth = top + white * arch**0.6
        easel.fill(between(x, top, bottom), (92, 0, 16), label=INNER_MOUTH)
        if is_open:
            tongue = np.maximum(bottom - 0.3 * gap * np.clip(1 - (t / 0.6) ** 2, 0, 1), top)
            easel.fill(between(x, tongue, bottom), (214, 70, 84))
        if smiling:
            easel.fill(between(x, top, np.minimum(teeth, bottom)), (255, 255, 252))
    easel.fill(between(x, top - upper * arch**0.6 * bow, top), lips * 0.88, label=UPPER_LIP)
    easel.fill(between(x, bottom, bottom + lower * arch**0.7), lips, label=LOWER_LIP)
    if has["Big_Lips"]:
        shine = between(x, bottom + 0.25 * lower * arch, bottom + 0.6 * lower * arch)
        easel.fill(shine, mix(lips, (255, 190, 220), 0.85))
    if not gap:
        easel.line(xy(x, line), lips * 0.4, 3)
    if smiling:
        for side in (-1, 1):
            dimple = smooth([(1.5, -5), (4.5, 0), (1.5, 5)]) + np.array((width, y - lift))
            easel.line(mirror(dimple, side), look.shade * 0.7, 2.6)
    return [(-width, y - lift), (width, y - lift)]


def eyes(easel, has, look, rng):
    """Eyeballs (what shows of them is labelled eye), lids, lashes, make-up, bags. Returns the two centres."""
    iris, shadow = choose(rng, IRISES) + rng.normal(0, 6, 3), choose(rng, EYE_SHADOWS)
    gaze, tilt = rng.uniform(-2.5, 2.5), rng.uniform(-1.5, 1.5)
    wide_up, half = 13.0, 16.0
    up, down = (3.6, 4.4) if has["Narrow_Eyes"] else (wide_up, 9.0)
    makeup = has["Heavy_Makeup"]
    t = np.linspace(-1, 1, 21)
    arch = (1 - t**2) ** 0.6
    for side, label in ((-1, LEFT_EYE), (1, RIGHT_EYE)):
        cx, cy = 24.0 * side, -4.0
        x, middle = cx + half * t, cy - tilt * t * side  # the outer corner a little higher or lower
        top, bottom = middle - up * arch, middle + down * arch
        if makeup:
            lid = middle - (wide_up + 9) * (1 - (0.96 * t) ** 2) ** 0.5
            easel.fill(np.concatenate([xy(cx + 1.15 * half * t, lid), xy(x, top + 2)[::-1]]), shadow)
        elif has["Narrow_Eyes"]:
            easel.fill(between(x, middle - wide_up * arch, top + 1), look.shade * 0.72)
        if has["Bags_Under_Eyes"]:
            sag = np.maximum(bottom, cy + 7 * arch) + 12.5 * (1 - t**2) ** 0.5
            easel.fill(between(x, bottom, sag), mix(look.skin * 0.5, (104, 40, 150), 0.6), 0.85)

        easel.fill(between(x, top, bottom), WHITE, label=label)
        glint = (cx + gaze + 3 * look.light, cy - 3)
        discs = (
            (iris * 0.5, 8.8, (cx + gaze, cy)),
            (iris, 7.6, (cx + gaze, cy)),
            (INK, 4.2, (cx + gaze, cy)),
        )
        for colour, radius, centre in (*discs, (WHITE, 2.4, glint)):
            disc = oval(*centre, radius, radius, 20)
            y = np.clip(disc[:, 1], np.interp(disc[:, 0], x, top), np.interp(disc[:, 0], x, bottom))
            easel.fill(xy(disc[:, 0], y), colour)  # the lids cut it off

        easel.line(xy(x, top - 0.8), INK, 5.5 if has["Narrow_Eyes"] or makeup else 3.2)
        if makeup:
            easel.line(xy(x, bottom), INK, 2.6)
        if makeup or not has["Male"]:
            reach = 8.5 if makeup else 5.5
            root = xy(cx + side * half * np.array([0.35, 0.62, 0.88]), top[::side][[13, 16, 19]])
            lash = np.array([(0, 0), (0.4 * side, -0.7), (0.8 * side, -1.0)]) * reach
            easel.line(root[:, None] + lash, INK, 2.8)
    return [(-24.0, -4.0), (24.0, -4.0)]


def nose(easel, has, look):
    """Redder than the skin, with a dark edge. Returns the tip."""
    red, tip, ridge = 0.4, 17, 2.5
    if has["Big_Nose"]:
        half = smooth([(0, -9), (5, -7), (7, 3), (17, 9), (25, 20), (18, 30), (7, 31), (0, 33)], steps=4)
        red, tip, nostril = 0.7, 20, (12, 25.5, 5)
    elif has["Pointy_Nose"]:
        half = np.array([(0, -14), (4, -10), (7, 8), (12, 17), (7, 24), (0, 38)], float)
        tip, ridge, nostril = 30, 7, (6, 20, 1.8)
    else:
        half = smooth([(0, -8), (4, -6), (5, 5), (11, 12), (13, 19), (8, 24), (0, 25)], steps=4)
        nostril = (6, 20, 2.6)
    flesh = mix(look.skin * (0.88, 0.66, 0.62), (226, 66, 60), red - 0.1)
    easel.fill(whole(half), flesh * 0.55, label=NOSE)
    middle = half[:, 1].mean()
    inside = (half - (0, middle)) * (0.8, 0.93) + (0, middle)
    easel.fill(whole(inside), flesh)
    dark = mirror(inside, -look.light)
    easel.fill(np.concatenate([dark, dark[::-1] * (0.4, 1)]), flesh * 0.8)
    glow = xy(np.full(6, 1.2 * look.light), np.linspace(-5, tip - 2, 6))
    easel.line(glow, mix(flesh, WHITE, 0.7), ridge)
    for side in (-1, 1):
        easel.fill(oval(nostril[0] * side, nostril[1], nostril[2], nostril[2] * 0.65, 12), flesh * 0.3)
    return [(0, tip - 1)]


def brows(easel, has, look):
    thick = 17 if has["Bushy_Eyebrows"] else 8.5
    colour = mix(look.beard, (10, 8, 10), 0.75) if has["Bushy_Eyebrows"] else look.beard
    t = np.linspace(-1, 1, 17)  # from the nose outwards
    if has["Arched_Eyebrows"]:
        middle = -23 - 14 * (1 - ((t - 0.2) / 1.2) ** 2) + t
    else:
        middle = -27.5 + 0 * t
    half = thick / 2 * (1.05 - 0.4 * np.clip(t, 0, 1) ** 1.5) * np.minimum(1, 0.45 + 4 * (1 - t**2))
    top, bottom = middle - half, middle + half
    x = 24 + 17 * t
    if has["Bushy_Eyebrows"]:
        top = top - 2 * (np.arange(17) % 2)  # ragged
    for side, label in ((-1, LEFT_BROW), (1, RIGHT_BROW)):
        easel.fill(mirror(between(x, top, bottom), side), colour, label=label)


def glasses(easel, has, look, rng):
    if not has["Eyeglasses"]:
        return
    frame, power = choose(rng, FRAMES), rng.choice([0.55, 1.0])  # 1: round, less: square
    circle = _circle(32)
    rim = np.sign(circle) * np.abs(circle) ** power
    for side in (-1, 1):
        centre = np.array((25.0 * side, -4))
        outer, inner = rim * (22.5, 19) + centre, rim * (17.2, 14) + centre
        easel.fill(np.concatenate([outer, outer[:1], inner[:1], inner[::-1]]), frame)
        easel.line(mirror([(44, -8), (48, -9), (look.edge(-6) + 2, -10)], side), frame, 5, taper=False)
    easel.line(smooth([(-5, -6), (0, -8), (5, -6)]), frame, 5, taper=False)


def back_hair(easel, has, look):
    """Long hair behind neck and shoulders."""
    if has["Bald"] or has["Male"]:
        return
    y = look.hair_length
    half = [(0, -84), (34, -76), (52, -44), (57, 0), (58, y * 0.6), (52, y - 3), (28, y + 4), (0, y + 2)]
    half = smooth(np.array(half) * (look.breadth, 1))
    easel.fill(whole(ruffle(half, 7, 20) if has["Wavy_Hair"] else half), look.hair * 0.72, label=HAIR)


def hair(easel, has, look, rng):
    """The hair in front: sideburns, a cap from the crown to the hairline, locks at the sides, bangs."""
    volume, part = rng.uniform(0, 5), rng.uniform(-18, 18)
    wavy, hat, man, wide = has["Wavy_Hair"], has["Wearing_Hat"], has["Male"], look.breadth
    if has["Sideburns"]:
        top, foot = look.edge(-22), look.edge(40)
        burn = [
            (top, -30),
            (top - 8, -30),
            (top - 8, 0),
            (look.edge(20) - 12, 22),
            (foot - 13 * wide**2, 41),
            (foot - 1, 41),
            (look.edge(20) + 1, 20),
            (look.edge(5), 5),
        ]
        for side in (-1, 1):
            easel.fill(mirror(burn, side), look.hair, label=HAIR)
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
    crown = smooth(over(np.array(crown) * ((0.9, 1.07) if narrow else (1, 1))))
    hairline = smooth(hairline * ((0.86, 1.08) if narrow else (1, 1)))
    _lock(easel, look, ruffle(crown, 9, 22) if wavy else crown, hairline, wavy, rng)

    if not man:
        w, y = 58 + volume, look.hair_length
        outer = smooth(np.array([(46, -62), (w - 2, -30), (w, 0), (w + 2, y * 0.6), (w - 4, y)]) * (wide, 1))
        inner = smooth(np.array([(36, -50), (44, -26), (46, 0), (46, y * 0.6), (42, y + 3)]) * (wide, 1))
        if wavy:
            outer, inner = ruffle(outer, -8, 20), ruffle(inner, 3, 16)
        for side in (-1, 1):
            _lock(easel, look, mirror(outer, side), mirror(inner, side), wavy, rng)
    if has["Bangs"]:
        top = smooth(over([(0, -76), (30, -68), (46, -42)]))
        x = np.linspace(-47, 47, 31)
        fringe = -38 - 4 * (x / 46) ** 2
        fringe += 5 * np.abs(np.sin(x * np.pi * 2.5 / 46)) - 4 if wavy else -5 * (np.arange(31) % 5 == 0)
        _lock(easel, look, top, xy(x, fringe), wavy, rng)


def _lock(easel, look, outer, inner, wavy, rng):
    """Hair between two edges: with dark waves, or smooth with a band of light along it."""
    easel.fill(np.concatenate([outer, inner[::-1]]), look.hair, label=HAIR)
    a, b = resample(outer, 40), resample(inner, 40)
    u, phase = np.arange(2, 39), rng.uniform(0, 6)
    light, dark = mix(look.hair, WHITE, 0.5), look.hair * 0.55

    def along(depth):
        depth = np.broadcast_to(depth, u.shape)[:, None]
        return a[u] * (1 - depth) + b[u] * depth

    if wavy:
        swing = 0.17 * np.sin(1.05 * u + phase)
        easel.line(along(0.32 + swing), dark, 4.5)
        easel.line(along(0.7 + swing), dark, 4.5)
    else:
        band = np.concatenate([along(0.28), along(0.52)[::-1]])
        easel.fill(band, light)
        easel.line(along(0.78), dark, 2)


def hat(easel, has, rng):
    if not has["Wearing_Hat"]:
        return
    kind = rng.choice(["beanie", "cap", "fedora"])
    colour, band = choose(rng, VIVID) + rng.normal(0, 8, 3), choose(rng, [*VIVID, CREAM])
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
        x = side * (look.edge(14) + 6)
        rim, disc = oval(x, 32, 13, 14), oval(x, 32, 11, 12)
        easel.fill(rim, metal * 0.35, label=BACKGROUND)
        easel.fill(disc, metal)
        if hoop:
            easel.fill(oval(x, 32, 4, 5), metal * 0.35)
        else:
            easel.fill(oval(x - 3, 28, 3, 3, 12), WHITE)
