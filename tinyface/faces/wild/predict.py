"""What LNet + ANet found in a photo, for people and for programs: `cli.py predict --system lnet-anet`."""

import numpy as np
from PIL import Image, ImageDraw

from .. import predict
from ..data.transforms import read_image
from ..pictures.wild import FACE, outline


def to_text(readings, everything=False):
    """Lines for people: where each face is, and its attributes as `predict.to_text` has them."""
    lines = []
    for reading in readings:
        x, y, w, h = np.rint(reading.found.face).astype(int)
        lines.append(f"  face at {x}, {y}, {w} x {h} pixels, score {reading.found.score:.2f}")
        lines.append(predict.to_text(_as_face(reading), everything))
    return "\n".join(lines) or "  no face"


def to_json(reading):
    """Plain values: {"box": x, y, width, height in pixels; "score"; "attributes": {name: probability}}."""
    box = [round(float(v), 1) for v in reading.found.face]
    return {"box": box, "score": round(reading.found.score, 4), **predict.to_json(_as_face(reading))}


def picture(path, readings):
    """The photo as a PIL image, at most predict.LARGEST pixels wide or high, with its faces outlined."""
    photo = Image.fromarray(read_image(path))
    shrink = max(*photo.size, predict.LARGEST) / predict.LARGEST
    photo = photo.resize(tuple(max(round(side / shrink), 1) for side in photo.size))
    for reading in readings:
        outline(ImageDraw.Draw(photo), reading.found.face / shrink, FACE)
    return photo


def _as_face(reading):
    return predict.Reading(reading.image, None, reading.probabilities, None)
