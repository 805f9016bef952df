"""Pictures, drawn with Pillow alone: parsing overlays and sheets, attribute cards, curves, region weights.

Every function returns a PIL image (RGB); `save_png` writes one. Images come as PIL images or as arrays
(H, W, 3) uint8; label maps as integer arrays (H, W) with the ids of REGIONS.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .data.dataset import REGIONS
from .errors import TinyfaceError
from .files import atomic_write

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

PAPER, INK, SOFT, FAINT = (255, 255, 255), (32, 36, 44), (112, 118, 130), (232, 235, 240)
ACCENT, PALE, SECOND = (0, 114, 178), (158, 190, 214), (213, 94, 0)


def overlay(image, labels, alpha=0.5):
    """The picture with its regions in colour, (H, W, 3) uint8: (1 − alpha)·image + alpha·PALETTE[labels].

    Pixels whose label is no region (an ignored one, say) keep their colour.
    Raises ValueError where sizes differ.
    """
    picture = _pixels(image)
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
    font, patch, height = _font(14), 14, 26
    cell = patch + 7 + math.ceil(max(font.getlength(name) for name in names)) + 18
    columns = max(1, width // cell) if width else len(names)
    rows = math.ceil(len(names) / columns)
    columns = math.ceil(len(names) / rows)  # rows of even length
    image, draw = _canvas(width or columns * cell, rows * height)
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
    columns = {"image": [_pixels(image) for image in images]}
    if truth is not None:
        columns["truth"] = [overlay(i, t, alpha) for i, t in zip(images, truth, strict=True)]
    columns["prediction"] = [overlay(i, p, alpha) for i, p in zip(images, predicted, strict=True)]

    height, width = columns["image"][0].shape[:2]
    cell, gap, margin, head = max(width, 96), 10, 20, 30
    inner = len(columns) * (cell + gap) - gap
    key = legend(width=inner)
    below = margin + head + len(images) * (height + gap)
    sheet, draw = _canvas(inner + 2 * margin, below + 8 + key.height + margin - 6)
    for column, (caption, pictures) in enumerate(columns.items()):
        x = margin + column * (cell + gap)
        draw.text((x + cell // 2, margin + head // 2 - 5), caption, INK, _font(16), anchor="mm")
        for row, picture in enumerate(pictures):
            y = margin + head + row * (height + gap)
            sheet.paste(Image.fromarray(picture), (x + (cell - width) // 2, y))
    sheet.paste(key, (margin, below + 8))
    return sheet


def attribute_card(image, overlay, names, probabilities, top=12):
    """A face, its parsing (`overlay`, an image, or None) and bars of its `top` most probable attributes.

    names: A attribute names; probabilities: (A,) in [0, 1]. Bars from 50 % on are strong, the others pale.
    """
    probabilities = np.asarray(probabilities, float)
    if len(names) != len(probabilities):
        raise ValueError(f"{len(names)} names for {len(probabilities)} probabilities")
    order = np.argsort(-probabilities, kind="stable")[:top]
    margin, gap, line, bar = 28, 14, 30, 220
    height = max(len(order) * line, 240)
    pictures = [_scaled(picture, height) for picture in (image, overlay) if picture is not None]

    font = _font(17)
    shown = [names[i].replace("_", " ") for i in order]
    text = math.ceil(max((font.getlength(name) for name in shown), default=0))
    bars = margin + sum(picture.width + gap for picture in pictures) + 2 * gap + text + gap
    card, draw = _canvas(bars + bar + 62 + margin, height + 2 * margin)
    x = margin
    for picture in pictures:
        card.paste(picture, (x, margin), _rounded(picture.size, 10))
        x += picture.width + gap
    top_line = margin + (height - len(order) * line) // 2
    for row, (index, name) in enumerate(zip(order, shown, strict=True)):
        y, p = top_line + row * line + line // 2, probabilities[index]
        strong = p >= 0.5
        draw.text((bars - gap, y), name, INK if strong else SOFT, font, anchor="rm")
        _bar(card, (bars, y - 7), bar, FAINT)
        _bar(card, (bars, y - 7), round(bar * min(max(p, 0.0), 1.0)), ACCENT if strong else PALE)
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
    chart, draw = _canvas(width, len(panels) * height + 20)
    steps = [step for _, _, points in panels for step, _ in points]
    x_low = 0 if min(steps) < max(steps) / 10 else min(steps)
    x_high = max(max(steps), x_low + 1)
    for row, (key, colour, points) in enumerate(panels):
        top, bottom = row * height + head, (row + 1) * height - foot
        values = np.array([value for _, value in points], float)
        ticks = _ticks(values.min(), values.max())
        low, high = min(ticks[0], values.min()), max(ticks[-1], values.max())

        def place(step, value, top=top, bottom=bottom, low=low, high=high):
            x = left + (step - x_low) / (x_high - x_low) * (width - left - right)
            return x, bottom - (value - low) / (high - low) * (bottom - top)

        draw.text((left, top - 18), key.replace("_", " "), INK, _font(17), anchor="ls")
        for tick in ticks:
            y = round(place(x_low, tick)[1])
            draw.line((left, y, width - right, y), FAINT)
            draw.text((left - 12, y), f"{tick:g}", SOFT, _font(14), anchor="rm")
        for tick in _ticks(x_low, x_high, 6):
            if x_low <= tick <= x_high and tick == round(tick):
                draw.text((place(tick, low)[0], bottom + 10), f"{tick:,.0f}", SOFT, _font(14), anchor="ma")
        line = [place(step, value) for step, value in points]
        if len(points) > 60:  # noise from batch to batch: pale points' line behind, running mean in front
            _polyline(chart, line, tuple((c + 2 * 255) // 3 for c in colour), 1.2)
            smooth = _running_mean(values, len(values) // 30)
            line = [place(step, value) for (step, _), value in zip(points, smooth, strict=True)]
        _polyline(chart, line, colour, 2.4, dots=3.5 if len(points) <= 60 else 0)
    draw.text((width - right, len(panels) * height + 4), "step", SOFT, _font(14), anchor="rs")
    if path is not None:
        save_png(chart, path)
    return chart


def region_weight_map(weights, attribute_names, region_names=REGIONS):
    """Heat map of SSP's weights w[r, a] (R, A) for its regions' scores (Kalayeh et al. 2017, Figure 4).

    One line per attribute, one column per region; the darker, the heavier. Weights of one attribute add to 1.
    """
    weights = np.asarray(weights, float)
    if weights.shape != (len(region_names), len(attribute_names)):
        raise ValueError(f"weights {weights.shape}, not ({len(region_names)}, {len(attribute_names)})")
    font, margin, line, cell, gap = _font(14), 24, 20, 84, 2
    shown = [name.replace("_", " ") for name in attribute_names]
    left = margin + math.ceil(max(font.getlength(name) for name in shown)) + 12
    top = margin + 30
    width, height = left + len(region_names) * cell + margin, top + len(shown) * line + 62
    image, draw = _canvas(width, height)
    for column, name in enumerate(region_names):
        draw.text((left + column * cell + cell // 2, top - 10), name, INK, font, anchor="ms")
    for row, name in enumerate(shown):
        y = top + row * line
        draw.text((left - 12, y + line // 2), name, INK, font, anchor="rm")
        for column in range(len(region_names)):
            x = left + column * cell
            draw.rectangle((x, y, x + cell - gap - 1, y + line - gap - 1), _heat(weights[column, row]))
    bar_y, bar_width = top + len(shown) * line + 18, 3 * cell
    for x in range(bar_width):
        draw.line((left + x, bar_y, left + x, bar_y + 11), _heat(x / (bar_width - 1)))
    for share in (0, 0.5, 1):
        place = (left + share * (bar_width - 1), bar_y + 17)
        draw.text(place, f"{share:g}", SOFT, font, anchor="ma")
    draw.text((left + bar_width + 16, bar_y + 6), "weight of the region", SOFT, font, anchor="lm")
    return image


def save_png(image, path):
    """Write a PIL image as PNG, whole or not at all. Raises TinyfaceError where it cannot be written."""
    content = io.BytesIO()
    image.save(content, "PNG")
    atomic_write(path, content.getbuffer())


@lru_cache
def _font(size):
    return ImageFont.load_default(size)


def _canvas(width, height):
    image = Image.new("RGB", (int(width), int(height)), PAPER)
    return image, ImageDraw.Draw(image)


def _pixels(image):
    """A picture as (H, W, 3) uint8."""
    if isinstance(image, Image.Image):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"an image must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    return pixels


def _scaled(picture, height):
    """A picture as a PIL image of this height, its aspect kept."""
    picture = Image.fromarray(_pixels(picture))
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


SMOOTH = 4  # shapes are drawn this many times larger and shrunk: Pillow itself does not smooth edges


def _rounded(size, radius):
    """A mask of this size with round corners."""
    mask = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))
    box = (0, 0, mask.width - 1, mask.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius * SMOOTH, fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def _bar(image, place, length, colour):
    """A horizontal bar, 14 pixels high, with round ends."""
    if length:
        image.paste(colour, place, _rounded((length, 14), min(length, 14) // 2))


def _polyline(image, points, colour, width, dots=0):
    """A smooth line through the points (x, y), with dots of this radius on them."""
    mask = Image.new("L", (image.width * SMOOTH, image.height * SMOOTH))
    draw = ImageDraw.Draw(mask)
    line = [(x * SMOOTH, y * SMOOTH) for x, y in points]
    draw.line(line, 255, round(width * SMOOTH), joint="curve")
    radius = dots * SMOOTH
    for x, y in line if dots else ():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    image.paste(colour, (0, 0), mask.resize(image.size, Image.Resampling.BOX))


def _heat(share):
    """White to dark blue for 0 … 1."""
    stops = np.array([(247, 249, 252), (158, 202, 225), (33, 113, 181), (8, 38, 92)], float)
    place = min(max(float(share), 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    colour = stops[first] + (place - first) * (stops[first + 1] - stops[first])
    return tuple(np.rint(colour).astype(int).tolist())


def _ticks(low, high, wanted=5):
    """Round numbers that cover low … high, steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * wanted >= span)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)  # two ticks even where low = high
    return [i * step for i in range(first, last + 1)]


def _running_mean(values, reach):
    """Mean over the neighbours up to `reach` away, fewer at the ends, as many on either side."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(reach, np.minimum(index, len(values) - 1 - index))
    return (total[index + reach + 1] - total[index - reach]) / (2 * reach + 1)


def _finite(value):
    return isinstance(value, int | float) and math.isfinite(value)
