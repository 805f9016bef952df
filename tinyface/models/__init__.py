"""The networks of the papers."""

from .attributes import AttributeNet
from .segmentation import SegmentationNet, segmentation_loss

__all__ = ["AttributeNet", "SegmentationNet", "segmentation_loss"]
