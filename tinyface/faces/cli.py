"""The command line: each command reads its options, calls one function of tinyface and prints.

Modules of tinyface are imported inside the commands, so that --help answers at once.
"""

import contextlib
import errno
import math
import sys
import warnings
from pathlib import Path

import click

from tinyface import __version__

# ---------------------------------------------------------------- errors and help texts


class Examples(click.Command):
    """A command whose examples, written for a checkout, begin with the name that it was called by."""

    def get_help(self, ctx):
        name = ctx.find_root().info_name
        program = f"python {name}" if name.endswith(".py") else name
        return super().get_help(ctx).replace("python cli.py", program)


class Commands(Examples, click.Group):
    """The group of all commands: lists them by section, and turns every expected error into one line.

    Exit codes: 1 something to mend, 2 a wrong option, 128 + signal where a signal ended a training.
    """

    def main(self, *args, **options):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                # Not every stream has all signs, and a file's name may be any bytes.
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                # NumPy's on overflow: training itself looks out for numbers that are not finite.
                warnings.simplefilter("ignore", RuntimeWarning)
                # Pillow's on files that it can read all the same.
                warnings.filterwarnings("ignore", module=r"PIL\.")
                code = super().main(*args, **{**options, "standalone_mode": False})
        except click.Abort:  # Ctrl-C
            code = 130
        except click.ClickException as error:
            code = complain(name_first(error), error.exit_code)
        except Exception as error:
            code = explain(error)
        sys.exit(code or 0)

    def list_commands(self, ctx):
        return list(self.commands)  # in order of definition

    def format_commands(self, ctx, formatter):
        entries = ((c.section, (name, c.get_short_help_str(100))) for name, c in self.commands.items())
        write_sections(formatter, entries)


class Command(Examples):
    """A command that stands in a section, and whose options do."""

    def __init__(self, *args, section, **settings):
        self.section = section
        super().__init__(*args, **settings)

    def format_options(self, ctx, formatter):
        options = (p for p in self.get_params(ctx) if isinstance(p, click.Option))
        entries = ((getattr(o, "section", "Options"), o.get_help_record(ctx)) for o in options)
        write_sections(formatter, entries)


class Option(click.Option):
    """An option that stands in a section of the help."""

    def __init__(self, *args, section="Options", **settings):
        self.section = section
        super().__init__(*args, **settings)


def write_sections(formatter, entries):
    """A definition list for each section, from pairs (section, (term, definition))."""
    sections = {}
    for section, entry in entries:
        sections.setdefault(section, []).append(entry)
    for section, rows in sections.items():
        with formatter.section(section):
            formatter.write_dl(rows)


def name_first(error):
    """A click error in one line that begins with the option or argument it is about."""
    parameter = getattr(error, "param", None)
    if parameter is None or isinstance(error, click.MissingParameter):
        return f"{error.format_message().rstrip('.')}; see --help"
    name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.human_readable_name
    return f"{name}: {error.message}"


def explain(error):
    """Print what an expected error says; returns the exit code. A bug keeps its traceback."""
    from tinyface.errors import TinyfaceError
    from tinyface.training import Interrupted

    if isinstance(error, Interrupted):
        click.echo(error, err=True)
        return 128 + error.signal
    if isinstance(error, TinyfaceError):
        return complain(error)
    if isinstance(error, OSError) and error.filename is not None:
        return complain(f"{error.filename}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT):
        return complain(f"standard output: {error.strerror}; make room, or send it elsewhere")
    if isinstance(error, MemoryError):
        return complain("not enough memory; try a smaller --batch-size, --preset or number of faces")
    raise error


def complain(text, code=1):
    """Print an error in one line, where there is somewhere to print it; returns the exit code."""
    with contextlib.suppress(OSError):
        click.echo(f"error: {' '.join(str(text).split())}", err=True)
    return code


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


TRAINING, USING, LOOKING = "Training", "Using what was trained", "Looking inside"
NETWORKS, DATA, LEARNING, RUN = "Which networks", "What to learn from", "How to learn", "The run"

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


def command(name, section):
    return cli.command(name, cls=Command, section=section)


def option(*names, **settings):
    return click.option(*names, cls=Option, **settings)


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=Commands, invoke_without_command=True, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="tinyface")
@click.pass_context
def cli(context):
    """Read 40 attributes off a face with the help of face parsing, on a framework written by hand.

    Everything runs without a data set: the training commands draw toy faces to learn from. In short:

    \b
      python cli.py train-seg                  learn to parse a face into 7 regions
      python cli.py train-attr --ssp --ssg     learn the attributes, helped by the regions
      python cli.py predict photo.jpg          use the networks that come along
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


# ---------------------------------------------------------------- options of several commands

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


# ---------------------------------------------------------------- training


@command("train-seg", TRAINING)
@training_options
def train_seg(out, resume, **given):
    """Train the network that parses a face into 7 regions.

    The regions are background, hair, face skin, eyes, eyebrows, mouth and nose. Without --data it learns from
    toy faces. Ctrl-C saves first; --resume goes on as if nothing had happened.

    \b
      python cli.py train-seg
      python cli.py train-seg --data helen --preset paper --out runs/helen
      python cli.py train-seg --out runs/helen --resume
    """
    from .commands import segmentation

    segmentation.train_segmentation(given, out, resume, click.echo)


@command("train-attr", TRAINING)
@option("--ssp", is_flag=True, section=NETWORKS, help="SSP, which pools the activations region by region.")
@option("--ssg", is_flag=True, section=NETWORKS, help="SSG, which gates the activations by the regions.")
@option(
    "--pool",
    type=click.Choice(("avg", "spp")),
    multiple=True,
    section=NETWORKS,
    help="A network that knows no regions: avg, the basic one, pools over the whole map; spp over a pyramid of 1x1 "
    "and 2x2 cells.  [default: avg, if no other network is named]",
)
@option(
    "--naive",
    is_flag=True,
    section=NETWORKS,
    help="The basic network, with the regions as 7 more input channels.",
)
@option(
    "--bbox",
    is_flag=True,
    section=NETWORKS,
    help="SSP on boxes around eyes, nose and mouth corners: the data set's landmarks, else those that the parser's "
    "regions tell.",
)
@option(
    "--concat", is_flag=True, section=NETWORKS, help="SSP's features of all regions into one linear layer."
)
@option("--joint-ssp-ssg", is_flag=True, section=NETWORKS, help="SSP and SSG in one network.")
@option(
    "--region-pooling",
    type=click.Choice(("mean", "sum")),
    section=NETWORKS,
    help="What --ssp, --bbox, --concat and --joint-ssp-ssg take of the activations under a region's mask.  "
    "[default: mean]",
)
@seg_weights
@option(
    "--backbone",
    type=BACKBONES,
    help="resnet18: ResNet-18 in place of the networks above; it knows no regions.  [default: encoder]",
    section=NETWORKS,
)
@option(
    "--init",
    type=click.Choice(("random", "parser", "sspl")),
    section=NETWORKS,
    help="How the first eight layers begin: random, as in the paper, with the parser's, which learns faster, or with "
    "those that pretrain-sspl made, which needs the fewest labels.  [default: random; parser in the demo preset]",
)
@option(
    "--sspl-weights",
    **FILE,
    section=NETWORKS,
    help="What --init sspl begins with, made by pretrain-sspl.  [default: the last one in runs/ that fits]",
)
@option(
    "--labels",
    type=SHARE,
    metavar="SHARE",
    section=DATA,
    help="Learn from this share of the training faces only, at even distances: 0.01 for 1 %. Steps, batch size and "
    "rate are then such that each is seen 100 times at most.  [default: 1]",
)
@option(
    "--balanced",
    is_flag=True,
    section=NETWORKS,
    help="Fine-tune trained networks for balanced accuracy: a positive counts (1-p)/p times, with p the attribute's "
    "rate. Preset, data and parser are those they were trained with.",
)
@option(
    "--from",
    "start_from",
    **FOLDER,
    section=NETWORKS,
    help="The run of train-attr that --balanced begins with.  [default: the last one in runs/ with these networks]",
)
@training_options
def train_attr(
    ssp,
    ssg,
    pool,
    naive,
    bbox,
    concat,
    joint_ssp_ssg,
    seg_weights,
    backbone,
    sspl_weights,
    balanced,
    start_from,
    out,
    resume,
    **given,
):
    """Train networks that read the 40 attributes of CelebA off a face.

    With --ssp and --ssg both networks are trained one after the other, and each is judged, as is the average
    of the two; so are others, each by itself. With none it is the basic network, which knows no regions. Without
    --data they learn from toy faces. Ctrl-C saves first; --resume goes on as if nothing had happened, and can add
    networks to a run.

    \b
      python cli.py train-attr --ssp --ssg
      python cli.py train-attr --pool avg --pool spp --naive --bbox
      python cli.py train-attr --ssp --data celeba --preset paper --seg-weights runs/helen/best.h5
      python cli.py train-attr --ssp --ssg --balanced --from runs/attr-small --out runs/attr-balanced
      python cli.py train-attr --ssp --init sspl --labels 0.01
    """
    from .commands import attributes

    flags = {"ssp": ssp, "ssg": ssg, "naive": naive, "bbox": bbox, "concat": concat, "joint": joint_ssp_ssg}
    modes = list(dict.fromkeys(pool)) + [mode for mode, wanted in flags.items() if wanted]
    if backbone == "resnet18":
        if modes:
            raise click.UsageError("--backbone resnet18: is a network by itself; leave --ssp, --pool, … out")
        if given["init"] == "parser":
            raise click.UsageError("--init parser: no parser has a ResNet-18; choose random or sspl")
        modes = [backbone]
    if seg_weights and not set(modes) - {"avg", "spp", "resnet18"} and given["init"] != "parser":
        raise click.UsageError(
            "--seg-weights: the networks asked for know no regions; add --ssp, --ssg, … or --init parser"
        )
    if start_from and not balanced:
        raise click.UsageError("--from: names the networks to fine-tune; add --balanced")
    if sspl_weights and given["init"] != "sspl":
        raise click.UsageError("--sspl-weights: is what --init sspl begins with; add that")
    if given["region_pooling"] and not set(modes) & {"ssp", "bbox", "concat", "joint"} and not resume:
        raise click.UsageError(
            "--region-pooling: no network asked for pools by regions; add --ssp, --bbox, …"
        )
    for name, value in (
        ("--region-pooling", given["region_pooling"]),
        ("--seg-weights", seg_weights),
        ("--init", given["init"]),
        ("--labels", given["labels"]),
    ):
        if balanced and value:
            raise click.UsageError(
                f"{name}: --balanced goes on with trained networks and their parser; leave it out"
            )
    attributes.train_attributes(
        modes,
        given,
        seg_weights,
        out,
        resume,
        click.echo,
        balanced=balanced,
        start_from=start_from,
        sspl_weights=sspl_weights,
    )


@command("train-joint", TRAINING)
@option(
    "--attr-data",
    **FOLDER,
    section=DATA,
    help="A data set with attributes, where --data has only label maps.  [default: as --data]",
)
@option(
    "--compare",
    **FILE,
    section=RUN,
    help="A parser of train-seg, or its run, to tell its IoU beside the joint one's.",
)
@training_options
def train_joint(compare, out, resume, **given):
    """Train a parser and an attribute network that share their first eight layers.

    It is the paper's reverse problem: whether attributes help parsing (section 4.4, Table 4). Each step takes a
    batch of faces with label maps and one of faces with attributes, and adds the losses; --batch-size is the size
    of each. Without --data it learns from toy faces. Ctrl-C saves first; --resume goes on as if nothing had happened.

    \b
      python cli.py train-joint --compare runs/seg-small
      python cli.py train-joint --data helen --attr-data celeba --preset paper --out runs/joint
    """

    from .commands import joint

    joint.train_joint(given, compare, out, resume, click.echo)


@command("pretrain-sspl", TRAINING)
@option(
    "--backbone",
    type=BACKBONES,
    section=NETWORKS,
    help="What to pre-train: encoder, the first eight layers of all networks of train-attr, or resnet18.  "
    "[default: encoder]",
)
@seg_weights
@training_options
def pretrain_sspl(seg_weights, out, resume, **given):
    """Pre-train a network on faces without labels, so that it needs few to learn the attributes (SSPL).

    It is the first stage of Shu et al. 2021. One tile of each face is turned; the network tells which and how far,
    which regions each tile has, and the region of each pixel, as a trained parser sees them. Attributes and label maps
    of --data are not looked at. Without it the faces are toy faces. Then, with labels for one face in a hundred:

    \b
      python cli.py train-seg
      python cli.py pretrain-sspl
      python cli.py train-attr --ssp --init sspl --labels 0.01
    """

    from .commands import sspl

    sspl.pretrain_sspl(given, seg_weights, out, resume, click.echo)


@command("train-lnet", TRAINING)
@option(
    "--backgrounds",
    **FOLDER,
    section=DATA,
    help="Photos without a face: images, or folders train, val and test of them.  [default: backgrounds/ in --data or "
    "beside it]",
)
@training_options
def train_lnet(backgrounds, out, resume, **given):
    """Train the two networks that find faces in photos, LNet_o and LNet_s, from the photos' tags alone.

    It is the first half of Liu et al. 2015. LNet_o sees the whole photo and finds head and shoulders, LNet_s sees
    these and finds the face. No box is learned from; where --data has some, they judge. Without --data the networks
    learn from toy photos. --steps and the like hold for each of the two.

    \b
      python cli.py train-lnet
      python cli.py train-lnet --data celeba --backgrounds streets --preset paper --out runs/lnet
    """

    from .commands import lnet

    lnet.train_lnet(given, backgrounds, out, resume, click.echo)


@command("train-anet", TRAINING)
@option(
    "--lnet",
    **FOLDER,
    section=NETWORKS,
    help="The run of train-lnet that finds the faces.  [default: the last one in runs/ for such faces]",
)
@option(
    "--no-identities",
    is_flag=True,
    section=NETWORKS,
    help="Learn the attributes from the start, without pre-training on who it is.",
)
@option(
    "--aligned",
    is_flag=True,
    section=DATA,
    help="The photos are faces, cut out and aligned, as CelebA's img_align_celeba: none needs to be found.",
)
@training_options
def train_anet(lnet, no_identities, aligned, out, resume, **given):
    """Train the network that reads attributes off the faces LNet finds, ANet, and a linear SVM per attribute.

    It is the second half of Liu et al. 2015. ANet first learns to tell people apart, then their attributes; the SVMs
    learn on its features. Photos are those of train-lnet, and need identities unless told otherwise. --steps and
    the like hold for each of the two trainings.

    \b
      python cli.py train-anet
      python cli.py train-anet --lnet runs/lnet --data celeba --preset paper --out runs/anet
      python cli.py train-anet --aligned --data celeba
    """

    from .commands import anet

    anet.train_anet(given, lnet, not no_identities, aligned, out, resume, click.echo)


@command("reproduce", TRAINING)
@option(
    "--table",
    "tables",
    type=click.Choice((*TABLES, "all", *MORE_TABLES)),
    multiple=True,
    help="2: attributes; 3: attributes on LFWA; 4: parsing with attributes; all: these three; sspl: error against the "
    "share of labelled faces, with and without pre-training; systems: the three papers' ways of reading a face, and "
    "what they cost. May come several times.",
)
@option(
    "--figure",
    "figures",
    type=click.Choice((*FIGURES, "all")),
    multiple=True,
    help="3: parsed faces; 4: SSP's weights of the regions; 5: activations. May come several times.",
)
@option(
    "--only",
    metavar="ROW",
    multiple=True,
    help="Only this row of Tables 2 and 3: basic, ssg, ssp, "
    "ssp+ssg, naive, spp, bbox, concat or joint. May come several times.",
)
@option(
    "--data",
    **FOLDER,
    section=DATA,
    help="Faces with attributes.  [default: toyfaces/, drawn when first needed]",
)
@option(
    "--seg-data",
    **FOLDER,
    section=DATA,
    help="Faces with label maps, for the parser and Table 4.  [default: those of --data]",
)
@option(
    "--seg-weights",
    **FILE,
    section=DATA,
    help="A trained parser.  [default: one is trained first]",
)
@option("--lfwa", **FOLDER, section=DATA, help="LFWA, for Table 3.")
@option(
    "--preset",
    type=PRESETS,
    default="small",
    show_default=True,
    section=DATA,
    help="Size of networks and images.",
)
@workers
@option(
    "--seeds",
    **NUMBER,
    default=1,
    show_default=True,
    section=LEARNING,
    help="Train every network so many times, from other first weights; the tables then show mean and deviation.",
)
@option(
    "--steps",
    **NUMBER,
    section=LEARNING,
    help="Batches, of every training.  [default: the preset's]",
)
@option(
    "--batch-size",
    type=click.IntRange(min=2),
    metavar="N",
    section=LEARNING,
    help="Images in a batch, of every training.  [default: the preset's]",
)
@option(
    "--out",
    **FOLDER,
    section=RUN,
    help="Where networks, tables and pictures go.  [default: runs/reproduce-PRESET]",
)
@run_device
@tf32
@option(
    "--val-every",
    **EVERY,
    section=RUN,
    help="Validate in between as well, which lets that split choose among the steps.  [default: only at the end]",
)
@save_every
def reproduce(tables, figures, only, data, seg_data, seg_weights, lfwa, preset, seeds, out, **options):
    """Make the paper's tables and figures, and say which of its claims came out.

    Trains what is missing, skips what is done, and puts each table beside the paper's own numbers. Stop it at
    any time; the same command goes on. It leaves the tables as CSV, Markdown and PNG, and report.html, one
    page with everything on it.

    \b
      python cli.py reproduce --table all --figure all
      python cli.py reproduce --table 2 --seeds 3 --data celeba --seg-data helen --preset paper
      python cli.py reproduce --table sspl --table systems --seeds 3
    """
    from .reproduce import Job, reproduce

    if not tables and not figures:
        raise click.UsageError("--table, --figure: name at least one, or all")
    chosen = [
        [name for name in names if name in given or "all" in given]
        for names, given in ((TABLES, tables), (FIGURES, figures))
    ]
    chosen[0] += [name for name in MORE_TABLES if name in tables]
    out = out or f"runs/reproduce-{preset}"
    job = Job(out, preset, data, seg_data, seg_weights, lfwa, seeds, options)
    reproduce(job, *chosen, only, click.echo)


# ---------------------------------------------------------------- using what was trained


@command("evaluate", USING)
@click.argument("weights", nargs=-1, required=True, type=PATH)
@option("--data", **FOLDER, help="The data set.  [default: toyfaces/]")
@option(
    "--split",
    type=click.Choice(("train", "val", "test")),
    help="Which of its faces.  [default: test, or val where there is no test]",
)
@option(
    "--seg-weights",
    **FILE,
    help="The parser for networks with regions.  [default: the one they were trained with, else as in train-attr]",
)
@option("--batch-size", **NUMBER, default=64, show_default=True, help="Images at a time.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@device
def evaluate(weights, data, split, seg_weights, batch_size, as_json, device):
    """Measure networks on faces of a data set.

    WEIGHTS are checkpoints or folders of runs: of the segmentation network (IoU and F1 of each region), or of
    attribute networks (error, average precision, balanced accuracy of each attribute), and of SSP and SSG
    also the average of their predictions. Of runs of train-lnet and train-anet it tells how many faces are found,
    of pretrain-sspl how well the tasks without labels are done.

    \b
      python cli.py evaluate runs/seg-small
      python cli.py evaluate runs/attr-small/ssp/best.h5 runs/attr-small/ssg/best.h5 --data celeba
    """
    from .commands import anet, evaluate, sspl

    wild, pretrained = ([path for path in weights if kind.is_run(path)] for kind in (anet, sspl))
    if (wild or pretrained) and len(weights) > 1:
        raise click.UsageError(
            "WEIGHTS: a run of train-lnet, train-anet or pretrain-sspl is measured by itself; name only it"
        )
    if wild and seg_weights:
        raise click.UsageError(
            "--seg-weights: a run of train-lnet or train-anet knows no regions; leave it out"
        )
    if wild:
        anet.evaluate(wild[0], data, split, as_json, device, click.echo)
        return
    if pretrained:
        sspl.evaluate(pretrained[0], data, split, seg_weights, batch_size, as_json, device, click.echo)
        return
    evaluate.evaluate(list(weights), data, split, seg_weights, batch_size, as_json, device, click.echo)


@command("predict", USING)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=PATH)
@option(
    "--weights",
    "paths",
    type=PATH,
    metavar="PATH",
    multiple=True,
    help="A folder of networks, such as a run of train-attr, or a checkpoint; may come several times. "
    "Several attribute networks are averaged.  [default: the networks in weights/]",
)
@option(
    "--out",
    **FOLDER,
    default="predictions",
    help="For the pictures.  [default: predictions/]",
)
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option("--all", "everything", is_flag=True, help="Print all 40 attributes, not only those of 50 % and more.")
@device
@option(
    "--system",
    type=click.Choice(("parsing", "lnet-anet")),
    default="parsing",
    show_default=True,
    help="parsing: faces that fill the photo, by their regions. lnet-anet: faces anywhere in it, by a run of "
    "train-anet, the last one in runs/ unless --weights names one.",
)
@option(
    "--several", is_flag=True, help="With lnet-anet: all faces of a photo, not only the most certain one."
)
def predict(images, paths, out, as_json, everything, device, system, several):
    """Read the attributes off photos, and parse the faces in them.

    Photos may have any size; the face should fill most of it, as in CelebA. For each, the attributes are
    printed and two pictures written: NAME_parsing.png has the regions laid over the photo,
    NAME_attributes.png is a card of all that was found. A folder stands for the images in it.

    \b
      python cli.py predict photo.jpg
      python cli.py predict photos/ --weights runs/attr-small
      python cli.py predict *.jpg --json --out faces > faces.json
    """
    from .commands import predict

    if several and system != "lnet-anet":
        raise click.UsageError("--several: only --system lnet-anet looks for faces; add it")
    if system == "lnet-anet" and len(paths) > 1:
        raise click.UsageError("--weights: lnet-anet is one run of train-anet; name only one")
    read = predict.predict(
        images, paths, out, system, several, everything, as_json, device, click.echo, complain
    )
    return 0 if read else 1


@command("draw-faces", USING)
@option("--out", **FOLDER, help="A new folder.  [default: toyfaces/]")
@option("--train", **FACES, default=2000, show_default=True, help="Faces to train on.")
@option("--val", **FACES, default=300, show_default=True, help="Faces to validate on.")
@option("--test", **FACES, default=300, show_default=True, help="Faces to test on.")
@option("--seed", **NUMBER_OR_NONE, default=0, help="Other faces for another seed.  [default: 0]")
@option("--sheet", type=PATH, metavar="FILE.png", help="Only draw one picture of the first 40 faces.")
@option("--overlay", is_flag=True, help="Tint the regions in the picture of --sheet.")
@option(
    "--wild",
    is_flag=True,
    help="Photos in the wild for LNet and ANet: faces at any place and scale on clutter, several of each person; as "
    "many without a face.  [default of --out: toywild/]",
)
@option("--per-person", **NUMBER, help="With --wild: photos of one person.  [default: 5]")
def draw_faces(out, train, val, test, seed, sheet, overlay, wild, per_person):
    """Draw toy faces: portraits with their regions, 40 attributes and landmarks.

    They are written twice over, in the layouts of CelebA (attributes) and of Helen (regions), so that the
    training commands read them like the real thing. With --wild they lie as CelebA's original images do, with
    identities and boxes, and photos without a face beside them.

    \b
      python cli.py draw-faces --out toyfaces --train 5000
      python cli.py draw-faces --wild --per-person 10
      python cli.py draw-faces --sheet faces.png --overlay
    """
    from tinyface import files

    from .data import toyfaces

    if per_person is not None and not wild:
        raise click.UsageError("--per-person: portraits know no persons; add --wild")
    if sheet and wild:
        raise click.UsageError("--sheet: shows portraits; leave out --wild")
    if overlay and not sheet:
        raise click.UsageError("--overlay: tints the picture of --sheet; add --sheet FILE.png")
    if sheet:
        from numpy.random import SeedSequence, default_rng

        from .pictures.visualize import save_png

        faces = [toyfaces.draw_face(default_rng(SeedSequence([seed, k]))) for k in range(40)]
        save_png(toyfaces.contact_sheet(faces, overlay=overlay), sheet)
        click.echo(f"{sheet}: {len(faces)} faces")
        return
    if not train + val + test:
        raise click.UsageError("--train, --val, --test: all are 0, so there is nothing to draw")
    out = out or ("toywild" if wild else "toyfaces")
    files.make_folder(Path(out).absolute().parent)

    def report(done, total):
        if sys.stderr and sys.stderr.isatty():
            click.echo(f"\rdrawing faces {done}/{total}", nl=done == total, err=True)

    if wild:
        from .data import toywild

        toywild.draw_dataset(out, train, val, test, seed, per_person or 5, report)
        click.echo(
            f"{out}: {train} photos to train on, {val} to validate, {test} to test, as celeba/, and as many without "
            "a face in backgrounds/"
        )
        return
    toyfaces.draw_dataset(out, train, val, test, seed, report=report)
    click.echo(
        f"{out}: {train} faces to train on, {val} to validate, {test} to test, as celeba/ and as helen/"
    )


# ---------------------------------------------------------------- looking inside


@command("summary", LOOKING)
@click.argument("weights", nargs=-1, type=PATH)
@option("--preset", type=PRESETS, default="small", show_default=True, help="Size of the networks.")
def summary(weights, preset):
    """List the layers of the networks: output sizes, parameters, multiply-adds.

    Of all networks at the size of a preset, or of those in WEIGHTS: checkpoints or folders of runs. Sizes and
    multiply-adds are for one image, channels x height x width. With --preset paper the segmentation network
    is the paper's Table 1.
    """
    from tinyface.summary import format_summary, summarise

    from .summary import load_networks, networks_of

    networks = load_networks(weights) if weights else networks_of(preset)
    for number, (title, network) in enumerate(networks):
        click.echo("\n" * (number > 0) + format_summary(title, summarise(network)))


@command("gradcheck", LOOKING)
@click.argument("op", required=False)
@device
def gradcheck(op, device):
    """Hold the gradients of every operation, or of OP, against differences.

    Each is tried in float64 on a small, awkward input: odd sizes, ties, kinks. The exit code is 1 if a
    gradient is wrong.
    """
    from tinyface import backend
    from tinyface.gradcheck import EXAMPLES, GradcheckError, check_example

    backend.check_device(device)
    if op is not None and op not in EXAMPLES:
        raise click.UsageError(f"OP: {op} is no operation; there are {', '.join(EXAMPLES)}")
    code = 0
    for name in [op] if op else EXAMPLES:
        try:
            click.echo(f"{name:<24}ok, {check_example(name, device=device)} elements")
        except GradcheckError as error:
            click.echo(f"{name:<24}WRONG, {error}")
            code = 1
    return code
