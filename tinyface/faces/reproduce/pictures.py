"""The tables as pictures, and the paper's figures of the networks that were trained here."""

import dataclasses
import math

import numpy as np

from tinyface import checkpoint
from tinyface.training import BEST, LOG, read_log

from .. import choices, tasks
from ..commands.feeds import VALIDATION_BATCH
from ..commands.sources import evaluation_split
from ..data.layouts import open_dataset
from ..data.loader import batches_in_order
from ..models.attributes import MODES
from ..pictures import figures
from ..pictures.activations import TOP, focus
from ..pictures.charts import bar_chart, curves_chart
from ..pictures.drawing import FAINT, INK, SOFT, canvas, drawable, font_of, wrap
from ..pictures.localization import gather_weights
from ..predict import load_segmentation_net
from .job import described_split
from .tables import show

LOOKED_AT = 512  # faces at most that Figures 4 and 5 average over


def draw_table(table):
    """A table as a PIL image: title, heads, rows, notes."""
    font, head, margin, line, gap = font_of(15), font_of(18), 26, 30, 26
    cells = [list(table.columns), *([drawable(show(cell)) for cell in row] for row in table.rows)]
    widths = [
        math.ceil(max(font.getlength(row[i]) for row in cells)) + gap for i in range(len(table.columns))
    ]
    width = max(sum(widths), math.ceil(head.getlength(table.title))) + 2 * margin
    notes = [part for note in table.notes for part in wrap(drawable(note), font_of(13), width - 2 * margin)]
    top = margin + 40
    picture, draw = canvas(width, top + len(cells) * line + 20 * len(notes) + 2 * margin)
    draw.text((margin, margin), table.title, INK, head)
    for number, row in enumerate(cells):
        y, x = top + number * line, margin
        draw.line((margin, y + line, width - margin, y + line), SOFT if number == 0 else FAINT)
        for i, (text, w) in enumerate(zip(row, widths, strict=True)):
            x += w
            colour = SOFT if number == 0 or "paper" in table.columns[i] else INK
            place = (margin, y + line // 2) if i == 0 else (x - gap // 2, y + line // 2)
            draw.text(place, text, colour, font, anchor="lm" if i == 0 else "rm")
    for number, note in enumerate(notes):
        draw.text((margin, top + len(cells) * line + 16 + 20 * number), note, SOFT, font_of(13))
    return picture


# ---------------------------------------------------------------- figures: {file name: (heading, caption, image)}


def figure3(job):
    """Parsing of faces that the segmentation network was not trained on, beside the truth where that is known."""
    need = "labels" if job.seg_data else "attributes"
    data = job.seg_data or job.data
    dataset = open_dataset(data, evaluation_split(data, need), need)
    image = figures.figure3(load_segmentation_net(job.segmentation_file, job.device), dataset)
    caption = "Faces that the segmentation network never saw in training, and the regions it finds."
    return {"figure3": ("Figure 3: faces and their regions", caption, image)}


def figure4(job):
    """SSP's weights of the regions for each attribute, and the places behind the attributes of some faces."""
    task, seen = attribute_task(job, "ssp"), unseen(job)
    weights, _ = gather_weights(task, in_batches(job, seen))
    caption = (
        f"The weight of each region for each attribute, mean over {of_faces(job, seen)} (seed 0): "
        "where SSP looks for it."
    )
    places = (
        "For some of these faces, the attributes they have, and in colour the regions that SSP predicts each of them "
        "from."
    )
    return {
        "figure4": ("Figure 4: the weights of the regions in SSP", caption, figures.weight_figure(weights)),
        "localization": (
            "Which regions the predictions come from (beyond the paper)",
            places,
            figures.localization_figure(task, seen),
        ),
    }


def figure5(job):
    """The strongest channels of the last layer for one face, of the basic network and of SSP."""
    seen = unseen(job)
    compared = {"basic": attribute_task(job, "avg"), "SSP": attribute_task(job, "ssp")}
    segmentation_net = load_segmentation_net(job.segmentation_file, job.device)
    found = {name: focus(task, segmentation_net, in_batches(job, seen)) for name, task in compared.items()}
    spreads = ", ".join(f"{name} {100 * f.spread:.1f} %" for name, f in found.items())
    lifts = ", ".join(f"{name} {f.lift:.2f}" for name, f in found.items())
    caption = (
        f"The {TOP} channels of the last convolution layer with the largest means, for one face. Over "
        f"{of_faces(job, seen)}, a channel is in effect spread over this share of the cells: {spreads}. Its mean in "
        f"its best region is so many times its mean over the map: {lifts}."
    )
    return {
        "figure5": ("Figure 5: how localized the activations are", caption, figures.figure5(compared, seen))
    }


FIGURES = dict(zip(choices.FIGURES, (figure3, figure4, figure5), strict=True))


def charts(job, table):
    """Table 2's errors as bars, and the losses of seed 0's trainings."""
    column, paper = table.columns.index("error"), table.columns.index("error, paper")
    rows = {row[0]: (row[column].mean, row[column].deviation) for row in table.rows}
    reference = {row[0]: row[paper] for row in table.rows if row[paper] is not None}
    bars = bar_chart(rows, "error %", percent=False, reference=reference)
    losses = {}
    for mode in MODES:
        records = read_log(job.out / "seed-0" / mode / LOG)
        points = [(r["step"], r["loss"]) for r in records if "loss" in r]
        if points:
            losses[mode] = in_stretches(points)
    drawn = {
        "table2-error": (
            "Table 2 in bars",
            "Error, mean and deviation over seeds; the mark is the paper's.",
            bars,
        )
    }
    if losses:
        curves = curves_chart(losses, "loss", percent=False)
        drawn["curves"] = ("How the losses fell", "Loss of the training batches, seed 0.", curves)
    return drawn


def in_stretches(points, count=40):
    """[(step, value)] averaged over at most `count` stretches, since batches differ and eight lines would cross."""
    stretches = np.array_split(np.array(points, float), min(count, len(points)))
    return [tuple(stretch.mean(axis=0).tolist()) for stretch in stretches]


# ---------------------------------------------------------------- faces and networks


def attribute_task(job, mode):
    """The task of seed 0's network of a mode."""
    network = checkpoint.load_network(job.out / "seed-0" / mode / BEST).to(job.device)
    return tasks.AttributeTask(network, load_segmentation_net(job.segmentation_file, job.device))


def unseen(job):
    """The first faces, at most LOOKED_AT, of the split that is evaluated on: a FaceDataset."""
    dataset = open_dataset(job.data, evaluation_split(job.data, "attributes"), "attributes")
    count = min(LOOKED_AT, len(dataset))
    cut = {name: getattr(dataset, name) for name in ("images", "attributes", "identities", "landmarks")}
    cut = {name: values[:count] for name, values in cut.items() if values is not None}
    return dataclasses.replace(dataset, **cut)


def in_batches(job, dataset):
    return batches_in_order(dataset, "attributes", VALIDATION_BATCH, job.network.size)


def of_faces(job, seen):
    """E.g. "the 300 faces of split test of toyfaces", or the first 512 of them."""
    first = f"the first {LOOKED_AT} of " if len(seen) == LOOKED_AT else ""
    return first + described_split(job.data, "attributes")
