"""Types of options, and options that several commands have."""

import math
from functools import partial

import click

from tinyface.optim import SCHEDULES

from .. import choices
from ..presets import DEFAULT, PRESETS
from .base import RUN, option

NETWORKS, DATA, OPTIMIZATION = "Networks", "Data", "Optimization"


class FiniteNumber(click.FloatRange):
    """A number above a bound, or from it on; neither infinity nor NaN, which no bound would stop."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class NonEmptyPath(click.Path):
    """A file or folder. Empty text, as of a shell variable that is not set, is an error, not the current folder."""

    def convert(self, value, param, ctx):
        if not value:
            self.fail("is empty; give the path of a file or folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = NonEmptyPath()
COUNT, FROM_ZERO = click.IntRange(min=1), click.IntRange(min=0)
FOLDER, FILE = ({"type": PATH, "metavar": name} for name in ("FOLDER", "FILE"))
NUMBER, EVERY = ({"type": COUNT, "metavar": name} for name in ("N", "STEPS"))
NUMBER_OR_NONE = {"type": FROM_ZERO, "metavar": "N"}
FACE_COUNT = {"type": click.IntRange(min=0, max=999_999), "metavar": "N"}  # their files have six digits
POSITIVE, NOT_NEGATIVE = FiniteNumber(min=0, min_open=True), FiniteNumber(min=0)
DEVICE, PRESET, BACKBONE, OPTIMIZER, SCHEDULE = (
    click.Choice([*names])
    for names in (choices.DEVICES, PRESETS, choices.BACKBONES, choices.OPTIMIZERS, SCHEDULES)
)
FRACTION = FiniteNumber(min=0, min_open=True, max=1)

# fmt: off
seg_weights = option(
    "--seg-weights", **FILE, section=NETWORKS,
    help="The segmentation network that predicts the regions.  [default: the last one in runs/ for this image size, "
         "else the one in weights/; for photos none trained on drawn faces, nor the other way round]")
workers = option(
    "--workers", **NUMBER_OR_NONE, section=DATA,
    help="Threads that decode images ahead of training; 0 for none.  [default: 1]")
tf32 = option(
    "--tf32/--no-tf32", default=None, section=RUN,
    help="Let convolutions on a GPU of compute capability 8.0 and later round to TF32, for speed.  [default: no]")
run_device = option("--device", type=DEVICE, section=RUN, help="Where to compute.  [default: cpu]")
device = option("--device", type=DEVICE, default="cpu", show_default=True, help="Where to compute.")
# fmt: on


def save_every(default):
    return option(
        "--save-every", **EVERY, section=RUN, help=f"How often last.h5 is saved, for --resume.  {default}"
    )


def from_preset(kinds, name):
    """What the preset decides of an option, E.g. "[default: the preset's, for small 600, 150 with --balanced]"."""
    values = {when: getattr(getattr(PRESETS[DEFAULT], kind), name) for kind, when in kinds.items()}
    if len(set(values.values())) == 1:
        values = {"": next(iter(values.values()))}
    return f"[default: the preset's, for {DEFAULT} {', '.join(f'{value}{when}' for when, value in values.items())}]"


def training_options(**kinds):
    """The options that all trainings have. One that is not given arrives as None: the preset decides.

    kinds: the Trainings of a preset that the command runs → when it does, for the help; "" for always.
    """
    pair = click.IntRange(min=2)  # batch normalisation has nothing to compare a single image with
    sizes = ", ".join(f"{name} ({p.size[0]}x{p.size[1]} pixels, {p.use})" for name, p in PRESETS.items())
    optimizer = getattr(PRESETS[DEFAULT], next(iter(kinds))).optimizer
    drawn = "toywild/" if {"lnet", "identities"} & kinds.keys() else "toyfaces/"
    default = partial(from_preset, kinds)
    # fmt: off
    options = (
        option("--data", **FOLDER, section=DATA,
               help=f"A data set: {', '.join(choices.DATASETS[:-1])} or {choices.DATASETS[-1]} as it lies on disk, or "
                    f"a folder of such folders.  [default: {drawn}, drawn when first needed]"),
        option("--preset", type=PRESET, section=DATA,
               help=f"Size of network and images: {sizes}. It also sets the defaults of the options below.  "
                    f"[default: {DEFAULT}]"),
        workers,
        option("--steps", **NUMBER, section=OPTIMIZATION, help=f"Batches to train on.  {default('steps')}"),
        option("--batch-size", type=pair, metavar="N", section=OPTIMIZATION,
               help=f"Images in a batch.  {default('batch_size')}"),
        option("--lr", type=POSITIVE, metavar="X", section=OPTIMIZATION,
               help=f"Learning rate, the highest of the schedule.  {default('lr')}"),
        option("--weight-decay", type=NOT_NEGATIVE, metavar="X", section=OPTIMIZATION,
               help=f"This times the weight is added to its gradient.  {default('weight_decay')}"),
        option("--schedule", type=SCHEDULE, section=OPTIMIZATION,
               help=f"How the learning rate decreases over the run.  {default('schedule')}"),
        option("--warmup", **NUMBER_OR_NONE, section=OPTIMIZATION,
               help=f"Steps over which the learning rate first rises from zero.  {default('warmup')}"),
        option("--optimizer", type=OPTIMIZER, section=OPTIMIZATION,
               help=f"AdaGrad is that of Kalayeh et al. 2017; SGD has momentum 0.9.  [default: {optimizer}]"),
        option("--seed", **NUMBER_OR_NONE, section=OPTIMIZATION,
               help="Determines the initial weights, the order of the images and which are mirrored.  [default: 0]"),
        option("--out", **FOLDER, section=RUN,
               help="Where checkpoints, log and pictures go.  [default: a new folder in runs/]"),
        option("--resume", is_flag=True, section=RUN,
               help="Resume from the last checkpoint in --out (or of the newest run). The result is bit-identical to "
                    "that of a run without interruption."),
        run_device,
        tf32,
        option("--log-every", **EVERY, section=RUN,
               help="How often a line goes to log.jsonl.  [default: 10]"),
        option("--val-every", **EVERY, section=RUN,
               help=f"How often the network is validated; the best one is kept in best.h5.  {default('val_every')}"),
        save_every(default("save_every")),
    )
    # fmt: on

    def decorate(function):
        for add in reversed(options):
            function = add(function)
        return function

    return decorate
