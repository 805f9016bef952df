"""The networks of the papers."""

from .attributes import AttributeNet
from .joint import JointNet
from .resnet import ResNetAttributes
from .segmentation import SegmentationNet, segmentation_loss
from .sspl import SSPLNet

__all__ = [
    "AttributeNet",
    "JointNet",
    "ResNetAttributes",
    "SSPLNet",
    "SegmentationNet",
    "segmentation_loss",
]
