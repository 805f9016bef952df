"""Pictures, drawn with Pillow alone: overlays and sheets of regions, attribute cards, curves, region weights.

Every function returns a PIL image (RGB); `save_png` writes one. Images come as PIL images or as arrays
(H, W, 3) uint8; label maps as integer arrays (H, W) with the ids of REGIONS.
"""

import math

import numpy as np
from PIL import Image

from tinyface.errors import TinyfaceError

from ..data.dataset import REGIONS
from .drawing import (
    ACCENT,
    FAINT,
    INK,
    PALE,
    PAPER,
    SECOND,
    SOFT,
    Panel,
    canvas,
    draw_bar,
    drawable,
    font_of,
    heat,
    heat_scale,
    polyline,
    rounded,
    save_png,
    scaled,
    to_pixels,
    wrap,
)

# One colour per region, from Okabe and Ito's set that colour-blind people tell apart. The background is
# almost black: laid over a picture it dims it.
PALETTE = np.array(
    [
        (16, 18, 24),  # background
        (0, 114, 178),  # hair: blue
        (86, 180, 233),  # face skin: sky blue
        (240, 228, 66),  # eyes: yellow
        (0, 158, 115),  # eyebrows: green
        (213, 94, 0),  # mouth: vermilion
        (230, 159, 0),  # nose: orange
    ],
    np.uint8,
)


def overlay(image, labels, alpha=0.5):
    """The picture with its regions in colour, (H, W, 3) uint8: (1 − alpha)·image + alpha·PALETTE[labels].

    Pixels whose label is no region (an ignored one, say) keep their colour.
    Raises ValueError where sizes differ.
    """
    picture = to_pixels(image)
    labels = np.asarray(labels)
    if labels.shape != picture.shape[:2]:
        raise ValueError(f"labels are {labels.shape}, the image is {picture.shape[:2]}")
    known = (labels >= 0) & (labels < len(PALETTE))
    colours = PALETTE[np.where(known, labels, 0).astype(np.intp)]
    mixed = np.rint((1 - alpha) * picture + alpha * colours).astype(np.uint8)
    return np.where(known[..., None], mixed, picture)


def legend(names=REGIONS, width=None):
    """Colour patches with the regions' names: one row, or as many as `width` pixels ask for."""
    if len(names) > len(PALETTE):
        raise ValueError(f"{len(names)} names, but the palette has {len(PALETTE)} colours")
    font, patch, height = font_of(14), 14, 26
    cell = patch + 7 + math.ceil(max(font.getlength(name) for name in names)) + 18
    columns = max(1, width // cell) if width else len(names)
    rows = math.ceil(len(names) / columns)
    columns = math.ceil(len(names) / rows)  # rows of even length
    image, draw = canvas(width or columns * cell, rows * height)
    for index, name in enumerate(names):
        x, y = index % columns * cell, index // columns * height
        colour = tuple(PALETTE[index].tolist())
        draw.rounded_rectangle((x, y + 6, x + patch - 1, y + 6 + patch - 1), 3, fill=colour)
        draw.text((x + patch + 7, y + height // 2), name, INK, font, anchor="lm")
    return image


def parsing_sheet(images, predicted, truth=None, alpha=0.6):
    """A sheet with one row per face: image, true regions where given, predicted ones; below, a legend.

    images: N images of one size; predicted, truth: N label maps (H, W). Raises ValueError without any image.
    """
    if not len(images):
        raise ValueError("a parsing sheet needs at least one image")
    columns = {"image": [to_pixels(image) for image in images]}
    if truth is not None:
        columns["truth"] = [overlay(i, t, alpha) for i, t in zip(images, truth, strict=True)]
    columns["prediction"] = [overlay(i, p, alpha) for i, p in zip(images, predicted, strict=True)]

    height, width = columns["image"][0].shape[:2]
    cell, gap, margin, head = max(width, 96), 10, 20, 30
    inner = len(columns) * (cell + gap) - gap
    key = legend(width=inner)
    below = margin + head + len(images) * (height + gap)
    sheet, draw = canvas(inner + 2 * margin, below + 8 + key.height + margin - 6)
    for column, (caption, pictures) in enumerate(columns.items()):
        x = margin + column * (cell + gap)
        draw.text((x + cell // 2, margin + head // 2 - 5), caption, INK, font_of(16), anchor="mm")
        for row, picture in enumerate(pictures):
            y = margin + head + row * (height + gap)
            sheet.paste(Image.fromarray(picture), (x + (cell - width) // 2, y))
    sheet.paste(key, (margin, below + 8))
    return sheet


def attribute_card(image, overlay, names, probabilities, top=12, note=None):
    """A face, its regions (`overlay`, an image, or None) and bars of its `top` most probable attributes.

    names: A attribute names; probabilities: (A,) in [0, 1]. Bars from 50 % on are strong, the others pale. note: a
    sentence below.
    """
    probabilities = np.asarray(probabilities, float)
    if len(names) != len(probabilities):
        raise ValueError(f"{len(names)} names for {len(probabilities)} probabilities")
    order = np.argsort(-probabilities, kind="stable")[:top]
    margin, gap, line, bar = 28, 14, 30, 220
    height = max(len(order) * line, 240)
    pictures = [scaled(picture, height) for picture in (image, overlay) if picture is not None]

    font = font_of(17)
    shown = [names[i].replace("_", " ") for i in order]
    text = math.ceil(max((font.getlength(name) for name in shown), default=0))
    bars = margin + sum(picture.width + gap for picture in pictures) + 2 * gap + text + gap
    width, small = bars + bar + 62 + margin, font_of(13)
    lines = wrap(drawable(note), small, width - 2 * margin) if note else []
    card, draw = canvas(width, height + 2 * margin + 18 * len(lines))
    for row, part in enumerate(lines):
        draw.text((margin, height + margin + 12 + 18 * row), part, SOFT, small)
    x = margin
    for picture in pictures:
        card.paste(picture, (x, margin), rounded(picture.size, 10))
        x += picture.width + gap
    top_line = margin + (height - len(order) * line) // 2
    for row, (index, name) in enumerate(zip(order, shown, strict=True)):
        y, p = top_line + row * line + line // 2, probabilities[index]
        strong = p >= 0.5
        draw.text((bars - gap, y), name, INK if strong else SOFT, font, anchor="rm")
        draw_bar(card, (bars, y - 7), bar, FAINT)
        draw_bar(card, (bars, y - 7), round(bar * min(max(p, 0.0), 1.0)), ACCENT if strong else PALE)
        draw.text((bars + bar + 62, y), f"{100 * p:.0f} %", INK if strong else SOFT, font, anchor="rm")
    return card


def training_curve(log_records, path=None, loss="loss", measure=None):
    """Line chart over the steps of a training log: the loss and, below it, a validation measure where named.

    log_records: dictionaries (one JSON line each) with "step" and some of the keys `loss` and `measure`.
    Written to `path` where given. Raises TinyfaceError if there is nothing to draw.
    """
    panels = []
    for key, colour in ((loss, ACCENT), (measure, SECOND)):
        points = [(r["step"], r[key]) for r in log_records if key in r and "step" in r and _finite(r[key])]
        if points:
            panels.append((key, colour, sorted(points)))
    if not panels:
        raise TinyfaceError(f"the training log has no finite {loss!r} to draw: train for some steps first")

    width, height, left, right, head, foot = 860, 300, 84, 30, 46, 46
    chart, draw = canvas(width, len(panels) * height + 20)
    steps = [step for _, _, points in panels for step, _ in points]
    for row, (key, colour, points) in enumerate(panels):
        box = (left, row * height + head, width - right, (row + 1) * height - foot)
        values = np.array([value for _, value in points], float)
        panel = Panel(box, steps, values)
        panel.draw(draw, key.replace("_", " "))
        line = [panel.place(step, value) for step, value in points]
        if len(points) > 60:  # noise from batch to batch: pale points' line behind, running mean in front
            polyline(chart, line, tuple((c + 2 * 255) // 3 for c in colour), 1.2)
            smooth = _running_mean(values, len(values) // 30)
            line = [panel.place(step, value) for (step, _), value in zip(points, smooth, strict=True)]
        polyline(chart, line, colour, 2.4, dots=3.5 if len(points) <= 60 else 0)
    draw.text((width - right, len(panels) * height + 4), "step", SOFT, font_of(14), anchor="rs")
    if path is not None:
        save_png(chart, path)
    return chart


def region_weight_map(weights, attribute_names, region_names=REGIONS, grouped=False, values=False):
    """Heat map of SSP's weights w[r, a] (R, A) for its regions' scores (Kalayeh et al. 2017, Figure 4).

    One line per attribute, one column per region; the darker, the larger. Weights of one attribute add to 1; NaN
    leaves a cell empty. grouped: attributes whose largest weight is of one region stand together, the largest weight
    first; those without weights come last. values: the weights also as numbers.
    """
    weights = np.asarray(weights, float)
    if weights.shape != (len(region_names), len(attribute_names)):
        raise ValueError(f"weights {weights.shape}, not ({len(region_names)}, {len(attribute_names)})")
    text, small, margin, line, cell, gap = font_of(14), font_of(12), 24, 20, 84, 2
    known = np.nan_to_num(weights, nan=-1.0)
    group = np.where((known < 0).all(axis=0), len(region_names), known.argmax(axis=0))
    order, between = range(len(attribute_names)), 8 if grouped else 0
    if grouped:
        order = np.lexsort((-known.max(axis=0), group))
    shown = [attribute_names[index].replace("_", " ") for index in order]
    left = margin + math.ceil(max(text.getlength(name) for name in shown)) + 12
    y = margin + 30 - between
    breaks = len(set(group.tolist())) * between
    width, height = left + len(region_names) * cell + margin, y + len(shown) * line + breaks + 62
    image, draw = canvas(width, height)
    for column, name in enumerate(region_names):
        draw.text((left + column * cell + cell // 2, margin + 20), name, INK, text, anchor="ms")
    last = None
    for index, name in zip(order, shown, strict=True):
        y, last = y + between * (group[index] != last), group[index]
        draw.text((left - 12, y + line // 2), name, INK, text, anchor="rm")
        for column, weight in enumerate(weights[:, index]):
            if np.isnan(weight):
                continue
            x = left + column * cell
            draw.rectangle((x, y, x + cell - gap - 1, y + line - gap - 1), heat(weight))
            if values:
                ink = PAPER if weight > 0.5 else INK
                draw.text((x + cell // 2 - 1, y + line // 2 - 1), f"{weight:.2f}", ink, small, anchor="mm")
        y += line
    heat_scale(draw, (left, y + 18), 3 * cell, "weight of the region")
    return image


def _running_mean(values, reach):
    """Mean over the neighbours up to `reach` away, fewer at the ends, as many on either side."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(reach, np.minimum(index, len(values) - 1 - index))
    return (total[index + reach + 1] - total[index - reach]) / (2 * reach + 1)


def _finite(value):
    return isinstance(value, int | float) and math.isfinite(value)
