"""The paper's Figures 3, 4 and 5, and maps of the regions behind each attribute (Kalayeh et al. 2017, section 4.5).

Each function returns a PIL image; save with `drawing.save_png`. Those that begin with a figure's name take networks
and a data set, and call one that draws arrays.

figure3              faces and the regions that the segmentation network predicts
figure4              the regions' weights for each attribute
figure5              the last layer's channels, of several networks
localization_figure  the places behind the attributes that faces have (beyond the paper)
"""

import math

import numpy as np
from PIL import Image

from tinyface.errors import TinyfaceError

from .. import tasks
from ..data.dataset import ATTRIBUTES
from ..data.loader import batches_in_order
from ..data.transforms import to_network_input
from ..models.masks import CELL
from .activations import TOP, last_maps, last_masks, spread, top_channels
from .drawing import FAINT, INK, SECOND, SOFT, canvas, drawable, font_of, heat, heat_scale, scaled, to_pixels
from .localization import attribute_maps, face_weights, gather_weights
from .visualize import parsing_sheet, region_weight_map

BATCH = 64
SHOWN = 200  # pixels, about: the height of faces in Figure 3


def figure3(segmentation_net, dataset, faces=6):
    """The first faces of a split, their true regions where the data set has them, and the segmentation network's.

    Small networks' faces are shown enlarged.
    """
    size = tuple(segmentation_net.config["size"])
    factor = max(1, round(SHOWN / size[0]))
    large = tuple(factor * length for length in size)
    indices = range(min(faces, len(dataset)))
    found = tasks.parse(segmentation_net, to_network_input(face_images(dataset, indices, size)))
    truth = None
    if dataset.label_reader is not None:
        truth = [dataset.labels(index, large) for index in indices]
    images = face_images(dataset, indices, large)
    return parsing_sheet(images, found.repeat(factor, axis=1).repeat(factor, axis=2), truth)


def figure4(task, dataset):
    """Mean weight of each region for each attribute over all faces of a split, as a heat map.

    Raises TinyfaceError where the AttributeTask's network does not weigh the seven regions.
    """
    batches = batches_in_order(dataset, "attributes", BATCH, tuple(task.network.config["size"]))
    return weight_figure(gather_weights(task, batches)[0])


def weight_figure(weights):
    """Figure 4 from weights (N, 7, 40)."""
    return region_weight_map(weights.mean(axis=0), ATTRIBUTES, grouped=True, values=True)


def figure5(named_tasks, dataset, index=0, top=TOP):
    """The top channels of the last layer for face `index` of a split: {title: AttributeTask}, from top to bottom.

    In the paper that is the basic network and, below it, SSP's.
    """
    maps, image = {}, None
    for title, task in named_tasks.items():
        [shown] = face_images(dataset, [index], task.network.config["size"])
        image = shown if image is None else image
        maps[title] = last_maps(task, to_network_input(shown[None]))[0]
    return channel_grids(image, maps, top)


def channel_grids(image, maps, top=TOP, columns=10, height=48):
    """A face, and beside it a grid of each network's top channels; {title: map (C, h, w)}.

    White is 0 and what is below; the darkest colour is the largest value of that network. Raises ValueError without
    any map.
    """
    if not maps:
        raise ValueError("a figure of channels needs at least one network")
    margin, gap, head, foot = 24, 4, 34, 50
    grids = []
    for title, network_maps in maps.items():
        chosen = np.maximum(np.asarray(network_maps, float)[top_channels(network_maps, top)], 0)
        mean = np.nanmean(spread(chosen)) if chosen.any() else math.nan
        extent = "" if math.isnan(mean) else f", each spread over {100 * mean:.0f} % of the cells"
        grids.append((chosen, f"{drawable(title)}: {len(chosen)} of {len(network_maps)} channels{extent}"))

    face = scaled(image, 4 * (height + gap))
    tiles = [[heat_picture(m / (chosen.max() or 1.0), height) for m in chosen] for chosen, _ in grids]
    cell = max(tile.width for row in tiles for tile in row) + gap
    left = margin + face.width + margin
    heights = [head + math.ceil(len(row) / columns) * (height + gap) + foot for row in tiles]
    caption = max(font_of(16).getlength(title) for _, title in grids)
    sheet, draw = canvas(left + max(columns * cell, math.ceil(caption), 380) + margin, margin + sum(heights))
    sheet.paste(face, (margin, margin + head))
    y = margin
    for (chosen, title), row, used in zip(grids, tiles, heights, strict=True):
        draw.text((left, y + head // 2), title, INK, font_of(16), anchor="lm")
        for number, tile in enumerate(row):
            x, top_edge = left + number % columns * cell, y + head + number // columns * (height + gap)
            draw.rectangle((x - 1, top_edge - 1, x + tile.width, top_edge + tile.height), outline=FAINT)
            sheet.paste(tile, (x, top_edge))
        heat_scale(draw, (left, y + used - foot + 6), 200, "activation", chosen.max() or 1.0)
        y += used
    return sheet


def localization_figure(task, dataset, indices=range(4), limit=7):
    """For some faces of a split, the regions that the attributes they have are predicted from: a row per face.

    Raises TinyfaceError where the AttributeTask's network does not weigh the seven regions.
    """
    size = tuple(task.network.config["size"])
    indices = [index for index in indices if index < len(dataset)]
    if not indices:
        raise TinyfaceError(f"{dataset.root}: has no face of these numbers; there are {len(dataset)}")
    images = face_images(dataset, indices, size)
    inputs = to_network_input(images)
    maps = attribute_maps(face_weights(task, inputs), last_masks(task.segmentation_net, inputs))
    return localization_sheet(images, maps, dataset.attributes[indices], limit=limit)


def localization_sheet(images, maps, has, names=ATTRIBUTES, limit=7):
    """Rows of a face and, for up to `limit` attributes it has, the place of each laid over it, the clearest first.

    images: N pictures as the network sees them; maps (N, A, h, w) in [0, 1] of cells of 16×16 pixels, as
    `localization.attribute_maps` makes them; has (N, A). The stronger the colour, the more of the score is from there.
    """
    if not len(images):
        raise ValueError("a localization sheet needs at least one image")
    height, margin, gap, caption = 150, 24, 10, 24
    rows = []
    for image, face_maps, own in zip(images, maps, has, strict=True):
        chosen = np.flatnonzero(own)
        chosen = chosen[np.argsort(-np.ptp(face_maps[chosen], axis=(1, 2)), kind="stable")][:limit]
        shown = [(names[a].replace("_", " "), tinted(image, face_maps[a])) for a in chosen]
        rows.append([("", to_pixels(image)), *shown])
    tiles = [[(name, scaled(picture, height)) for name, picture in row] for row in rows]
    cell = max(tile.width for row in tiles for _, tile in row)
    cell = max([cell, *(math.ceil(font_of(13).getlength(name)) for row in tiles for name, _ in row)]) + gap
    width = 2 * margin + max(len(row) for row in tiles) * cell - gap
    sheet, draw = canvas(width, 2 * margin + len(tiles) * (height + caption + gap) - gap)
    for row, line in enumerate(tiles):
        y = margin + row * (height + caption + gap)
        for column, (name, tile) in enumerate(line):
            x = margin + column * cell
            sheet.paste(tile, (x + (cell - gap - tile.width) // 2, y))
            middle = x + (cell - gap) // 2
            draw.text((middle, y + height + caption // 2), name, SOFT, font_of(13), anchor="mm")
    return sheet


def tinted(image, place, cell=CELL):
    """A picture in pale grey, with `place` (h, w) in [0, 1] over it in colour: (H, W, 3) uint8.

    Each number stands for a square of `cell` pixels; the last row and column may reach beyond the picture, as they
    do behind poolings in ceil mode.
    """
    picture = to_pixels(image)
    grey = picture.mean(axis=2, keepdims=True) * 0.6 + 255 * 0.4
    mask = Image.fromarray(np.asarray(place, np.float32))
    mask = mask.resize((mask.width * cell, mask.height * cell), Image.Resampling.BILINEAR)
    alpha = 0.85 * np.clip(np.asarray(mask)[: picture.shape[0], : picture.shape[1], None], 0, 1)
    return np.rint((1 - alpha) * grey + alpha * np.array(SECOND)).astype(np.uint8)


def heat_picture(values, height):
    """(h, w) in [0, 1] as a PIL image of about this height, with a square for each cell."""
    colours = np.array([[heat(v) for v in row] for row in values], np.uint8)
    factor = max(1, height // len(values))
    return Image.fromarray(colours.repeat(factor, axis=0).repeat(factor, axis=1))


def face_images(dataset, indices, size):
    """(n, h, w, 3) uint8 of some faces of a split. Raises TinyfaceError where there is no such face."""
    if max(indices, default=-1) >= len(dataset):
        raise TinyfaceError(f"{dataset.root}: face {max(indices)} is asked for, but there are {len(dataset)}")
    return np.stack([dataset.image(index, tuple(size)) for index in indices])
