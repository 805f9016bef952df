"""The pictures that a training leaves in its folder."""

import math

import numpy as np

from tinyface import training

from .. import tasks
from ..data.layouts import open_dataset
from ..data.transforms import to_network_input
from ..pictures.visualize import parsing_sheet, save_png, training_curve
from ..predict import load_segmentation_net
from .sources import validation_split


def draw_curve(folder, measure):
    """curve.png: the loss and a validation measure over the steps, or what the log has of them; none without any."""
    records = [
        {"step": r["step"], **r.get("validation", r)} for r in training.read_log(folder / training.LOG)
    ]
    if any(math.isfinite(r.get(key, math.nan)) for r in records for key in ("loss", measure)):
        save_png(training_curve(records, measure=measure), folder / "curve.png")


def draw_parsing(folder, data, size, faces=6):
    """parsing.png: some faces that the network was not trained on, their true and their predicted regions."""
    dataset = open_dataset(data, validation_split(data, "labels") or "train", "labels")
    indices = range(min(faces, len(dataset)))
    images = np.stack([dataset.image(i, size) for i in indices])
    truth = np.stack([dataset.labels(i, size) for i in indices])
    segmentation_net = load_segmentation_net(folder / training.BEST)
    save_png(
        parsing_sheet(images, tasks.parse(segmentation_net, to_network_input(images)), truth),
        folder / "parsing.png",
    )
