"""What a parser sees in images, without a thought of learning."""

import numpy as np

from tinyface import backend
from tinyface.core import Tensor, no_grad


def parse(parser, images):
    """Region of every pixel: (N, 3, H, W) float32 → (N, H, W) uint8, by the finest head."""
    parser.eval()
    with no_grad():
        return regions_of(parser(put(parser, images))[-1])


def regions_of(logits):
    """Region of every pixel, on the CPU: logits (N, 7, H, W) → (N, H, W) uint8."""
    return backend.to_device(logits.data.argmax(axis=1).astype(np.uint8), "cpu")


def parser_heads(parser, images, needed):
    """The parser's first `needed` maps of logits, without history: it is frozen (section 5)."""
    if not needed:
        return None
    parser.eval()
    with no_grad():
        return parser(put(parser, images), heads=needed)


def put(network, images):
    """A tensor of the images where the network is."""
    return Tensor(backend.to_device(images, network.device))
