"""Predicting attributes: one network, several whose predictions are averaged, and fine-tuning for balanced accuracy."""

import numpy as np

from tinyface import backend, ops
from tinyface.core import no_grad
from tinyface.errors import NotFiniteError
from tinyface.ops.sigmoid import logistic

from ..data.landmarks import landmarks_from_regions
from ..metrics import attribute_metrics
from ..models.attributes import HEADS_NEEDED
from .parsing import regions_of, segmentation_heads, to_tensor

AVERAGED = "ssp", "ssg"  # SSP + SSG; the baselines are evaluated one by one


class AttributeTask:
    """Predict the 40 attributes, given the regions of a frozen segmentation network where the mode needs them.

    The measure is the error.
    """

    targets = "attributes"
    measure, larger_is_better = "error", False

    def __init__(self, network, segmentation_net=None):
        self.network, self.segmentation_net = network, segmentation_net

    def loss(self, batch):
        """Scalar tensor: sigmoid cross-entropy, the mean over images and attributes."""
        return ops.sigmoid_cross_entropy(self.logits(batch.images, landmarks=batch.landmarks), batch.targets)

    @property
    def landmarks(self):
        """Whether batches should have landmarks, where the data set knows them."""
        return self.network.mode == "bbox"

    def heads_needed(self, landmarks=None):
        """How many heads of the segmentation network are used: none by bbox where landmarks are given."""
        return 0 if self.landmarks and landmarks is not None else HEADS_NEEDED[self.network.mode]

    def logits(self, images, heads=None, landmarks=None):
        """(N, 3, H, W) float32 → tensor (N, 40).

        heads: the segmentation network's, where they are known already. landmarks: (N, 5, 2) in pixels of the images;
        for bbox, which without them derives them from the predicted regions. That is computed on the CPU, for
        which a GPU waits.
        """
        if heads is None:
            heads = segmentation_heads(self.segmentation_net, images, self.heads_needed(landmarks))
        if not self.landmarks:
            return self.network(to_tensor(self.network, images), heads)
        if landmarks is None:
            landmarks = landmarks_from_regions(regions_of(heads[3]))
        return self.network(
            to_tensor(self.network, images), landmarks=backend.to_device(landmarks, self.network.device)
        )

    def probabilities(self, images, heads=None, landmarks=None):
        """(N, 3, H, W) float32 → array (N, 40), with the network in evaluation mode. The others as in `logits`."""
        self.network.eval()
        with no_grad():
            return logistic(self.logits(images, heads, landmarks).numpy())

    def evaluate(self, batches):
        """AttributeMetrics over batches of images and attributes."""
        [probabilities], targets = gather([self], batches)
        return attribute_metrics(probabilities, targets)

    def summarise(self, metrics):
        """The measures to log, plain numbers."""
        return {
            "error": metrics.mean_error,
            "average_precision": metrics.mean_average_precision,
            "balanced_accuracy": metrics.mean_balanced_accuracy,
        }


MAX_WEIGHT = 100  # how much a positive or a negative may count; CelebA's rarest attribute, Bald, comes to 43


class BalancedTask(AttributeTask):
    """Fine-tune an attribute network for balanced accuracy (section 4.3.1), which is its measure.

    The loss counts a positive of attribute a w[a] times, see `positive_weights`.
    """

    measure, larger_is_better = "balanced_accuracy", True

    def __init__(self, network, segmentation_net, pos_weight):
        super().__init__(network, segmentation_net)
        self.pos_weight = pos_weight

    def loss(self, batch):
        """Scalar tensor: weighted sigmoid cross-entropy, the mean over images and attributes."""
        self.pos_weight = backend.to_device(
            self.pos_weight, self.network.device
        )  # a copy only the first time
        return ops.sigmoid_cross_entropy(
            self.logits(batch.images, landmarks=batch.landmarks), batch.targets, self.pos_weight
        )


def positive_weights(attributes):
    """The weights (A,) float32 that balance a training split's attributes (N, A) of 0 and 1.

        w[a] = (1 − p[a]) / p[a],   p[a] the share of positives: then all positives weigh as much as all negatives

    Clipped to [1/MAX_WEIGHT, MAX_WEIGHT], so that no handful of faces dominates the gradient. 1 where all faces or none
    have the attribute: there is nothing to balance.
    """
    p = np.asarray(attributes).mean(axis=0, dtype=np.float64)
    one_sided = (p == 0) | (p == 1)
    weights = (1 - p) / np.where(one_sided, 1, p)
    return np.where(one_sided, 1, weights.clip(1 / MAX_WEIGHT, MAX_WEIGHT)).astype(np.float32)


def gather(tasks, batches):
    """Every task's probabilities, a list of (N, 40), and the targets (N, 40) of all batches.

    A segmentation network that several tasks share runs once for each batch. Raises NotFiniteError where a
    probability is NaN: some activation overflowed.
    """
    probabilities, targets = [[] for _ in tasks], []
    for batch in batches:
        needed = {}
        for task in tasks:
            needed[task.segmentation_net] = max(
                task.heads_needed(batch.landmarks), needed.get(task.segmentation_net, 0)
            )
        heads = {
            segmentation_net: segmentation_heads(segmentation_net, batch.images, count)
            for segmentation_net, count in needed.items()
        }
        for task, found in zip(tasks, probabilities, strict=True):
            found.append(task.probabilities(batch.images, heads[task.segmentation_net], batch.landmarks))
        targets.append(batch.targets)
    probabilities = [np.concatenate(found) for found in probabilities]
    if any(np.isnan(found).any() for found in probabilities):
        raise NotFiniteError("the network's outputs are not finite numbers; train again with a smaller --lr")
    return probabilities, np.concatenate(targets)


def evaluate_all(tasks, batches):
    """AttributeMetrics of each task's network, and of the mean of the probabilities of those `averaged`, in a list.

    The mean is how SSP + SSG is made (section 4.3.1). Each network sees each face once.
    """
    probabilities, targets = gather(tasks, batches)
    together = averaged(tasks)
    if together:
        probabilities.append(np.mean([probabilities[index] for index in together], axis=0))
    return [attribute_metrics(found, targets) for found in probabilities]


def averaged(tasks):
    """Which of the tasks are averaged: the indices of SSP's and SSG's, or none where there are fewer than two."""
    found = [index for index, task in enumerate(tasks) if task.network.mode in AVERAGED]
    return found if len(found) > 1 else []
