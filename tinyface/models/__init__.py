"""The networks of the papers."""

from .attributes import AttributeNet
from .joint import JointNet
from .lnet_anet import ANet, AttributeSVM, LNet
from .segmentation import SegmentationNet, segmentation_loss

__all__ = ["ANet", "AttributeNet", "AttributeSVM", "JointNet", "LNet", "SegmentationNet", "segmentation_loss"]
