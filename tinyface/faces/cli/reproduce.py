"""The command reproduce."""

import click

from ..choices import FIGURES, MORE_TABLES, ROWS, TABLES
from ..presets import DEFAULT
from .base import TRAINING, command, option
from .shared_options import (
    DATA,
    EVERY,
    FILE,
    FOLDER,
    NUMBER,
    OPTIMIZATION,
    PRESET,
    RUN,
    run_device,
    save_every,
    tf32,
    workers,
)


def listed(meanings):
    """E.g. "3: parsed faces; 5: activations"."""
    return "; ".join(f"{name}: {meaning}" for name, meaning in meanings.items())


@command("reproduce", TRAINING)
@option(
    "--table",
    "tables",
    type=click.Choice((*TABLES, "all", *MORE_TABLES)),
    multiple=True,
    help=f"{listed(TABLES)}; all: these three; {listed(MORE_TABLES)}. May come several times.",
)
@option(
    "--figure",
    "figures",
    type=click.Choice((*FIGURES, "all")),
    multiple=True,
    help=f"{listed(FIGURES)}. May come several times.",
)
@option(
    "--only",
    metavar="ROW",
    multiple=True,
    help=f"Only this row of Tables 2 and 3: {', '.join(ROWS)}. May come several times.",
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
    help="Faces with label maps, for the segmentation network and Table 4.  [default: those of --data]",
)
@option(
    "--seg-weights",
    **FILE,
    section=DATA,
    help="A trained segmentation network.  [default: one is trained first]",
)
@option("--lfwa", **FOLDER, section=DATA, help="LFWA, for Table 3.")
@option(
    "--preset",
    type=PRESET,
    default=DEFAULT,
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
    section=OPTIMIZATION,
    help="Train every network so many times, from other initial weights; the tables then show mean and deviation.",
)
@option(
    "--steps",
    **NUMBER,
    section=OPTIMIZATION,
    help="Batches, of every training.  [default: the preset's]",
)
@option(
    "--batch-size",
    type=click.IntRange(min=2),
    metavar="N",
    section=OPTIMIZATION,
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
    help="Validate in between as well, which selects the best step by that split.  [default: only at the end]",
)
@save_every("[default: the preset's]")
def reproduce(tables, figures, only, data, seg_data, seg_weights, lfwa, preset, seeds, out, **options):
    """Make the paper's tables and figures, and report which of its claims hold.

    Trains what is missing, skips what is done, and puts each table beside the paper's own numbers. Stop it at
    any time; the same command resumes. It leaves the tables as CSV, Markdown and PNG, and report.html, one
    page with everything on it.

    \b
      python cli.py reproduce --table all --figure all
      python cli.py reproduce --table 2 --seeds 3 --data celeba --seg-data helen --preset paper
      python cli.py reproduce --table sspl --table systems --seeds 3
    """
    from ..reproduce import Job, reproduce

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
