"""The tables: measured values beside the paper's, as text, Markdown and CSV. All values are percentages.

A cell is a text, a number of the paper, or the Summary over seeds of what was measured.
"""

import csv
import io
from dataclasses import dataclass

from ..data.dataset import REGIONS
from .paper import PARSING
from .statistics import Summary, difference, summarise

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """name: of its files. columns: heads. rows: lists of cells, the first a name. notes: sentences below."""

    name: str
    title: str
    columns: tuple
    rows: list
    notes: tuple = ()


def show(cell):
    """A cell for people: 8.33 ± 0.05; without a deviation 8.33; nothing measured –."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Summary):
        if cell.mean is None:
            return NOTHING
        return f"{cell.mean:.2f}" + (f" ± {cell.deviation:.2f}" if cell.deviation is not None else "")
    return NOTHING if cell is None else f"{cell:.2f}"


def percent(values):
    """Summary, in percent, of fractions; None among them is left out."""
    return summarise(None if v is None else 100 * v for v in values)


# ---------------------------------------------------------------- the paper's tables


def attribute_table(name, title, rows, measured, fine_tuned, paper, notes):
    """Tables 2 and 3. measured, fine_tuned: {modes: [measures of each seed]}. paper: row → its three numbers."""
    columns = (
        "network", "error", "error, paper", "AP", "AP, paper", "balanced", "balanced, fine-tuned",
        "balanced, paper",
    )  # fmt: skip
    lines = []
    for row in rows:
        error, precision, balanced = paper(row)
        found = measured.get(row.modes, [])
        tuned = fine_tuned.get(row.modes, [])
        lines.append(
            [
                row.name,
                percent(m["error"] for m in found),
                error,
                percent(m["average_precision"] for m in found),
                precision,
                percent(m["balanced_accuracy"] for m in found),
                percent(m["balanced_accuracy"] for m in tuned),
                balanced,
            ]
        )
    if any(row.beyond for row in rows):
        notes = (*notes, "(beyond): not in the paper.")
    first = next((found[0] for found in measured.values() if found), None)
    return Table(name, title, columns, lines, notes + (left_out(first) if first else ()))


def left_out(measures):
    """Notes on the attributes that the means leave out: the same for all networks that saw the same faces."""
    notes = []
    for measure, name in (("average_precision", "AP"), ("balanced_accuracy", "Balanced accuracy")):
        values = measures["per_attribute"][measure]
        undefined = [attribute for attribute, value in values.items() if value is None]
        if undefined:
            used = len(values) - len(undefined)
            notes.append(
                f"{name}: the mean over {used} of {len(values)}, undefined for {', '.join(undefined)}."
            )
    return tuple(notes)


def parsing_table(alone, joint, notes):
    """Table 4. alone, joint: measures of each seed, without and with attributes."""
    columns = ("region", "IoU without", "IoU with", "gain", "without, paper", "with, paper", "gain, paper")
    rows = []
    for region in (*REGIONS, "mean"):
        without, with_attributes = (
            percent(m["mean"] if region == "mean" else m["iou"][region] for m in found)
            for found in (alone, joint)
        )
        gain, deviation = difference(with_attributes, without)
        paper = PARSING[region]
        count = min(without.count, with_attributes.count)
        rows.append(
            [region, without, with_attributes, Summary(gain, deviation, count), *paper, paper[1] - paper[0]]
        )
    title = (
        "Table 4: IoU of a segmentation network trained alone and of one trained together with attributes, %"
    )
    return Table("table4", title, columns, rows, notes)


# ---------------------------------------------------------------- forms


def to_text(table):
    """Aligned columns, for a terminal."""
    lines = [list(table.columns), *([show(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    shown = [
        line[0].ljust(widths[0])
        + "".join(f"  {text:>{w}}" for text, w in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]
    shown.insert(1, "-" * len(shown[0]))
    return "\n".join([table.title, "", *shown, *table.notes])


def to_markdown(table):
    """A table of Markdown, with its title and notes."""
    head = f"| {' | '.join(table.columns)} |"
    rule = f"|---|{'---:|' * (len(table.columns) - 1)}"
    body = [f"| {' | '.join(show(cell).replace('*', chr(92) + '*') for cell in row)} |" for row in table.rows]
    return "\n".join([f"## {table.title}", "", head, rule, *body, "", *table.notes, ""])


def to_csv(table):
    """Comma-separated: a measured column becomes three, mean, deviation and number of seeds."""
    measured = {i for row in table.rows for i, cell in enumerate(row) if isinstance(cell, Summary)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = []
    for i, name in enumerate(table.columns):
        heads += [name, f"{name} deviation", f"{name} seeds"] if i in measured else [name]
    writer.writerow(heads)
    for row in table.rows:
        cells = []
        for i, cell in enumerate(row):
            cells += [cell.mean, cell.deviation, cell.count] if i in measured else [cell]
        writer.writerow("" if cell is None else cell for cell in cells)
    return out.getvalue()
