"""The picture of SSPL's pre-training: which tile of a face is turned, and what the network predicts."""

import numpy as np
from PIL import Image, ImageDraw

from ..data.patches import square_slices
from ..data.transforms import resize_labels
from .drawing import ACCENT, INK, canvas, font_of, to_pixels
from .visualize import legend, overlay

ZOOM, TEXT = 2, 44  # pixels for one of the image; height of the two lines below a face


def pretext_sheet(images, truth, predicted, alpha=0.6):
    """A sheet with one row per face: the image with its turned tile framed, the true and the predicted regions.

    images (N, H, W, 3) uint8. truth and predicted: each (tiles (N,), quarter turns (N,), label maps (N, h, w)); a
    tile of −1 is none. Raises ValueError without any image.
    """
    if not len(images):
        raise ValueError("a sheet needs at least one image")
    height, width = (ZOOM * length for length in images.shape[1:3])
    gap, margin, head = 10, 20, 30
    inner = max(3 * (width + gap) - gap, 420)
    key = legend(width=inner)
    row = height + TEXT
    sheet, draw = canvas(inner + 2 * margin, margin + head + len(images) * row + key.height + margin)
    for column, caption in enumerate(("image", "segmentation", "network")):
        x = margin + column * (width + gap) + width // 2
        draw.text((x, margin + head // 2 - 5), caption, INK, font_of(16), anchor="mm")
    for n, image in enumerate(images):
        y = margin + head + n * row
        maps = (resize_labels(np.asarray(labels[n]), image.shape[:2]) for _, _, labels in (truth, predicted))
        pictures = [framed(image, truth[0][n]), *(enlarged(overlay(image, labels, alpha)) for labels in maps)]
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (margin + column * (width + gap), y))
        text = f"{describe(truth[0][n], truth[1][n])};  network: {describe(predicted[0][n], predicted[1][n])}"
        draw.text((margin, y + height + 16), text, INK, font_of(14), anchor="lm")
    sheet.paste(key, (margin, margin + head + len(images) * row))
    return sheet


def describe(tile, turns):
    """E.g. "tile 5 by 90°"; tiles are counted from 1 in reading order."""
    return f"tile {int(tile) + 1} by {90 * int(turns)}°" if turns and tile >= 0 else "nothing turned"


def enlarged(image):
    """The pixels as squares of ZOOM."""
    return Image.fromarray(np.kron(to_pixels(image), np.ones((ZOOM, ZOOM, 1), np.uint8)))


def framed(image, tile):
    """The image, with a frame around the square in the middle of a tile; −1 for none."""
    picture = enlarged(image)
    if tile >= 0:
        rows, columns = square_slices(image.shape[:2])[int(tile)]
        box = [ZOOM * edge for edge in (columns.start, rows.start, columns.stop, rows.stop)]
        ImageDraw.Draw(picture).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=ACCENT, width=2)
    return picture
