"""Training LNet (Liu et al. 2015, section 3.1): two networks that find faces, from tags alone.

LNet_o learns the tags of whole photos; then LNet_s those of the regions that LNet_o points at. No box is used. Photos
without a face, where there are some, learn along as photos without a tag, and settle together with faces from which
score on there is a face; both from other photos than those that are learned from. Boxes only judge.
"""

import contextlib
import json
from pathlib import Path

import numpy as np

from .. import backend, checkpoint, tasks, train
from ..data.crops import cropped, overlap, with_backgrounds
from ..data.dataset import SPLITS
from ..data.device import DeviceBatches
from ..data.layouts import choose_layout, open_dataset
from ..data.loader import SampleCache, TrainLoader
from ..errors import TinyfaceError
from ..files import atomic_write, make_folder
from ..models import LNet
from ..predict import PHOTO_SUFFIXES
from ..presets import find_preset
from ..wild.localize import LOCALIZER, STAGES, Localizer, threshold_between
from .runs import (
    VALIDATION_BATCH,
    Options,
    draw_curve,
    evaluation_split,
    find_data,
    fit,
    report,
    resumable,
    run_folder,
    validation_split,
)

GIVEN = "given.json"  # the options that were typed
OPTIMIZER = "adam"  # unless told otherwise


class PhotoFeed:
    """Training batches of one data set, validation on another (None: there is none); both as they are handed in."""

    per_step = 1  # batches
    loader = TrainLoader

    def __init__(self, task, dataset, validation, options):
        self.task, self.dataset, self.validation, self.options = task, dataset, validation, options
        self.name, self.size = str(dataset.root), tuple(task.network.config["size"])

    @contextlib.contextmanager
    def batches(self, start):
        """Gives an iterator of training batches from step `start` on, on a GPU where the run is on one."""
        o, on_gpu = self.options, self.options.device == "cuda"
        settings = {"workers": o.workers, "start_step": start, "raw": on_gpu}
        with self.loader(
            self.dataset, self.task.targets, o.batch_size, self.size, o.seed, **settings
        ) as loader:
            yield DeviceBatches(loader) if on_gpu else loader

    def evaluator(self):
        """A function () → what `task.evaluate` makes of the validation photos; None where there are none."""
        if self.validation is None:
            return None
        cache = SampleCache(self.validation, self.task.targets, self.size)
        return lambda: tasks.validation(self.task, self.validation, VALIDATION_BATCH, self.size, cache)


def train_lnet(given, backgrounds=None, out=None, resume=False, say=print):
    """Train LNet_o and LNet_s. Returns the run's folder.

    given: {option: value or None}; backgrounds: the folder of photos without a face, else the folder `backgrounds`
    beside or in the data set. out, resume, say: as in `runs.train_segmentation`.
    """
    folder = run_folder("lnet", given, out, resume)
    saved = {stage: resumable(folder / stage, resume) for stage in STAGES}
    options = settle("lnet", given, next((s for s in saved.values() if s), None), folder)
    data = find_wild(options.data, say)
    empty = find_backgrounds(data, backgrounds, say)
    make_folder(folder)
    keep_given(folder, given)
    wild = find_preset(options.preset).wild
    photos = {split: photos_of(data, split, empty) for split in ("train", "val")}
    for stage in STAGES:
        backend.seed(options.seed + STAGES.index(stage))
        task = tasks.LocatingTask(LNet(wild.lnet_width, wild.lnet_size, wild.lnet_stride))
        sets = photos
        if stage == "lnet_s":
            say("where LNet_o sees head and shoulders, in all photos to learn from")
            lnet_o = checkpoint.load_network(folder / "lnet_o" / train.BEST).to(options.device)
            sets = {split: shoulders_of(Localizer(lnet_o, None), photos[split]) for split in photos}
        feed = PhotoFeed(task, sets["train"], sets["val"], options)
        fit(
            task,
            options,
            make_folder(folder / stage),
            feed,
            {"command": f"train-lnet ({stage})"},
            saved[stage],
            say,
        )
        draw_curve(folder / stage, task.measure)
    localizer = Localizer(
        *(checkpoint.load_network(folder / s / train.BEST).to(options.device) for s in STAGES)
    )
    localizer.threshold = settle_threshold(localizer, data, empty, say)
    atomic_write(folder / LOCALIZER, json.dumps({"threshold": localizer.threshold}))
    split = evaluation_split(data, "attributes")
    measures = judge(localizer, open_dataset(data, split, "attributes"), empty[split], say)
    report(folder, {"split": split, **measures})
    draw_localization(localizer, open_dataset(data, split, "attributes"), folder / "localization.png")
    say(
        f"the run is in {folder}: {', '.join(STAGES)}, {LOCALIZER}, localization.png; use it by predict --system"
    )
    return folder


def settle(kind, given, saved, folder):
    """The options of a stage: those of its checkpoint, else what is typed or was typed when the run began.

    The optimizer is Adam where nobody told.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if saved is None:
        typed = json.loads((folder / GIVEN).read_text(encoding="utf-8")) if (folder / GIVEN).exists() else {}
        given = {"optimizer": OPTIMIZER, **typed, **given}
    return Options.settle(kind, given, saved and saved.training["options"])


def keep_given(folder, given):
    """Note what was typed, for stages that begin after a break."""
    if not (folder / GIVEN).exists():
        typed = {name: value for name, value in given.items() if value is not None}
        atomic_write(folder / GIVEN, json.dumps({**typed, "data": typed.get("data") and str(typed["data"])}))


def find_wild(path, say):
    """The folder of the photos; without one, toy photos, drawn if they are not there yet. Says what was found."""
    from ..data import toywild

    if path is None:
        path = Path("toywild")
        if not path.exists():
            say(f"{path}: drawing 2600 toy photos, and as many without a face")
            toywild.draw_dataset(path)
    return find_data(path, "attributes", say)


def find_backgrounds(data, folder, say):
    """{split: files of photos without a face}. Raises TinyfaceError where a folder that is named has none.

    A folder has sub-folders train, val and test, or else images that are dealt out to these 3 : 1 : 1.
    """
    root = choose_layout(data, "attributes").root
    places = [Path(folder)] if folder else [root / "backgrounds", root.parent / "backgrounds"]
    place = next((place for place in places if place.is_dir()), None)
    if place is None and folder:
        raise TinyfaceError(f"--backgrounds {folder}: no such folder; name one with photos without a face")

    def images(path):
        inside = path.iterdir() if path.is_dir() else ()
        return sorted(p for p in inside if p.suffix.lower() in PHOTO_SUFFIXES and p.name[0] != ".")

    found = {split: images(place / split) if place else [] for split in SPLITS}
    if place and not any(found.values()):
        flat = images(place)
        deal = np.arange(len(flat)) % 5
        parts = {"train": deal < 3, "val": deal == 3, "test": deal == 4}
        found = {split: [flat[i] for i in np.flatnonzero(part)] for split, part in parts.items()}
    if folder and not any(found.values()):
        raise TinyfaceError(f"--backgrounds {folder}: no images there, nor in train/, val/ and test/ in it")
    counts = ", ".join(f"{len(found[split])} {split}" for split in SPLITS)
    say(
        f"{place}: photos without a face: {counts}"
        if place
        else "no photos without a face, so every photo will be taken to have one; name some by --backgrounds"
    )
    return found


def photos_of(data, split, backgrounds):
    """The photos of a split with those without a face behind them; None where the split does not exist."""
    if split == "val" and not validation_split(data, "attributes"):
        return None
    return with_backgrounds(open_dataset(data, split, "attributes"), backgrounds[split])


def shoulders_of(localizer, dataset):
    """The regions of head and shoulders in a data set's photos, as a data set."""
    if dataset is None:
        return None
    return cropped(dataset, np.stack(list(localizer.shoulders(dataset.images))))


# ---------------------------------------------------------------- judging


def settle_threshold(localizer, data, backgrounds, say):
    """The score from which on there is a face, from the validation photos; 0 where there are none of either kind."""
    if not validation_split(data, "attributes") or not backgrounds["val"]:
        say("no photos to settle a threshold with, so every photo is taken to have a face")
        return 0.0
    files = open_dataset(data, "val", "attributes").images, backgrounds["val"]
    faces, empty = (np.array([found.score for found in localizer.read(paths)]) for paths in files)
    threshold = threshold_between(faces, empty)
    say(f"a face from score {threshold:.3f} on: {100 * (faces >= threshold).mean():.1f} % of the photos with one, "
        f"{100 * (empty >= threshold).mean():.1f} % of those without (validation)")  # fmt: skip
    return threshold


def judge(localizer, dataset, backgrounds, say):
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
        measures["false_alarms"] = float(np.mean([face.is_face for face in localizer.read(backgrounds)]))
    for name, value in measures.items():
        say(
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

    files = dataset.images[:: max(len(dataset) // count, 1)][:count]
    boxes = None if dataset.boxes is None else dataset.boxes[:: max(len(dataset) // count, 1)][:count]
    images = [read_image(file) for file in files]
    save_png(localization_sheet(images, localizer.locate(images), boxes), path)
