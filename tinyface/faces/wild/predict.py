"""What LNet + ANet found in a photo, for people and for programs: `cli.py predict --system lnet-anet`."""

import numpy as np
from PIL import Image, ImageDraw

from .. import predict
from ..data.transforms import read_image
from ..pictures.wild import FACE, outline


def to_text(predictions, everything=False):
    """Lines for people: where each face is, and its attributes as `predict.to_text` has them."""
    lines = []
    for prediction in predictions:
        x, y, w, h = np.rint(prediction.found.face).astype(int)
        lines.append(f"  face at {x}, {y}, {w} x {h} pixels, score {prediction.found.score:.2f}")
        lines.append(predict.to_text(_as_face(prediction), everything))
    return "\n".join(lines) or "  no face"


def to_json(prediction):
    """Plain values: {"box": x, y, width, height in pixels; "score"; "attributes": {name: probability}}."""
    box = [round(float(v), 1) for v in prediction.found.face]
    return {"box": box, "score": round(prediction.found.score, 4), **predict.to_json(_as_face(prediction))}


def picture(path, predictions):
    """The photo as a PIL image, at most predict.LARGEST pixels wide or high, with its faces outlined."""
    photo = Image.fromarray(read_image(path))
    shrink = max(*photo.size, predict.LARGEST) / predict.LARGEST
    photo = photo.resize(tuple(max(round(side / shrink), 1) for side in photo.size))
    for prediction in predictions:
        outline(ImageDraw.Draw(photo), prediction.found.face / shrink, FACE)
    return photo


def _as_face(prediction):
    return predict.Prediction(prediction.image, None, prediction.probabilities, None)
