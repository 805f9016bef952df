"""The tables as pictures, and the paper's figures of the networks that were trained here."""

import math

import numpy as np

from .. import checkpoint, runs, tasks
from ..data.dataset import ATTRIBUTES
from ..data.layouts import open_dataset
from ..data.loader import batches_in_order
from ..data.transforms import to_network_input
from ..predict import load_parser
from ..train import BEST
from ..visualize import FAINT, INK, SOFT, _canvas, _font, parsing_sheet, region_weight_map
from .job import judged_on
from .tables import show

LOOKED_AT = 512  # faces that Figure 4 averages over


def draw_table(table):
    """A table as a PIL image: title, heads, rows, notes."""
    font, head, margin, line, gap = _font(15), _font(18), 26, 30, 26
    cells = [list(table.columns), *([show(cell) for cell in row] for row in table.rows)]
    widths = [
        math.ceil(max(font.getlength(row[i]) for row in cells)) + gap for i in range(len(table.columns))
    ]
    width = max(sum(widths), math.ceil(head.getlength(table.title))) + 2 * margin
    notes = [part for note in table.notes for part in wrap(note, _font(13), width - 2 * margin)]
    top = margin + 40
    picture, draw = _canvas(width, top + len(cells) * line + 20 * len(notes) + 2 * margin)
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
        draw.text((margin, top + len(cells) * line + 16 + 20 * number), note, SOFT, _font(13))
    return picture


def wrap(text, font, width):
    """The text in lines no longer than `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def figure3(job, faces=6):
    """Parsing of faces that the parser never saw, beside the truth where that is known."""
    need = "labels" if job.seg_data else "attributes"
    data, size = job.seg_data or job.data, job.network.size
    dataset = open_dataset(data, judged_on(data, need), need)
    indices = range(min(faces, len(dataset)))
    images = np.stack([dataset.image(i, size) for i in indices])
    truth = np.stack([dataset.labels(i, size) for i in indices]) if job.seg_data else None
    return parsing_sheet(
        images, tasks.parse(load_parser(job.parser, job.device), to_network_input(images)), truth
    )


def figure4(job):
    """SSP's weights of the regions for each attribute, the mean over faces that it never saw."""
    task = reader(job, "ssp")
    total, count = 0.0, 0
    for batch in unseen(job):
        task.probabilities(batch.images)
        total, count = total + task.network.region_weights.sum(axis=0), count + len(batch.images)
    return region_weight_map(total / count, ATTRIBUTES)


def reader(job, mode):
    """The task of seed 0's network of a mode."""
    network = checkpoint.load_network(job.out / "seed-0" / mode / BEST).to(job.device)
    return tasks.AttributeTask(network, load_parser(job.parser, job.device))


def unseen(job, faces=LOOKED_AT):
    """Batches of the first faces of the split that is judged on."""
    dataset = open_dataset(job.data, judged_on(job.data, "attributes"), "attributes")
    seen = 0
    for batch in batches_in_order(dataset, "attributes", runs.VALIDATION_BATCH, job.network.size):
        yield batch
        seen += len(batch.images)
        if seen >= faces:
            return
