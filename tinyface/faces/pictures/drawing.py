"""What all pictures are drawn with: canvas, fonts, colours, smooth lines, scales. Pillow alone.

Pictures come as PIL images or as arrays (H, W, 3) uint8. `save_png` writes one.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinyface.files import atomic_write

PAPER, INK, SOFT, FAINT = (255, 255, 255), (32, 36, 44), (112, 118, 130), (232, 235, 240)
ACCENT, PALE, SECOND = (0, 114, 178), (158, 190, 214), (213, 94, 0)


def save_png(image, path):
    """Write a PIL image as PNG, whole or not at all. Raises TinyfaceError where it cannot be written."""
    content = io.BytesIO()
    image.save(content, "PNG")
    atomic_write(path, content.getbuffer())


@lru_cache
def font_of(size):
    """Pillow's own font. It lacks some signs: names from outside go through `drawable`."""
    return ImageFont.load_default(size)


def drawable(text):
    """The text with plain hyphens for dashes and minus signs, which the font lacks."""
    return text.translate(str.maketrans("–—−‑", "----"))


def wrap(text, font, width):
    """The text in lines no longer than `width` pixels; a longer word has a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def canvas(width, height):
    image = Image.new("RGB", (int(width), int(height)), PAPER)
    return image, ImageDraw.Draw(image)


def to_pixels(image):
    """A picture as (H, W, 3) uint8."""
    if isinstance(image, Image.Image):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"an image must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    return pixels


def scaled(picture, height):
    """A picture as a PIL image of this height, its aspect kept."""
    picture = Image.fromarray(to_pixels(picture))
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


SMOOTH = 4  # shapes are drawn this many times larger and shrunk: Pillow itself does not smooth edges


def rounded(size, radius):
    """A mask of this size with round corners."""
    mask = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))
    box = (0, 0, mask.width - 1, mask.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius * SMOOTH, fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def draw_bar(image, place, length, colour):
    """A horizontal bar, 14 pixels high, with round ends."""
    if length:
        image.paste(colour, place, rounded((length, 14), min(length, 14) // 2))


def polyline(image, points, colour, width, dots=0):
    """A smooth line through the points (x, y), with dots of this radius on them."""
    reach = math.ceil(max(width, dots)) + 1
    across, down = zip(*points, strict=True)
    left, top = math.floor(min(across)) - reach, math.floor(min(down)) - reach
    size = math.ceil(max(across)) + reach - left, math.ceil(max(down)) + reach - top
    mask = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))  # of the line's surroundings only
    draw = ImageDraw.Draw(mask)
    line = [((x - left) * SMOOTH, (y - top) * SMOOTH) for x, y in points]
    draw.line(line, 255, round(width * SMOOTH), joint="curve")
    radius = dots * SMOOTH
    for x, y in line if dots else ():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    image.paste(colour, (left, top), mask.resize(size, Image.Resampling.BOX))


def heat(share):
    """White to dark blue for 0 … 1."""
    stops = np.array([(247, 249, 252), (158, 202, 225), (33, 113, 181), (8, 38, 92)], float)
    place = min(max(float(share), 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    colour = stops[first] + (place - first) * (stops[first + 1] - stops[first])
    return tuple(np.rint(colour).astype(int).tolist())


def heat_scale(draw, place, width, caption, high=1.0):
    """A strip of `heat`'s colours with the numbers 0, high / 2, high below it and a caption behind it."""
    x, y = place
    for step in range(width):
        draw.line((x + step, y, x + step, y + 11), heat(step / (width - 1)))
    for share in (0, 0.5, 1):
        draw.text((x + share * (width - 1), y + 17), f"{share * high:.3g}", SOFT, font_of(14), anchor="ma")
    draw.text((x + width + 16, y + 6), caption, SOFT, font_of(14), anchor="lm")


def ticks(low, high, wanted=5):
    """Round numbers that cover low … high, steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * wanted >= span)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)  # two ticks even where low = high
    return [i * step for i in range(first, last + 1)]


class Panel:
    """Axes of a line chart: data (x, y) to pixels, with a grid, numbers and a title.

    box: (left, top, right, bottom) of the field in pixels; xs, ys: the numbers to be shown, which set the scales.
    A single x, or a single y, gets a scale around it.
    """

    def __init__(self, box, xs, ys):
        self.box, self.y_ticks = box, ticks(min(ys), max(ys))
        self.x_low = 0 if min(xs) < max(xs) / 10 else min(xs)
        self.x_high = max(max(xs), self.x_low + 1)
        self.low, self.high = min(self.y_ticks[0], min(ys)), max(self.y_ticks[-1], max(ys))

    def place(self, x, y):
        """Where (x, y) lies in the picture."""
        left, top, right, bottom = self.box
        across, up = (x - self.x_low) / (self.x_high - self.x_low), (y - self.low) / (self.high - self.low)
        return left + across * (right - left), bottom - up * (bottom - top)

    def draw(self, draw, title):
        """Title, horizontal lines with their numbers, and whole numbers below."""
        left, top, right, bottom = self.box
        draw.text((left, top - 18), title, INK, font_of(17), anchor="ls")
        for tick in self.y_ticks:
            y = round(self.place(self.x_low, tick)[1])
            draw.line((left, y, right, y), FAINT)
            draw.text((left - 12, y), f"{tick:g}", SOFT, font_of(14), anchor="rm")
        for tick in ticks(self.x_low, self.x_high, 6):
            if self.x_low <= tick <= self.x_high and tick == round(tick):
                x = self.place(tick, self.low)[0]
                draw.text((x, bottom + 10), f"{tick:,.0f}", SOFT, font_of(14), anchor="ma")
