"""LNet + ANet in use (Liu et al. 2015): faces in a photo, wherever they are, and their attributes.

    photo → LNets → face → enlarged → PATCHES² overlapping patches → ANet's features → SVMs → scores, averaged

predictor = WildPredictor.from_folder("runs/anet-small")
for prediction in predictor.predict("photo.jpg"): …
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyface import backend, checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.ops.sigmoid import logistic

from ..data.crops import crop, enlarged, square
from ..data.transforms import read_image, to_network_input
from ..models import ANet, AttributeSVM
from .interweave import image_side, interwoven
from .localize import BATCH, STAGES, Found, load_localizer, some_at_a_time

PATCHES = 3  # either way
MARGIN = 1.2  # side of ANet's patch, in heights of the face
SVM = "svm.h5"  # in a run of train-anet; with it the run is complete


@dataclass
class WildPrediction:
    """One face of a photo."""

    found: Found
    probabilities: np.ndarray  # (40,): 1 / (1 + e^(−2·score)), ½ where the machines are undecided
    image: np.ndarray  # (side, side, 3) uint8, the enlarged region that ANet saw


def patch_region(face):
    """What ANet's middle patch sees of a photo in which a face (…, 4) was found: a square around it."""
    return square(enlarged(face, MARGIN))


def enlarged_region(face, side, patches=PATCHES):
    """The region that patches² patches of `patch_region`'s scale fill. side: of a patch, in ANet's pixels."""
    return enlarged(patch_region(face), image_side(side, patches) / side)


def patch_features(network, crops, patches=PATCHES):
    """ANet's features (N, patches², F), on the host, of enlarged regions (side, side, 3) uint8."""
    network.eval()
    device, found = next(iter(network.parameters())).device, []
    for start in range(0, len(crops), BATCH):
        images = backend.to_device(to_network_input(np.stack(crops[start : start + BATCH])), device)
        found.append(backend.to_device(interwoven(network, images, patches), "cpu"))
    return np.concatenate(found)


def networks_in(folder):
    """The checkpoints in a run of train-lnet or train-anet that predictions need."""
    names = [*(f"{stage}/{training.BEST}" for stage in (*STAGES, "attributes")), SVM]
    return [file for name in names if (file := Path(folder) / name).is_file()]


class WildPredictor:
    """A Localizer, an ANet and its SVMs, ready to predict."""

    def __init__(self, localizer, anet, svm):
        self.localizer, self.anet, self.svm = localizer, anet, svm

    @classmethod
    def from_folder(cls, folder, device="cpu"):
        """From a finished run of train-anet. Raises TinyfaceError where something is missing."""
        folder = Path(folder)
        if not (folder / SVM).is_file():
            raise TinyfaceError(
                f"{folder}: no finished run of train-anet ({SVM} is missing); name one, or train it"
            )
        localizer = load_localizer(folder, device)
        anet = checkpoint.load_network(folder / "attributes" / training.BEST).to(device)
        svm = checkpoint.load_network(folder / SVM)
        if not isinstance(anet, ANet) or not isinstance(svm, AttributeSVM):
            raise TinyfaceError(
                f"{folder}: holds other networks than ANet and its SVMs; name a run of train-anet"
            )
        return cls(localizer, anet, svm)

    def predict(self, path, several=False):
        """A list of WildPredictions of one image file: of its one face, or of `several`; empty where there is none."""
        image = read_image(path)
        found = self.localizer.locate_all(image) if several else self.localizer.locate([image])
        return self.describe([(image, face) for face in found if face.is_face])

    def describe(self, faces):
        """A WildPrediction of each (photo (H, W, 3) uint8, Found)."""
        if not faces:
            return []
        patch_side = self.anet.config["size"][0]
        side = image_side(patch_side, PATCHES)
        crops = [crop(image, enlarged_region(f.face, patch_side), (side, side)) for image, f in faces]
        scores = self.svm.scores(patch_features(self.anet, crops)).mean(axis=1)
        chances = logistic(2 * scores)
        return [WildPrediction(f, p, c) for (_, f), p, c in zip(faces, chances, crops, strict=True)]

    def predict_many(self, paths):
        """WildPrediction of each of these files, some at a time, whether or not there seems to be a face."""
        for images in some_at_a_time(paths):
            yield from self.describe(list(zip(images, self.localizer.locate(images), strict=True)))
