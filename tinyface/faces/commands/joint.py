"""Joint training: attributes help segmentation (Kalayeh et al. 2017, section 4.4, Table 4).

Each step takes one batch of either data set, labelled faces and faces with attributes, and adds the two losses. What
is shared with the other training commands is in files of its own beside this one.
"""

import contextlib

from tinyface import backend, checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.files import make_folder

from .. import provenance, tasks
from ..data.dataset import REGIONS
from ..data.layouts import open_dataset
from ..metrics import format_region_table
from ..models import JointNet
from ..predict import load_segmentation_net, segmentation_file
from ..presets import find_preset
from .evaluate import evaluate_tasks
from .feeds import VALIDATION_BATCH, Feed
from .fit import fit
from .folders import named, report, resumable, run_folder
from .options import Options
from .pictures import draw_curve, draw_parsing
from .sources import find_data, validation_split


class PairedFeed:
    """Two data sets to learn from at once: each step has a batch of both.

    Each has an order of its own, also where both hold the same faces: their seeds differ.
    """

    per_step = 2  # batches

    def __init__(self, task, labelled, attributed, options):
        self.labelled = Feed.of_folder(task.segmentation_task, labelled, options)
        self.attributed = Feed.of_folder(task.attribute_task, attributed, options, seed=options.seed + 1)
        self.name = " and ".join(dict.fromkeys((self.labelled.name, self.attributed.name)))

    @contextlib.contextmanager
    def batches(self, start):
        """Gives an iterator of JointBatches from step `start` on."""
        with self.labelled.batches(start) as labelled, self.attributed.batches(start) as attributed:
            yield map(tasks.JointBatch, labelled, attributed)

    def evaluator(self):
        """A function () → (ConfusionMatrix, AttributeMetrics) of the validation splits.

        None where no labelled faces are there to validate on; None for AttributeMetrics where no others are.
        """
        segmentation, attributes = self.labelled.evaluator(), self.attributed.evaluator()
        return segmentation and (lambda: (segmentation(), attributes and attributes()))


def train_joint(given, compare=None, out=None, resume=False, log=print):
    """Train a segmentation network and a basic attribute network with one encoder. Returns the run's folder.

    given: {option: value or None}; its "data" has the label maps, and the attributes too unless "attr_data" does.
    compare: a plain segmentation network, whose IoU is logged beside the joint one's. out, resume, log: as in
    `train_segmentation`.
    """
    folder = run_folder("joint", given, out, resume, log)
    saved = resumable(folder, resume)
    options = Options.resolve("joint", given, saved and saved.training["options"])
    preset = find_preset(options.preset)
    plain = compare and find_plain_segmentation_net(compare, preset, options.device)
    labelled, attributed = find_both(options, log)
    backend.seed(options.seed)
    task = tasks.JointTask(JointNet(preset.width, preset.size))
    feed = PairedFeed(task, labelled, attributed, options)
    make_folder(folder)
    origin = provenance.record((labelled, "labels"), (attributed, "attributes"))
    fit(task, options, folder, feed, {"command": "train-joint", **origin}, saved, log)
    report_measures(folder, labelled, attributed, plain and (compare, plain), options.device, log)
    draw_curve(folder, task.measure)
    draw_parsing(folder, labelled, preset.size)
    log(
        f"the run is in {folder}: {training.BEST} to use, {training.LAST} to resume from, {training.LOG}, "
        "curve.png, parsing.png"
    )
    return folder


def find_both(options, log):
    """The folders with label maps and with attributes. Raises TinyfaceError where one kind is missing."""
    labelled = find_data(options.data, "labels", log)
    try:
        return labelled, find_data(options.attr_data or options.data, "attributes", log)
    except TinyfaceError as error:
        if options.attr_data:
            raise
        raise TinyfaceError(f"{error}, or name one with attributes by --attr-data") from None


def find_plain_segmentation_net(path, preset, device):
    """The segmentation network to compare with. Raises TinyfaceError where it is made for images of another size."""
    segmentation_net = load_segmentation_net(segmentation_file(path), device)
    (h, w), (height, width) = segmentation_net.config["size"], preset.size
    if (h, w) != (height, width):
        raise TinyfaceError(
            f"--compare {path}: is made for images of {h}×{w}, this run for {height}×{width}, and IoU depends on it; "
            "give a segmentation network of the same --preset"
        )
    return segmentation_net


def report_measures(folder, labelled, attributed, plain, device, log):
    """Measure best.h5 on the validation splits: log the tables, write report.json.

    plain: None, or (path, segmentation network) to compare with.
    """
    best = checkpoint.load_network(folder / training.BEST).to(device)
    task, measures = tasks.JointTask(best), {}
    if split := validation_split(labelled, "labels"):
        dataset = open_dataset(labelled, split, "labels")
        confusion = confusion_of(best.parser, dataset)
        log(format_region_table(confusion, REGIONS))
        measures |= {"split": split, **task.segmentation_task.summarise(confusion), **per_region(confusion)}
        if plain:
            path, segmentation_net = plain
            without = confusion_of(segmentation_net, dataset)
            log(format_comparison(without, confusion))
            measures["compare"] = {"parser": str(path), "mean_iou": without.mean_iou(), **per_region(without)}
    if split := validation_split(attributed, "attributes"):
        summary, table = evaluate_tasks([task.attribute_task], open_dataset(attributed, split, "attributes"))
        log(table)
        measures["networks"] = summary
    if measures:
        report(folder, measures)


def confusion_of(segmentation_net, dataset):
    """ConfusionMatrix of a segmentation network on a data set."""
    return tasks.validation(
        tasks.SegmentationTask(segmentation_net),
        dataset,
        VALIDATION_BATCH,
        tuple(segmentation_net.config["size"]),
    )


def per_region(confusion):
    """IoU and F1 by region, for the report."""
    return {"iou": named(REGIONS, confusion.iou()), "f1": named(REGIONS, confusion.f1())}


def format_comparison(without, together):
    """Table 4: IoU by region without and with attributes, from two ConfusionMatrices, and the differences in points."""
    rows = [*zip(REGIONS, without.iou(), together.iou(), strict=True)]
    rows.append(("mean", without.mean_iou(), together.mean_iou()))
    lines = ["IoU %".ljust(12) + f"{'without':>12}{'with':>12}{'difference':>12}"]
    for name, a, b in rows:
        lines.append(f"{name:<12}{100 * a:>12.2f}{100 * b:>12.2f}{100 * (b - a):>+12.2f}")
    lines[-1:] = ["-" * len(lines[0]), lines[-1]]
    return "\n".join(["parsing without and with attributes:", *lines])
