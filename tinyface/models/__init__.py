"""The networks of the papers."""

from .attributes import AttributeNet
from .joint import JointNet
from .segmentation import SegmentationNet, segmentation_loss

__all__ = ["AttributeNet", "JointNet", "SegmentationNet", "segmentation_loss"]
