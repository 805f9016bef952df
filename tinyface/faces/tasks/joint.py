"""Segmentation and attributes at once."""

from dataclasses import dataclass

from tinyface import ops

from ..data.loader import Batch
from ..models import segmentation_loss
from .attributes import AttributeTask
from .parsing import to_tensor
from .segmentation import SegmentationTask


@dataclass
class JointBatch:
    """The data of one step of joint training: a Batch of each data set."""

    labelled: Batch
    attributed: Batch


class JointTask:
    """Segment faces and predict attributes with one encoder (section 4.4). The measure is mean IoU."""

    measure, larger_is_better = "mean_iou", True

    def __init__(self, network):
        self.network = network
        self.segmentation_task, self.attribute_task = (
            SegmentationTask(network.parser),
            AttributeTask(network.reader),
        )

    def loss(self, batch):
        """Scalar tensor: the two losses of a JointBatch, added."""
        labelled, attributed = batch.labelled, batch.attributed
        heads, logits = self.network(*(to_tensor(self.network, b.images) for b in (labelled, attributed)))
        segmentation = segmentation_loss(heads, labelled.targets)
        return segmentation + ops.sigmoid_cross_entropy(logits, attributed.targets)

    def summarise(self, found):
        """The measures to log, of a ConfusionMatrix and of AttributeMetrics (None where there are no such faces)."""
        confusion, metrics = found
        return self.segmentation_task.summarise(confusion) | (
            self.attribute_task.summarise(metrics) if metrics else {}
        )
