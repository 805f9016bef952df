"""Error against the fraction of labelled faces, with and without pre-training (Shu et al., CVPR 2021).

One pre-training on all training faces, without their labels, serves every share and seed. The networks that begin
with it are compared with the same from random weights, on the same labelled faces, for as many steps.
"""

from tinyface.errors import TinyfaceError

from ..commands.few_labels import labelled
from ..commands.sources import evaluation_split
from . import tables

PRETRAINED, FOLDER = "sspl", "labels"  # below --out
INITS = ("random", "sspl")
KEYS = ("basic", "ssp")  # of the rows that are compared

# Share of the labels → error of SSPL on CelebA in percent, 100 − accuracy; None where we know none.
PAPER = {0.002: 13.33, 0.005: 11.95, 0.01: 11.16, 0.02: 10.42, 0.05: None, 1.0: 8.23}


def compared(rows):
    """Those of the rows that this table has. Raises TinyfaceError where there are none."""
    found = [row for row in rows if row.key in KEYS]
    if not found:
        raise TinyfaceError(f"--only: the table sspl has the rows {' and '.join(KEYS)}; name one of them")
    return found


def usable(dataset):
    """{share: number of labelled faces}, without shares of fewer than two faces."""
    counts = {share: len(labelled(dataset, share)) for share in PAPER if share * len(dataset) >= 1}
    return {share: count for share, count in counts.items() if count > 1}


def folder_of(share, init, seed):
    """Where the networks of one share, beginning and seed lie, below --out."""
    return f"{FOLDER}/{share:g}/{init}/seed-{seed}"


def given_of(job, share, init, count):
    """What is special about one training: pairs of option and value."""
    given = {"labels": share, "init": init}
    if "batch_size" in job.options:
        given["batch_size"] = min(job.options["batch_size"], count)
    return tuple(given.items())


def chooses_step(job, data):
    """Whether the validation split may choose among the steps: only where another split is evaluated."""
    return evaluation_split(data, "attributes") == "test"


def table(job, rows, counts, measured, notes):
    """measured: {(share, init): {modes: [measures of each seed]}}. counts: those of `usable`."""
    columns = ["labels", "faces"]
    for row in rows:
        columns += [row.name, f"{row.name}, pre-trained"]
    lines = []
    for share, paper in PAPER.items():
        line = [f"{100 * share:g} %", f"{counts[share]:,}" if share in counts else tables.NOTHING]
        for row in rows:
            for init in INITS:
                found = measured.get((share, init), {}).get(row.modes, [])
                line.append(tables.percent(m["error"] for m in found))
        lines.append([*line, paper])
    chosen = "the validation split chose the step" if chooses_step(job, job.data) else "the last step counts"
    notes = (
        *notes,
        "Pre-trained once, on all training faces without their labels; the deviation is that of the fine-tunings.",
        f"Steps: at most 100 passes over the labelled faces; {chosen}.",
        "The paper's are SSPL's ResNet-18 on CelebA, accuracies turned into errors.",
    )
    title = "SSPL: error against the fraction of labelled faces, %"
    return tables.Table("sspl", title, (*columns, "SSPL, paper"), lines, notes)
