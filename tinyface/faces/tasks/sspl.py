"""SSPL's first stage (Shu et al., CVPR 2021): learn from faces without labels, from predicted regions.

L = L_place + L_angle      which tile is turned (9-way softmax), and by which angle (4-way)               PRT
  + L_map                  the region of each pixel (softmax), turned along with the tile                 PST
  + L_presence             which regions each tile has (sigmoid)                                          PCT

At 0° nothing shows which tile was chosen: such an image has no place to learn, and its angle alone counts.
"""

from dataclasses import dataclass

import numpy as np

from tinyface import backend, ops
from tinyface.core import Tensor, no_grad
from tinyface.errors import NotFiniteError

from ..data.patches import GRID, PRESENT, choose_tiles, random_choices, region_shares, turn_tiles
from ..data.transforms import resize_labels
from ..metrics import ConfusionMatrix
from ..models.segmentation import REGIONS
from .parsing import segmentation_heads

HEADS = 3  # of the segmentation network: the third has half the image's size, which is all that the decoder resolves
NOWHERE = -1  # the place of a turn by 0°: ignored


@dataclass
class PretextBatch:
    """Images with one tile turned, and the targets; arrays on the network's device."""

    images: object  # (N, 3, H, W)
    places: object  # (N,) the turned tile, or NOWHERE
    angles: object  # (N,) quarter turns
    maps: object  # (N, H, W) uint8: the segmentation network's regions, turned along
    presence: object  # (N, 7, 3, 3) float32, 0 or 1


@dataclass
class Tally:
    """Correct predictions so far, and how many there were to make."""

    confusion: ConfusionMatrix
    places: int = 0
    turned: int = 0
    angles: int = 0
    images: int = 0
    presence: int = 0
    tiles: int = 0


class SSPLTask:
    """The three tasks on one backbone. The measure is the mean of theirs.

    segmentation_net: a trained SegmentationNet, frozen. seed: of the tiles and angles, which are functions of it
    and of the step alone. targets: "attributes" or "labels", whichever the data set has; they are not used.
    """

    landmarks = False
    measure, larger_is_better = "mean", True

    def __init__(self, network, segmentation_net, seed, targets="attributes"):
        self.network, self.segmentation_net, self.seed, self.targets = (
            network,
            segmentation_net,
            seed,
            targets,
        )

    def loss(self, batch):
        """Scalar tensor: the four losses, added with weight 1."""
        return sum_of(self.losses(self.pretext_batch(batch)))

    def losses(self, pretext_batch):
        """{name: scalar tensor} of one PretextBatch."""
        place, angle, logits, presence = self.network(Tensor(pretext_batch.images))
        return {
            "place": ops.softmax_cross_entropy(place, pretext_batch.places, ignore=NOWHERE),
            "angle": ops.softmax_cross_entropy(angle, pretext_batch.angles),
            "map": ops.softmax_cross_entropy(logits, resize_labels(pretext_batch.maps, logits.shape[2:])),
            "presence": ops.sigmoid_cross_entropy(presence, pretext_batch.presence),
        }

    def pretext_batch(self, batch, validating=False):
        """The PretextBatch of a batch."""
        device = self.network.device
        images = backend.to_device(batch.images, device)
        [*_, logits] = segmentation_heads(self.segmentation_net, images, HEADS)
        xp = backend.get_array_module(images)
        labels = resize_labels(logits.data.argmax(axis=1).astype(np.uint8), images.shape[2:])
        shares = region_shares(labels, REGIONS)
        numbers, turns = (
            backend.to_device(a, device)
            for a in random_choices(len(images), self.seed, batch.step, validating)
        )
        tiles = choose_tiles(shares, numbers)
        return PretextBatch(
            turn_tiles(images, tiles, turns),
            xp.where(turns == 0, NOWHERE, tiles),
            turns,
            turn_tiles(labels, tiles, turns),
            (shares >= PRESENT).astype(np.float32).reshape(*shares.shape[:2], GRID, GRID),
        )

    def predictions(self, pretext_batch):
        """Predicted places, angles, maps (N, ⌈H/2⌉, ⌈W/2⌉) and presence for a PretextBatch; arrays on the CPU."""
        self.network.eval()
        with no_grad():
            outputs = [x.numpy() for x in self.network(Tensor(pretext_batch.images))]
        if not all(np.isfinite(x).all() for x in outputs):
            raise NotFiniteError(
                "the network's outputs are not finite numbers; train again with a smaller --lr"
            )
        place, angle, maps, presence = outputs
        return place.argmax(1), angle.argmax(1), maps.argmax(1).astype(np.uint8), presence > 0

    def evaluate(self, batches):
        """Tally over batches of images. Raises NotFiniteError where an output is NaN or infinite."""
        tally = Tally(ConfusionMatrix(REGIONS))
        for batch in batches:
            pretext_batch = self.pretext_batch(batch, validating=True)
            place, angle, maps, presence = self.predictions(pretext_batch)
            places, angles, labels, present = (
                backend.to_device(a, "cpu")
                for a in (
                    pretext_batch.places,
                    pretext_batch.angles,
                    pretext_batch.maps,
                    pretext_batch.presence,
                )
            )
            turned = places != NOWHERE
            tally.places += int((place == places)[turned].sum())
            tally.turned += int(turned.sum())
            tally.angles += int((angle == angles).sum())
            tally.images += len(angles)
            tally.presence += int((presence == present).sum())
            tally.tiles += present.size
            tally.confusion.update(maps, resize_labels(labels, maps.shape[1:]))
        return tally

    def summarise(self, tally):
        """The measures to log, plain numbers: accuracy of places (of what was turned), angles and presence, mean IoU
        against the segmentation network, and the mean of the four."""
        measures = {
            "angle_accuracy": tally.angles / tally.images,
            "place_accuracy": tally.places / max(tally.turned, 1),
            "mean_iou": tally.confusion.mean_iou(),
            "presence_accuracy": tally.presence / tally.tiles,
        }
        return measures | {"mean": sum(measures.values()) / len(measures)}


def sum_of(losses):
    """The losses added."""
    first, *others = losses.values()
    return sum(others, start=first)
