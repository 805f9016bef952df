"""The networks of the papers."""

from .attributes import AttributeNet
from .joint import JointNet
from .lnet_anet import ANet, AttributeSVM, LNet
from .resnet import ResNetAttributes
from .segmentation import SegmentationNet, segmentation_loss
from .sspl import SSPLNet

__all__ = [
    "ANet",
    "AttributeNet",
    "AttributeSVM",
    "JointNet",
    "LNet",
    "ResNetAttributes",
    "SSPLNet",
    "SegmentationNet",
    "segmentation_loss",
]
