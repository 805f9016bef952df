"""Every network that reads attributes, by its name: the modes of AttributeNet, and ResNet-18."""

from .attributes import MODES, AttributeNet
from .resnet import RESNET, ResNetAttributes

READERS = (*MODES, RESNET)


def make_reader(name, width, size):
    """A new network; its `mode` is its name in READERS."""
    return ResNetAttributes(width, size) if name == RESNET else AttributeNet(width, name, size)
