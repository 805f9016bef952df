"""Training LNet (Liu et al. 2015, section 3.1): two networks that find faces, from tags alone.

LNet_o learns the tags of whole photos; then LNet_s those of the regions that LNet_o points at. No box is used. Photos
without a face, where there are some, are trained on as photos without a tag. The threshold of the score is chosen on
validation photos with and without faces. Boxes serve evaluation alone.
"""

import json

import numpy as np

from tinyface import backend, checkpoint, training
from tinyface.files import atomic_write, make_folder

from .. import provenance, tasks
from ..data.crops import overlap
from ..data.layouts import open_dataset
from ..models import LNet
from ..presets import find_preset
from ..wild.localize import LOCALIZER, STAGES, Localizer, threshold_between
from .feeds import Feed, check_batch_size
from .fit import fit
from .folders import report, resumable, run_folder
from .photos import find_backgrounds, find_wild, photos_of, shoulders_of
from .pictures import draw_curve
from .sources import split_to_evaluate, validation_split
from .stages import keep_given, resolve


def train_lnet(given, backgrounds=None, out=None, resume=False, log=print):
    """Train LNet_o and LNet_s. Returns the run's folder.

    given: {option: value or None}; backgrounds: the folder of photos without a face, else the folder `backgrounds`
    beside or in the data set. out, resume, log: as in `train_segmentation`.
    """
    folder = run_folder("lnet", given, out, resume, log)
    saved = {stage: resumable(folder / stage, resume) for stage in STAGES}
    options = resolve("lnet", given, next((s for s in saved.values() if s), None), folder)
    data = find_wild(options.data, log)
    empty = find_backgrounds(data, backgrounds, log)
    wild = find_preset(options.preset).wild
    photos = {split: photos_of(data, split, empty) for split in ("train", "val")}
    check_batch_size(options, photos["train"])
    origin = provenance.record((data, "attributes"))
    make_folder(folder)
    keep_given(folder, given)
    for stage in STAGES:
        backend.seed(options.seed + STAGES.index(stage))
        task = tasks.LocatingTask(LNet(wild.lnet_width, wild.lnet_size, wild.lnet_stride))
        sets = photos
        if stage == "lnet_s":
            log("finding head and shoulders by LNet_o in all photos to train on")
            lnet_o = checkpoint.load_network(folder / "lnet_o" / training.BEST).to(options.device)
            sets = {split: shoulders_of(Localizer(lnet_o, None), photos[split]) for split in photos}
        feed = Feed(task, sets["train"], sets["val"], options)
        notes = {"command": f"train-lnet ({stage})", **origin}
        fit(task, options, make_folder(folder / stage), feed, notes, saved[stage], log)
        draw_curve(folder / stage, task.measure)
    localizer = Localizer(
        *(checkpoint.load_network(folder / s / training.BEST).to(options.device) for s in STAGES)
    )
    localizer.threshold = choose_threshold(localizer, data, empty, log)
    atomic_write(folder / LOCALIZER, json.dumps({"threshold": localizer.threshold}))
    split = split_to_evaluate(data, "attributes")
    if split:
        measures = evaluate_localizer(localizer, open_dataset(data, split, "attributes"), empty[split], log)
        report(folder, {"split": split, **measures})
    else:
        log("no split to evaluate on, so nothing is measured")
    shown = open_dataset(data, split or "train", "attributes")
    draw_localization(localizer, shown, folder / "localization.png")
    log(
        f"the run is in {folder}: {', '.join(STAGES)}, {LOCALIZER}, localization.png; use it by predict --system"
    )
    return folder


# ---------------------------------------------------------------- evaluation


def choose_threshold(localizer, data, backgrounds, log):
    """The score from which on there is a face, from the validation photos; 0 where there are none of either kind."""
    if not validation_split(data, "attributes") or not backgrounds["val"]:
        log("no photos to determine a threshold from, so every photo is taken to have a face")
        return 0.0
    files = open_dataset(data, "val", "attributes").images, backgrounds["val"]
    faces, empty = (np.array(list(localizer.scores(paths))) for paths in files)
    threshold = threshold_between(faces, empty)
    log(f"a face from score {threshold:.3f} on: {100 * (faces >= threshold).mean():.1f} % of the photos with one, "
        f"{100 * (empty >= threshold).mean():.1f} % of those without (validation)")  # fmt: skip
    return threshold


def evaluate_localizer(localizer, dataset, backgrounds, log):
    """Shares of photos whose face is found, by IoU with the true box, and of false alarms; a dictionary."""
    found = list(localizer.read(dataset.images))
    measures = {"photos": len(found), "detected": float(np.mean([face.is_face for face in found]))}
    if dataset.boxes is not None:
        iou = overlap(np.stack([face.face for face in found]), dataset.boxes)
        measures["mean_iou"] = float(iou.mean())
        measures["iou_50"] = float((iou >= 0.5).mean())
        measures["found"] = float(
            np.mean([face.is_face and v >= 0.5 for face, v in zip(found, iou, strict=True)])
        )
    if backgrounds:
        measures["backgrounds"] = len(backgrounds)
        measures["false_alarms"] = float(
            np.mean([score >= localizer.threshold for score in localizer.scores(backgrounds)])
        )
    for name, value in measures.items():
        log(
            f"{name.replace('_', ' '):<16}{100 * value:8.2f} %"
            if isinstance(value, float)
            else f"{name:<16}{value:8d}"
        )
    return measures


def draw_localization(localizer, dataset, path, count=8):
    """A picture: photos with windows, and LNet_o's response maps below."""
    from ..data.transforms import read_image
    from ..pictures.drawing import save_png
    from ..pictures.wild import localization_sheet

    shown = slice(None, None, max(len(dataset) // count, 1))
    boxes = None if dataset.boxes is None else dataset.boxes[shown][:count]
    images = [read_image(file) for file in dataset.images[shown][:count]]
    save_png(localization_sheet(images, localizer.locate(images), boxes), path)
