"""ANet's features of overlapping patches, all at once (Liu et al. 2015, section 3.2, "interweaved operation").

Patches of an image that lie STEP pixels apart have C2 in common, moved by one cell. So C2 runs once over the image;
then each of C3's nine filters, each over the whole map, in so far as its cell comes to lie there in some patch: nine
maps. Their numbers at one place are what one patch has at that place of its nine cells, so interwoven, place by place,
they are C3 of every patch, and each of C4's four filters, which takes the same place of four cells, is a 1×1
convolution of four maps: of cells 1, 2, 4, 5 and so on. The fully connected layer then takes each patch's part of the
result. Crop by crop gives the same features.
"""

import numpy as np

from tinyface import backend, ops
from tinyface.core import Tensor, no_grad

from ..models.lnet_anet import CELLS, PAIRS, STEP


def image_side(side, patches):
    """Pixels along an image that has `patches` patches of `side` pixels either way."""
    return side + STEP * (patches - 1)


def crop_by_crop(network, images, patches):
    """Features (N, patches², F) of the patches of images (N, 3, side, side), row by row: each patch by itself."""
    side = network.config["size"][0]
    places = [slice(STEP * p, STEP * p + side) for p in range(patches)]
    with no_grad():
        found = [
            network.features(Tensor(images[:, :, rows, cols])).data for rows in places for cols in places
        ]
    return backend.get_array_module(images).stack(found, axis=1)


def interwoven(network, images, patches):
    """The same as `crop_by_crop`, with what patches have in common computed once."""
    xp, m, n = backend.get_array_module(images), network.cell, images.shape[0]
    reach = m + patches - 1  # where a cell comes to lie, over all patches
    w3, b3, w4, b4 = (p.data for layer in (network.conv3, network.conv4) for p in (layer.weight, layer.bias))
    with no_grad():
        c2 = network.shared(Tensor(images))
        c3 = {}
        for r, s in np.ndindex(CELLS):
            part = c2[:, :, r * m : r * m + reach + 2, s * m : s * m + reach + 2]
            c3[r, s] = ops.relu(ops.conv2d(part, xp.ascontiguousarray(w3[r, s]), b3[r, s]))
        c4 = {}
        for a, b in np.ndindex(PAIRS):
            cells = ops.concat([c3[a + u, b + v] for u in range(2) for v in range(2)])
            # (out, in, 2, 2) as (out, (u, v, in), 1, 1), in the order of the cells
            weight = w4[a, b].transpose(0, 2, 3, 1).reshape(w4.shape[2], -1, 1, 1)
            c4[a, b] = ops.relu(ops.conv2d(cells, xp.ascontiguousarray(weight), b4[a, b])).data
        found = xp.empty((n, patches**2, w4.shape[2], 2 * m, 2 * m), images.dtype)
        for index, (p, q) in enumerate(np.ndindex(patches, patches)):
            for a, b in np.ndindex(PAIRS):
                cell = c4[a, b][:, :, p : p + m, q : q + m]
                found[:, index, :, a * m : (a + 1) * m, b * m : (b + 1) * m] = cell
        features = network.describe(Tensor(found.reshape(n * patches**2, *found.shape[2:])))
    return features.data.reshape(n, patches**2, -1)
