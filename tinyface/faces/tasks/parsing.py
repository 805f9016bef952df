"""The outputs of a segmentation network that is not being trained."""

import numpy as np

from tinyface import backend
from tinyface.core import Tensor, no_grad


def parse(segmentation_net, images):
    """Region of every pixel: (N, 3, H, W) float32 → (N, H, W) uint8, by the finest head."""
    segmentation_net.eval()
    with no_grad():
        return regions_of(segmentation_net(to_tensor(segmentation_net, images))[-1])


def regions_of(logits):
    """Region of every pixel, on the CPU: logits (N, 7, H, W) → (N, H, W) uint8."""
    return backend.to_device(logits.data.argmax(axis=1).astype(np.uint8), "cpu")


def segmentation_heads(segmentation_net, images, needed):
    """The segmentation network's first `needed` maps of logits, without history: it is frozen (section 5)."""
    if not needed:
        return None
    segmentation_net.eval()
    with no_grad():
        return segmentation_net(to_tensor(segmentation_net, images), heads=needed)


def to_tensor(network, images):
    """A tensor of the images where the network is."""
    return Tensor(backend.to_device(images, network.device))
