"""Charts for reports: one measure of several runs over the steps, and a measure's mean ± deviation in bars.

Each returns a PIL image; save with `drawing.save_png`.
"""

import math
from pathlib import Path

import numpy as np

from tinyface import training
from tinyface.errors import TinyfaceError

from .drawing import ACCENT, FAINT, INK, SECOND, SOFT, Panel, canvas, drawable, font_of, polyline, ticks

# Okabe and Ito's colours that stand out on white, in an order that keeps neighbours apart.
LINES = (
    ACCENT,
    SECOND,
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (32, 36, 44),
    (150, 110, 60),
)
BAR = (86, 180, 233)  # light enough for whiskers to be seen on it
DASHES = (None, (10, 5), (3, 4))  # from the ninth line on the colours come again, with other strokes


def read_curve(folder, measure="error"):
    """[(step, value)] of a validation measure in a run's log.jsonl; empty where there was no validation.

    Raises TinyfaceError where the folder holds no log.
    """
    path = Path(folder) / training.LOG
    if not path.is_file():
        raise TinyfaceError(f"{path}: no such file; give the folder of a run")
    records = (r for r in training.read_log(path) if measure in r.get("validation", {}))
    return [(record["step"], record["validation"][measure]) for record in records]


def curves_chart(curves, title, percent=True):
    """Line chart: {name of a run: [(step, value)]} over the steps, with a legend that names them, at most 24.

    percent: values are fractions, shown in percent. Values that are not finite are left out, and runs without any.
    Raises TinyfaceError where nothing is left to draw, ValueError for more than 24 runs.
    """
    factor = 100 if percent else 1
    title, kept = drawable(title), {}
    for name, points in curves.items():
        points = sorted((step, factor * value) for step, value in points if math.isfinite(value))
        if points:
            kept[drawable(name)] = points
    if not kept:
        raise TinyfaceError(
            f"{title}: no run has a finite value to draw; train with a validation split first"
        )
    if len(kept) > len(LINES) * len(DASHES):
        raise ValueError(f"{len(kept)} curves can't be told apart; draw at most {len(LINES) * len(DASHES)}")

    width, height, left, right, head, foot = 860, 360, 84, 30, 46, 46
    key = [(name, LINES[k % len(LINES)], DASHES[k // len(LINES)]) for k, name in enumerate(kept)]
    cell = 48 + math.ceil(max(font_of(14).getlength(name) for name in kept))
    columns = max(1, min(len(key), (width - left - right) // cell))
    chart, draw = canvas(max(width, left + cell + right), height + 24 * math.ceil(len(key) / columns) + 30)
    every = [point for points in kept.values() for point in points]
    panel = Panel((left, head, width - right, height - foot), *zip(*every, strict=True))
    panel.draw(draw, f"{title} %" if percent else title)
    draw.text((width - right, height - foot + 28), "step", SOFT, font_of(14), anchor="ra")
    for (_, colour, dash), points in zip(key, kept.values(), strict=True):
        line = [panel.place(*point) for point in points]
        stroke(chart, line, colour, dash, dots=3.5 if len(points) <= 40 else 0)
    for index, (name, colour, dash) in enumerate(key):
        x, y = left + index % columns * cell, height + 24 + index // columns * 24
        stroke(chart, [(x, y), (x + 26, y)], colour, dash)
        draw.text((x + 34, y), name, INK, font_of(14), anchor="lm")
    return chart


def bar_chart(rows, title, percent=True, reference=None, reference_name="the paper"):
    """Horizontal bars from 0, with the deviation as a whisker: {name of a row: (mean, deviation)}.

    percent: values are fractions, shown in percent. A mean that is NaN or None has no bar and says "-"; a deviation
    that is NaN or None (a single run) has no whisker. reference: {name: value} to be marked on the row's line, as
    `reference_name` in the legend. Raises TinyfaceError where there is no row with a mean, ValueError for values
    below 0.
    """
    factor = 100 if percent else 1
    title, rows = drawable(title), {drawable(name): row for name, row in rows.items()}
    values = {name: (_number(mean, factor), _number(sd, factor)) for name, (mean, sd) in rows.items()}
    marks = {drawable(name): _number(value, factor) for name, value in (reference or {}).items()}
    marks = {name: value for name, value in marks.items() if value is not None and name in rows}
    ends = [mean + (sd or 0) for mean, sd in values.values() if mean is not None]
    if not ends:
        raise TinyfaceError(f"{title}: no row has a value to draw; train and measure first")
    if min([*(mean for mean, _ in values.values() if mean is not None), *marks.values()]) < 0:
        raise ValueError(f"{title}: bars begin at 0, so a value must not be below")

    margin, line, field, top = 24, 32, 480, 62
    left = margin + math.ceil(max(font_of(15).getlength(name) for name in rows)) + 14
    texts = {name: _with_deviation(*value) for name, value in values.items()}
    right = 20 + math.ceil(max(font_of(15).getlength(text) for text in texts.values())) + margin
    bottom = top + len(rows) * line
    width = max(left + field + right, margin + math.ceil(font_of(17).getlength(title)) + 40)
    chart, draw = canvas(width, bottom + 44 + (28 if marks else 0))
    draw.text((margin, margin + 6), f"{title} %" if percent else title, INK, font_of(17), anchor="lm")
    steps = ticks(0, max([*ends, *marks.values()]))
    high = steps[-1]

    def place(value):
        return left + field * value / high

    for tick in steps:
        draw.line((place(tick), top, place(tick), bottom), FAINT)
        draw.text((place(tick), bottom + 8), f"{tick:g}", SOFT, font_of(14), anchor="ma")
    for row, (name, (mean, sd)) in enumerate(values.items()):
        y = top + row * line + line // 2
        draw.text((left - 14, y), name, INK, font_of(15), anchor="rm")
        if mean is not None:
            draw.rectangle((left, y - 8, place(mean), y + 8), BAR)
        if mean is not None and sd is not None:
            polyline(chart, [(place(max(mean - sd, 0)), y), (place(mean + sd), y)], INK, 1.6)
            for end in (max(mean - sd, 0), mean + sd):
                polyline(chart, [(place(end), y - 5), (place(end), y + 5)], INK, 1.6)
        if name in marks:
            polyline(chart, [(place(marks[name]), y - 12), (place(marks[name]), y + 12)], SECOND, 2.6)
        draw.text((left + field + 20, y), texts[name], INK, font_of(15), anchor="lm")
    if marks:
        y = bottom + 44
        polyline(chart, [(left, y - 8), (left, y + 8)], SECOND, 2.6)
        draw.text((left + 10, y), reference_name, SOFT, font_of(14), anchor="lm")
    return chart


def stroke(chart, points, colour, dash=None, dots=0):
    """A line through the points; dash: (on, off) in pixels, None for a whole one."""
    if dash is None:
        polyline(chart, points, colour, 2.4, dots)
        return
    ends = np.array(points, float)
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(ends, axis=0).T))])

    def at(distances):
        return list(zip(*(np.interp(distances, lengths, ends[:, axis]) for axis in (0, 1)), strict=True))

    for start in np.arange(0, lengths[-1], sum(dash)):
        stop = min(start + dash[0], lengths[-1])
        corners = lengths[(lengths > start) & (lengths < stop)]
        polyline(chart, at([start, *corners, stop]), colour, 2.4)
    if dots:
        polyline(chart, points, colour, 0, dots)


def _number(value, factor):
    return None if value is None or not math.isfinite(value) else factor * value


def _with_deviation(mean, sd):
    if mean is None:
        return "-"
    return f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"
