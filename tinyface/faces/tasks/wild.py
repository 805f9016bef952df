"""LNet and ANet (Liu et al., ICCV 2015): the tags of photos, and who is in them."""

from tinyface import ops

from ..models.lnet_anet import patch
from .attributes import AttributeTask
from .parsing import to_tensor

PAIR_WEIGHT = 0.003  # of the distance of features of one identity
RESPONSE_PENALTY = 0.3  # weight of C5's mean response in the loss of LNet


class TagTask(AttributeTask):
    """Predict the tags of a photo without a segmentation network. The measure is the error."""

    landmarks = False

    def heads_needed(self, landmarks=None):
        return 0

    def logits(self, images, heads=None, landmarks=None):
        """(N, 3, H, W) float32 → tensor (N, 40)."""
        return self.network(to_tensor(self.network, images))


class LocatingTask(TagTask):
    """Predict tags, so that the response map shows where they come from (LNet). The measure is average precision.

    L = sigmoid cross-entropy of the tags + RESPONSE_PENALTY · mean of C5

    Tags depend on each channel's maximum alone, which leaves the rest of the map undetermined, and with it the extent
    of a face. [read] A small penalty on the whole map keeps responses low where there is no evidence for a tag.
    The error is no good measure: predicting no tag at all does well where half of the photos have no face.
    """

    measure, larger_is_better = "average_precision", True

    def loss(self, batch):
        """Scalar tensor: the mean over photos and tags, and the penalty."""
        c5 = self.network.features(to_tensor(self.network, batch.images))
        return (
            ops.sigmoid_cross_entropy(self.network.tags(c5), batch.targets) + ops.mean(c5) * RESPONSE_PENALTY
        )


class FaceTask(TagTask):
    """Predict the attributes of a face (ANet's fine-tuning, Liu et al. 2015, section 3.2). The measure is the error.

    Images are larger than ANet's patches, and the patches take turns: features of all of them are needed later. A
    network trained on the middle one alone errs twice as much on its neighbours. Evaluated on the middle one.
    """

    def loss(self, batch):
        """Scalar tensor: the mean over faces and attributes."""
        logits = self.network(to_tensor(self.network, patch(self.network, batch.images, batch.step)))
        return ops.sigmoid_cross_entropy(logits, batch.targets)

    def logits(self, images, heads=None, landmarks=None):
        """(N, 3, H, W) float32 → tensor (N, 40)."""
        return self.network(to_tensor(self.network, patch(self.network, images)))


class IdentityTask:
    """Predict the identity (ANet's pre-training, Liu et al. 2015, section 3.2), from patches in turn as in FaceTask.

    L = softmax cross-entropy of the identities + PAIR_WEIGHT · Σ over pairs of one identity ‖f_i − f_j‖² / N
    """

    targets, landmarks = "identities", False
    measure = None  # nothing to validate: other photos are of other people

    def __init__(self, network):
        self.network = network

    def loss(self, batch):
        """Scalar tensor, of a batch whose targets are class numbers (N,)."""
        features = self.network.features(
            to_tensor(self.network, patch(self.network, batch.images, batch.step))
        )
        together = ops.pair_loss(features, batch.targets) * (PAIR_WEIGHT / len(batch.targets))
        return ops.softmax_cross_entropy(self.network.head(features), batch.targets) + together
