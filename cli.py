"""The command line: each command reads its options, calls one function of tinyface and prints.

Modules of tinyface are imported inside the commands, so that --help answers at once.
"""

import json
import math
import os
import sys
from pathlib import Path

import click

TRAINING = "Training"
MEASURING = "Using what was trained"
LOOKING = "Looking inside"


# ---------------------------------------------------------------- errors and help texts


class Commands(click.Group):
    """The group of all commands: lists them by section, and turns every expected error into one line.

    Exit codes: 1 something to mend, 2 a wrong option, 128 + signal for a training that a signal stopped.
    """

    def main(self, *args, **options):
        try:
            options["standalone_mode"] = False
            code = super().main(*args, **options)
            sys.stdout.flush()  # a closed pipe shows here, not while Python shuts down
        except click.Abort:
            code = 130  # Ctrl-C
        except click.ClickException as error:
            code = complain(describe(error), error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except Exception as error:
            code = explain(error)
        sys.exit(code or 0)

    def list_commands(self, ctx):
        return list(self.commands)  # in order of definition

    def format_commands(self, ctx, formatter):
        write_sections(
            formatter,
            ((command.section, (name, command.get_short_help_str(100))) for name, command in self.commands.items()),
        )


class Command(click.Command):
    """A command whose help lists its options by section."""

    def __init__(self, *args, section, **options):
        self.section = section
        super().__init__(*args, **options)

    def format_options(self, ctx, formatter):
        records = ((getattr(p, "section", "Options"), p.get_help_record(ctx)) for p in self.get_params(ctx))
        write_sections(formatter, ((section, record) for section, record in records if record))


class Option(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *args, section="Options", **options):
        self.section = section
        super().__init__(*args, **options)


def write_sections(formatter, entries):
    """A definition list for each section, from pairs (section, (term, definition))."""
    sections = {}
    for section, entry in entries:
        sections.setdefault(section, []).append(entry)
    for section, rows in sections.items():
        with formatter.section(section):
            formatter.write_dl(rows)


def describe(error):
    """A click error in one line that begins with the option or argument it is about."""
    parameter = getattr(error, "param", None)
    if isinstance(error, click.BadParameter) and parameter and not isinstance(error, click.MissingParameter):
        name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.human_readable_name
        return f"{name}: {error.message}"
    return error.format_message()


def explain(error):
    """Print what an expected error says and return the exit code; anything else is a bug and keeps its traceback."""
    from tinyface.errors import TinyfaceError
    from tinyface.train import Interrupted

    if isinstance(error, Interrupted):
        click.echo(error, err=True)
        return 128 + error.signal
    if isinstance(error, TinyfaceError):
        return complain(error)
    if isinstance(error, OSError) and error.filename is not None:
        return complain(f"{error.filename}: {error.strerror}")
    if isinstance(error, MemoryError):
        return complain("not enough memory; try a smaller --batch-size or another --preset")
    raise error


def complain(text, code=1):
    click.echo(f"error: {' '.join(str(text).split())}", err=True)
    return code


class PositiveNumber(click.FloatRange):
    """A finite number above 0, or from 0 on with `zero=True`."""

    def __init__(self, zero=False):
        super().__init__(min=0, min_open=not zero)

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


COUNT = click.IntRange(min=1)
FROM_ZERO = click.IntRange(min=0)
FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
PRESETS = ("tiny", "small", "paper")
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=Commands, invoke_without_command=True, context_settings=CONTEXT)
@click.pass_context
def cli(context):
    """Read 40 attributes off a face with the help of face parsing, on a framework written by hand.

    Everything runs without a data set: the training commands draw toy faces to learn from. In short:

    \b
      python cli.py train-seg                       learn to parse faces into 7 regions
      python cli.py train-attr --ssp --ssg          learn the attributes, helped by the regions
      python cli.py predict photo.jpg               use the result, or the networks that come along
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def command(name, section):
    return cli.command(name, cls=Command, section=section)


def option(*names, **settings):
    return click.option(*names, cls=Option, **settings)


# ---------------------------------------------------------------- training


def training_options(function):
    """The options that both trainings have. Those not given are None: the preset decides."""
    data, learning, run = "What to learn from", "How to learn", "The run"
    # fmt: off
    options = (
        option("--data", type=FOLDER, metavar="FOLDER", section=data,
               help="A data set in one of the layouts that tinyface recognises: CelebA, CelebAMask-HQ, Helen, "
                    "HELEN*, LaPa, or a folder of such folders.  [default: toy faces, drawn when first needed]"),
        option("--preset", type=click.Choice(PRESETS), section=data,
               help="Size of network and images: tiny (seconds, for trying out), small (109x89 pixels, for a "
                    "CPU), paper (218x178 pixels, as in the paper). It sets the default of everything below.  "
                    "[default: small]"),
        option("--workers", type=FROM_ZERO, section=data,
               help="Threads that decode images ahead of training; 0 for none.  [default: 1]"),
        option("--steps", type=COUNT, section=learning, help="Batches to train on."),
        option("--batch-size", type=COUNT, section=learning, help="Images in a batch."),
        option("--lr", type=PositiveNumber(), section=learning, help="Learning rate, the highest of the schedule."),
        option("--weight-decay", type=PositiveNumber(zero=True), section=learning,
               help="Added to the gradient, times the weight."),
        option("--schedule", type=click.Choice(("constant", "step", "cosine")), section=learning,
               help="How the learning rate goes down over the run."),
        option("--warmup", type=FROM_ZERO, section=learning,
               help="Steps over which the learning rate first rises from zero."),
        option("--optimizer", type=click.Choice(("adagrad", "sgd", "adam")), section=learning,
               help="AdaGrad is the paper's; SGD goes with momentum 0.9.  [default: adagrad]"),
        option("--seed", type=FROM_ZERO, section=learning,
               help="Of the first weights, the order of the images and their mirroring.  [default: 0]"),
        option("--device", type=click.Choice(("cpu", "cuda")), section=run,
               help="Where to compute.  [default: cpu]"),
        option("--out", type=FOLDER, metavar="FOLDER", section=run,
               help="Where last.h5, best.h5 and log.jsonl go.  [default: OUT_DEFAULT]"),
        option("--resume", is_flag=True, section=run,
               help="Go on with the run in --out from its last checkpoint, to the very same weights."),
        option("--log-every", type=COUNT, section=run, help="Steps between lines of log.jsonl.  [default: 10]"),
        option("--val-every", type=COUNT, section=run, help="Steps between validations; the best is kept."),
        option("--save-every", type=COUNT, section=run, help="Steps between checkpoints."),
    )
    # fmt: on
    for decorate in reversed(options):
        function = decorate(function)
    return function


@command("train-seg", TRAINING)
@training_options
def train_seg(out, resume, **given):
    """Train the network that parses a face into 7 regions.

    The regions are background, hair, face skin, eyes, eyebrows, mouth and nose. Without --data it learns from
    toy faces, in some minutes on a CPU. Ctrl-C saves first; --resume goes on as if nothing had happened.

    \b
      python cli.py train-seg
      python cli.py train-seg --data helen --preset paper --out runs/helen
      python cli.py train-seg --data helen --preset paper --out runs/helen --resume
    """
    from tinyface import runs

    runs.train_segmentation(given, out, resume, click.echo)


@command("train-attr", TRAINING)
@option("--ssp", is_flag=True, help="Train the network that pools by region (semantic segmentation-based pooling).")
@option("--ssg", is_flag=True, help="Train the network that gates by region (semantic segmentation-based gating).")
@option(
    "--seg-weights",
    type=FILE,
    metavar="FILE",
    help="The parser that shows them the regions.  [default: the one trained last, else the one in weights/]",
)
@training_options
def train_attr(ssp, ssg, seg_weights, out, resume, **given):
    """Train networks that read the 40 attributes of CelebA off a face.

    With --ssp and --ssg one after the other is trained, and each is judged, as is their average; with neither,
    it is the basic network, which does without regions. Without --data they learn from toy faces.

    \b
      python cli.py train-attr --ssp --ssg
      python cli.py train-attr --ssp --data celeba --preset paper --seg-weights runs/helen/best.h5
    """
    from tinyface import runs

    modes = [mode for mode, wanted in (("ssp", ssp), ("ssg", ssg)) if wanted] or ["avg"]
    if seg_weights and modes == ["avg"]:
        raise click.UsageError("--seg-weights: the basic network uses no regions; add --ssp or --ssg")
    runs.train_attributes(modes, given, seg_weights, out, resume, click.echo)


# ---------------------------------------------------------------- using what was trained


@command("evaluate", MEASURING)
@click.argument("weights", nargs=-1, required=True, type=FILE)
@option("--data", type=FOLDER, metavar="FOLDER", help="The data set.  [default: toy faces]")
@option("--split", type=click.Choice(("train", "val", "test")), help="[default: test, or val where there is no test]")
@option(
    "--seg-weights",
    type=FILE,
    metavar="FILE",
    help="The parser for SSP and SSG.  [default: the one trained last, else the one in weights/]",
)
@option("--batch-size", type=COUNT, default=32, show_default=True, help="Images at a time.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(weights, data, split, seg_weights, batch_size, as_json):
    """Measure networks on faces of a data set.

    WEIGHTS is a checkpoint of the segmentation network (IoU and F1 of each region), or one or several of
    attribute networks (error, average precision and balanced accuracy of each attribute; with several, also
    of the average of their predictions).

    \b
      python cli.py evaluate runs/seg/best.h5
      python cli.py evaluate runs/attr/ssp/best.h5 runs/attr/ssg/best.h5 --data celeba --split test
    """
    from tinyface import runs

    runs.evaluate([Path(w) for w in weights], data, split, seg_weights, batch_size, as_json, click.echo)


@command("predict", MEASURING)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=FILE)
@option(
    "--weights",
    "paths",
    type=FOLDER,
    metavar="PATH",
    multiple=True,
    help="A folder of networks (weights/, or a run of train-attr), or a checkpoint; may be given several times. "
    "Several attribute networks are averaged.  [default: the networks in weights/]",
)
@option("--out", type=FOLDER, default="predictions", show_default=True, help="Folder for the pictures.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option("--all", "everything", is_flag=True, help="List all 40 attributes, not only those of 50 % and more.")
def predict(images, paths, out, as_json, everything):
    """Read the attributes off photos, and parse the faces in them.

    Photos of any size and shape will do; the face should fill most of the picture. For each, the attributes
    are printed, and two pictures are written: NAME_parsing.png, the regions laid over the photo, and
    NAME_attributes.png, a card of all that was found.

    \b
      python cli.py predict photo.jpg
      python cli.py predict *.jpg --json --out faces > faces.json
      python cli.py predict photo.jpg --weights runs/attr
    """
    from tinyface import files, predict, visualize
    from tinyface.errors import TinyfaceError

    reader = predict.FaceReader.from_paths(paths or [predict.DEFAULT_WEIGHTS])
    out, code, records = files.make_folder(out), 0, []
    for path, stem in zip(images, predict.distinct_stems(images), strict=True):
        try:
            reading = reader.read(path)
        except TinyfaceError as error:  # one bad photo does not spoil the others
            code = complain(error)
            continue
        pictures = {}
        for kind, picture in predict.pictures(reading).items():
            pictures[kind] = out / f"{stem}_{kind}.png"
            visualize.save_png(picture, pictures[kind])
        if as_json:
            records.append({"image": str(path), **predict.to_json(reading), "pictures": {k: str(p) for k, p in pictures.items()}})
        else:
            click.echo(f"{path}\n{predict.to_text(reading, everything)}")
            click.echo("".join(f"  -> {picture}\n" for picture in pictures.values()))
    if as_json:
        click.echo(json.dumps(records, indent=2))
    return code


@command("draw-faces", MEASURING)
@option("--out", type=FOLDER, default="toyfaces", show_default=True, help="A new folder for the data set.")
@option("--train", type=FROM_ZERO, default=2000, show_default=True, help="Faces to train on.")
@option("--val", type=FROM_ZERO, default=300, show_default=True, help="Faces to validate on.")
@option("--test", type=FROM_ZERO, default=300, show_default=True, help="Faces to test on.")
@option("--seed", type=FROM_ZERO, default=0, show_default=True, help="The same seed draws the same faces.")
@option("--sheet", type=FILE, metavar="FILE.png", help="Draw only this: one picture of the first 40 faces.")
@option("--overlay", is_flag=True, help="Tint the regions on the --sheet.")
def draw_faces(out, train, val, test, seed, sheet, overlay):
    """Draw toy faces: portraits with their regions, 40 attributes and landmarks.

    They are written twice over, in the layouts of CelebA (attributes) and of Helen (regions), so that the
    training commands read them like the real thing. --sheet draws a picture to look at instead.

    \b
      python cli.py draw-faces --out toyfaces --train 5000
      python cli.py draw-faces --sheet faces.png --overlay
    """
    from tinyface import files, visualize
    from tinyface.data import toyfaces

    if sheet:
        import numpy as np

        faces = [toyfaces.draw_face(np.random.default_rng(np.random.SeedSequence([seed, k]))) for k in range(40)]
        visualize.save_png(toyfaces.contact_sheet(faces, overlay=overlay), sheet)
        click.echo(f"{sheet}: {len(faces)} faces")
        return
    if not train + val + test:
        raise click.UsageError("--train, --val, --test: there is nothing to draw when all are 0")
    files.make_folder(out.absolute().parent)
    with click.progressbar(length=train + val + test, label="drawing faces", file=sys.stderr) as bar:
        toyfaces.draw_dataset(out, train, val, test, seed, report=lambda done, total: bar.update(1))
    click.echo(f"{out}: {train} faces to train on, {val} to validate, {test} to test; in celeba/ and in helen/")


# ---------------------------------------------------------------- looking inside


@command("summary", LOOKING)
@option("--preset", type=click.Choice(PRESETS), default="small", show_default=True, help="Size of the networks.")
@click.argument("files", metavar="[WEIGHTS]...", nargs=-1, type=FILE)
def summary(preset, files):
    """List the layers of the networks: output sizes, parameters, multiply-adds.

    Of all four networks at the size of a preset, or of those in the given checkpoints. The sizes are those of
    one image, channels x height x width. With --preset paper they are the paper's Table 1.
    """
    from tinyface import summary

    networks = summary.load_networks(files) if files else summary.networks_of(preset)
    click.echo("\n\n".join(summary.format_summary(name, summary.summarise(net)) for name, net in networks))


@command("gradcheck", LOOKING)
@click.argument("op", required=False)
def gradcheck(op):
    """Hold the gradients of all operations, or of one, against differences.

    Each is tried in float64 on small, awkward inputs: odd sizes, ties, kinks. The exit code is 1 if a
    gradient is wrong.
    """
    from tinyface.errors import TinyfaceError
    from tinyface.gradcheck import EXAMPLES, GradcheckError, check_example

    if op is not None and op not in EXAMPLES:
        raise TinyfaceError(f"gradcheck {op}: no such operation; choose from {', '.join(EXAMPLES)}")
    code = 0
    for name in [op] if op else EXAMPLES:
        try:
            click.echo(f"{name:<24}ok, {check_example(name)} elements")
        except GradcheckError as error:
            click.echo(f"{name:<24}WRONG, {error}")
            code = 1
    return code


if __name__ == "__main__":
    cli()
