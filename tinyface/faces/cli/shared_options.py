"""Types of options, and options that several commands have."""

import math

import click

from .base import option

NETWORKS, DATA, LEARNING, RUN = "Which networks", "What to learn from", "How to learn", "The run"


class FiniteNumber(click.FloatRange):
    """A number above a bound, or from it on; neither infinity nor NaN, which no bound would stop."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class Place(click.Path):
    """A file or folder. An empty text is a slip, such as a shell variable that is not set, not the current folder."""

    def convert(self, value, param, ctx):
        if not value:
            self.fail("is empty; give the path of a file or folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = Place()
COUNT, FROM_ZERO = click.IntRange(min=1), click.IntRange(min=0)
FOLDER, FILE = ({"type": PATH, "metavar": name} for name in ("FOLDER", "FILE"))
NUMBER, EVERY = ({"type": COUNT, "metavar": name} for name in ("N", "STEPS"))
NUMBER_OR_NONE = {"type": FROM_ZERO, "metavar": "N"}
FACES = {"type": click.IntRange(min=0, max=999_999), "metavar": "N"}  # their files have six digits
POSITIVE, NOT_NEGATIVE = FiniteNumber(min=0, min_open=True), FiniteNumber(min=0)
# The names that presets.py, optim.py and commands/options.py know, written out so that --help needs none of them.
PRESETS = click.Choice(("tiny", "demo", "small", "paper"))
SCHEDULES = click.Choice(("constant", "step", "cosine"))
DEVICES = click.Choice(("cpu", "cuda"))
OPTIMIZERS = click.Choice(("adagrad", "sgd", "adam"))
BACKBONES = click.Choice(("encoder", "resnet18"))
SHARE = FiniteNumber(min=0, min_open=True, max=1)
TABLES, FIGURES = ("2", "3", "4"), ("3", "4", "5")  # of the paper, made by reproduce
MORE_TABLES = ("sspl", "systems")  # of the other two papers


# fmt: off
seg_weights = option(
    "--seg-weights", **FILE, section=NETWORKS,
    help="The parser that shows the regions.  [default: the last one in runs/ for this image size, else the one in "
         "weights/; for photos none of drawn faces, nor the other way round]")
workers = option(
    "--workers", **NUMBER_OR_NONE, section=DATA,
    help="Threads that decode images ahead of training; 0 for none.  [default: 1]")
tf32 = option(
    "--tf32/--no-tf32", default=None, section=RUN,
    help="Let convolutions on a GPU of compute capability 8.0 and later round to TF32, for speed.  [default: no]")
save_every = option("--save-every", **EVERY, section=RUN, help="How often last.h5 is saved, to go on from.")
run_device = option("--device", type=DEVICES, section=RUN, help="Where to compute.  [default: cpu]")
device = option("--device", type=DEVICES, default="cpu", show_default=True, help="Where to compute.")
# fmt: on


def training_options(function):
    """The options that both trainings have. One that is not given arrives as None: the preset decides."""
    pair = click.IntRange(min=2)  # batch normalisation has nothing to compare a single image with
    # fmt: off
    options = (
        option("--data", **FOLDER, section=DATA,
               help="A data set: CelebA, CelebAMask-HQ, Helen, HELEN*, LaPa or LFWA as it lies on disk, or "
                    "a folder of such folders.  [default: toyfaces/, for LNet and ANet toywild/, drawn when first "
                    "needed]"),
        option("--preset", type=PRESETS, section=DATA,
               help="Size of network and images: tiny (55x45 pixels, for trying out), demo (82x67) and small "
                    "(109x89), for a CPU, paper (218x178, as published). It also sets how to learn, unless told "
                    "otherwise below.  [default: small]"),
        workers,
        option("--steps", **NUMBER, section=LEARNING, help="Batches to train on."),
        option("--batch-size", type=pair, metavar="N", section=LEARNING, help="Images in a batch."),
        option("--lr", type=POSITIVE, metavar="X", section=LEARNING,
               help="Learning rate, the highest of the schedule."),
        option("--weight-decay", type=NOT_NEGATIVE, metavar="X", section=LEARNING,
               help="This times the weight is added to each gradient."),
        option("--schedule", type=SCHEDULES, section=LEARNING,
               help="How the learning rate goes down over the run."),
        option("--warmup", **NUMBER_OR_NONE, section=LEARNING,
               help="Steps over which the learning rate first rises from zero."),
        option("--optimizer", type=OPTIMIZERS, section=LEARNING,
               help="AdaGrad is the paper's; SGD goes with momentum 0.9.  [default: adagrad; adam for "
                    "LNet and ANet]"),
        option("--seed", **NUMBER_OR_NONE, section=LEARNING,
               help="Settles the first weights, the order of the images and their mirroring.  [default: 0]"),
        option("--out", **FOLDER, section=RUN,
               help="Where checkpoints, log and pictures go.  [default: a new folder in runs/]"),
        option("--resume", is_flag=True, section=RUN,
               help="Go on from the last checkpoint in --out (or of the newest run), to the very weights "
                    "that the run would have reached without a break."),
        run_device,
        tf32,
        option("--log-every", **EVERY, section=RUN,
               help="How often a line goes to log.jsonl.  [default: 10]"),
        option("--val-every", **EVERY, section=RUN,
               help="How often the network is validated; the best one is kept in best.h5."),
        save_every,
    )
    # fmt: on
    for decorate in reversed(options):
        function = decorate(function)
    return function
