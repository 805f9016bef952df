"""train-seg: train the segmentation network."""

from tinyface import backend, checkpoint, training
from tinyface.files import make_folder

from .. import provenance, tasks
from ..data.dataset import REGIONS
from ..data.layouts import open_dataset
from ..metrics import format_region_table
from ..models import SegmentationNet
from ..presets import find_preset
from .feeds import VALIDATION_BATCH, Feed
from .fit import fit
from .folders import named, report, resumable, run_folder
from .options import Options
from .pictures import draw_curve, draw_parsing
from .sources import find_data, validation_split


def train_segmentation(given, out=None, resume=False, log=print):
    """Train the segmentation network. Returns the run's folder.

    given: {option: value or None}; out: folder, else the next free one under runs/; log: prints a line.
    """
    folder = run_folder("seg", given, out, resume, log)
    saved = resumable(folder, resume)
    options = Options.resolve("segmentation", given, saved and saved.training["options"])
    data = find_data(options.data, "labels", log)
    preset = find_preset(options.preset)
    backend.seed(options.seed)
    task = tasks.SegmentationTask(SegmentationNet(preset.width, preset.size))
    feed = Feed.of_folder(task, data, options)
    make_folder(folder)
    notes = {"command": "train-seg", **provenance.record((data, "labels"))}
    fit(task, options, folder, feed, notes, saved, log)
    split = validation_split(data, "labels")
    if split:
        best = tasks.SegmentationTask(checkpoint.load_network(folder / training.BEST).to(options.device))
        confusion = tasks.validation(best, open_dataset(data, split, "labels"), VALIDATION_BATCH, preset.size)
        log(format_region_table(confusion, REGIONS))
        measures = {"iou": named(REGIONS, confusion.iou()), "f1": named(REGIONS, confusion.f1())}
        report(folder, {"split": split, **best.summarise(confusion), **measures})
    draw_curve(folder, "mean_iou")
    draw_parsing(folder, data, preset.size)
    log(
        f"the run is in {folder}: {training.BEST} to use, {training.LAST} to resume from, {training.LOG}, "
        "curve.png, parsing.png"
    )
    return folder
