"""Segmentation of faces."""

from ..metrics import ConfusionMatrix
from ..models import segmentation_loss
from ..models.attributes import REGIONS
from .parsing import parse, to_tensor


class SegmentationTask:
    """Segment faces into regions. The measure is mean IoU."""

    targets, landmarks = "labels", False
    measure, larger_is_better = "mean_iou", True

    def __init__(self, network):
        self.network = network

    def loss(self, batch):
        """Scalar tensor: the four heads' cross-entropies (section 3.2)."""
        return segmentation_loss(self.network(to_tensor(self.network, batch.images)), batch.targets)

    def evaluate(self, batches):
        """ConfusionMatrix over batches of images and label maps."""
        confusion = ConfusionMatrix(REGIONS)
        for batch in batches:
            confusion.update(parse(self.network, batch.images), batch.targets)
        return confusion

    def summarise(self, confusion):
        """The measures to log, plain numbers."""
        return {"mean_iou": confusion.mean_iou(), "pixel_accuracy": confusion.pixel_accuracy()}
