"""What SSP's head pools under: the regions of a face, or boxes around its landmarks (sections 4.3.1 and 5)."""

from tinyface import backend, ops

AVERAGED_REGIONS = 3  # background, hair, face skin; eyes, eyebrows, mouth and nose come after them
CELL = 16  # pixels of the image along a cell of the last map: four poolings

# The boxes of the BBox baseline, at the paper's image size. (height, width) = side · (1, 1), (√½, √2), (√2, √½).
PAPER_SIZE = 218, 178
BOX_SIDE = 20
BOX_SHAPES = (1.0, 2.0, 0.5)  # width over height
LANDMARKS = 5
BOXES = 1 + LANDMARKS * len(BOX_SHAPES)


def region_masks(logits):
    """Deconv23's probabilities brought to the last map's size by three 2× ceil-mode poolings (section 5).

    Maximum for eyes, eyebrows, mouth and nose: it widens these small regions, which adds context; average for
    background, hair and skin. logits (N, 7, h, w) → (N, 7, ⌈h/8⌉, ⌈w/8⌉).
    """
    masks = ops.softmax(logits)
    large, small = masks[:, :AVERAGED_REGIONS], masks[:, AVERAGED_REGIONS:]
    for _ in range(3):
        large = ops.avg_pool2d(large, 2, ceil_mode=True)
        small = ops.max_pool2d(small, 2, ceil_mode=True)
    return ops.concat((large, small))


def box_masks(landmarks, size, dtype):
    """The whole image and, around each landmark, boxes of three shapes, as masks on the last map (section 4.3.1).

    landmarks: array (N, 5, 2), x and y in pixels of an image of `size` (height, width), 0 at the centre of the first;
    one outside the image counts as on its edge. → array (N, 16, ⌈H/16⌉, ⌈W/16⌉) of `dtype` where they are: the whole
    image, then the first landmark's 1:1, 1:2, 2:1, and so on.

    m[cell] = share of the cell's area that the box covers. A box is hardly larger than a cell, so asking only whether
    the cell's centre lies in it would lose most of where it is. Our reading of the area, which the paper's text leaves
    out: 20² pixels at 218×178, scaled with the image.
    """
    xp = backend.get_array_module(landmarks)
    landmarks = landmarks.astype(dtype)
    shares = []
    for shape in BOX_SHAPES:
        along = []
        for axis, length in enumerate(size):
            side = BOX_SIDE * length / PAPER_SIZE[axis] * shape ** (axis - 0.5)
            centre = landmarks[:, :, 1 - axis].clip(0, length - 1) + 0.5
            along.append(covered(xp, centre - side / 2, centre + side / 2, length))
        rows, columns = along
        shares.append(rows[:, :, :, None] * columns[:, :, None, :])
    boxes = xp.stack(shares, axis=2)  # (N, 5, 3, h, w)
    n, h, w = len(boxes), *boxes.shape[3:]
    whole = xp.ones((n, 1, h, w), dtype)
    return xp.concatenate([whole, boxes.reshape(n, BOXES - 1, h, w)], axis=1)


def covered(xp, start, stop, length):
    """The share of each cell that the interval [start, stop) covers: (N, 5) each → (N, 5, ⌈length/16⌉).

    Cell i spans the pixels 16·i … 16·i + 15; the last one ends with the image.
    """
    first = CELL * xp.arange(-(-length // CELL)).astype(start.dtype)
    last = (first + CELL).clip(None, length)
    overlap = xp.minimum(stop[:, :, None], last) - xp.maximum(start[:, :, None], first)
    return overlap.clip(0, None) / (last - first)
