"""Pictures of how faces are found: the photo with its windows, and LNet_o's response map below."""

import numpy as np
from PIL import Image, ImageDraw

from .drawing import heat

SIDE, GAP = 160, 6
TRUE, FACE, SHOULDERS = (40, 200, 80), (235, 30, 60), (250, 200, 40)
HEAT = np.array([heat(share) for share in np.linspace(0, 1, 256)], np.uint8)


def localization_sheet(images, found, boxes=None):
    """A PIL image: for each photo (H, W, 3) uint8 a column, the photo over the response map.

    Drawn on it: head and shoulders (yellow), the face found (red; crossed out where the score says that there is
    none), the true box (green) where boxes (N, 4) are given.
    """
    sheet = Image.new("RGB", (len(images) * (SIDE + GAP) + GAP, 2 * (SIDE + GAP) + GAP), (255, 255, 255))
    for column, (image, face) in enumerate(zip(images, found, strict=True)):
        left = GAP + column * (SIDE + GAP)
        photo = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        pen, scale = ImageDraw.Draw(photo), np.array([SIDE / image.shape[1], SIDE / image.shape[0]] * 2)
        outline(pen, face.shoulders * scale, SHOULDERS)
        if boxes is not None:
            outline(pen, boxes[column] * scale, TRUE)
        x0, y0, x1, y1 = outline(pen, face.face * scale, FACE)
        if not face.is_face:
            pen.line((x0, y0, x1, y1), FACE, 2)
            pen.line((x0, y1, x1, y0), FACE, 2)
        sheet.paste(photo, (left, GAP))
        share = face.response / max(float(face.response.max()), 1e-9)
        warm = Image.fromarray(np.uint8(255 * share)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        sheet.paste(Image.fromarray(HEAT[np.asarray(warm)]), (left, 2 * GAP + SIDE))
    return sheet


def outline(pen, box, colour):
    """Draw a box x, y, width, height; returns its corners."""
    x, y, w, h = (float(v) for v in box)
    pen.rectangle((x, y, x + w, y + h), outline=colour, width=2)
    return x, y, x + w, y + h
