"""Every network that predicts attributes, by its name: the modes of AttributeNet, and ResNet-18."""

from ..choices import RESNET
from .attributes import MODES, AttributeNet
from .resnet import ResNetAttributes

ATTRIBUTE_NETWORKS = (*MODES, RESNET)


def make_attribute_network(name, width, size, region_pooling="mean"):
    """A new network; its `mode` is its name in ATTRIBUTE_NETWORKS. region_pooling: that of AttributeNet."""
    if name == RESNET:
        return ResNetAttributes(width, size)
    return AttributeNet(width, name, size, region_pooling=region_pooling)
