"""What is trained: for each task the loss of a batch, and the measures on a validation split.

segmentation.py  regions of faces
attributes.py    attributes; joint.py: both at once
sspl.py          learn from faces without labels
wild.py          LNet and ANet
parsing.py       the frozen segmentation network's outputs for the others
"""

from ..data.loader import batches_in_order
from .attributes import AttributeTask, BalancedTask, averaged, evaluate_all, gather, positive_weights
from .joint import JointBatch, JointTask
from .parsing import parse, segmentation_heads
from .segmentation import SegmentationTask
from .sspl import SSPLTask
from .wild import FaceTask, IdentityTask, LocatingTask, TagTask

__all__ = [
    "AttributeTask",
    "BalancedTask",
    "FaceTask",
    "IdentityTask",
    "JointBatch",
    "JointTask",
    "LocatingTask",
    "SSPLTask",
    "SegmentationTask",
    "TagTask",
    "averaged",
    "evaluate_all",
    "gather",
    "parse",
    "positive_weights",
    "segmentation_heads",
    "validation",
]


def validation(task, dataset, batch_size, size, cache=None):
    """What `task.evaluate` makes of a whole data set."""
    return task.evaluate(batches_in_order(dataset, task.targets, batch_size, size, cache, task.landmarks))
