"""Where the face is in a photo, from networks trained on tags alone (Liu et al. 2015, section 3.1).

    photo → LNet_o → response map → best window → head and shoulders → LNet_s → response map → best window: the face

The last window is the best one on the sum of LNet_s's map and LNet_o's part of that region, each scaled to a maximum
of 1. The score, by which it is decided whether there is a face at all, is the sum of both maps' highest responses.

Maps of ten by ten cells locate a face better than they measure it. So LNet_s runs once more, at several zooms around
the window, and score(whole view) shows which view the face fills as faces do: the face's size is the geometric mean of
the window's and that view's, each relative to its average.

The response is C5's mean over its channels. How a window is found on it: windows.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tinyface import backend, checkpoint, training
from tinyface.core import Tensor, no_grad
from tinyface.errors import TinyfaceError

from ..data.crops import crop, enlarged, square
from ..data.transforms import image_size, read_image, to_network_input
from ..models import LNet
from ..predict import LOCALIZER
from .windows import ASPECT, best_window, in_region, several_windows

UPWARD_SHIFT = (
    0.05  # of a face box, in its heights: more tags show at mouth, beard and necklace than at the forehead
)
REGION = 2.0  # side of head and shoulders, in heights of LNet_o's window
ZOOMS = np.geomspace(0.6, 1.7, 7)  # of the last views, in head and shoulders by the window
ZOOM_EXPONENT, MEAN_LOG_ZOOM = (
    6,
    -0.1,
)  # a view counts score^ZOOM_EXPONENT; log2 of the zoom that this gives on average
TINY = 1e-12
BATCH = 32  # photos at a time
ALIGNED = {"aligned": True}  # in place of LOCALIZER's content, where no networks are needed to find a face
STAGES = ("lnet_o", "lnet_s")  # their folders
ANET_STAGES = ("identities", "attributes")  # beside them, in a run of train-anet


@dataclass
class Found:
    """What was found in one photo. Boxes are x, y, width, height in its pixels."""

    face: np.ndarray  # (4,)
    score: float  # LNet_o's highest response in head and shoulders, and LNet_s's, added
    shoulders: np.ndarray  # (4,), what LNet_s was shown
    response: np.ndarray  # (h, w) of LNet_o
    is_face: bool  # whether the score reaches the threshold


class Localizer:
    """LNet_o, LNet_s and the score from which on there is a face. Networks in evaluation mode, on one device."""

    def __init__(self, lnet_o, lnet_s, threshold=0.0):
        self.lnet_o, self.lnet_s, self.threshold = lnet_o.eval(), lnet_s and lnet_s.eval(), threshold

    def locate(self, images):
        """Found for each of a list of photos (H, W, 3) uint8 of any sizes."""
        return [found for (found,) in self._locate(images, several=False)]

    def locate_all(self, image):
        """A Found for each face of one photo, the most certain first; none where no score reaches the threshold."""
        [found] = self._locate([image], several=True)
        return [face for face in found if face.is_face]

    def read(self, paths):
        """Found for each of these files, some at a time."""
        for images in some_at_a_time(paths):
            yield from self.locate(images)

    def scores(self, paths):
        """The score in each of these files, which takes fewer passes than the place and size of the face."""
        for images in some_at_a_time(paths):
            yield from (score for *_, score in self._windows(images, several=False)[1])

    def shoulders(self, paths):
        """Head and shoulders (4,) in each of these files, by LNet_o alone."""
        for images in some_at_a_time(paths):
            _, regions = self._regions(images, several=False)
            yield from (region for _, region in regions)

    def _regions(self, images, several):
        """LNet_o's response maps, and (photo, head and shoulders) of each window in them."""
        responses, regions = responses_of(self.lnet_o, [resized(image, self.lnet_o) for image in images]), []
        for index, (image, response) in enumerate(zip(images, responses, strict=True)):
            whole = np.array([0, 0, image.shape[1], image.shape[0]])
            aspect = ASPECT * image.shape[0] / image.shape[1]
            windows = several_windows(response, aspect) if several else [best_window(response, aspect)]
            for _, window in windows:
                regions.append((index, square(enlarged(in_region(window, whole), REGION))))
        return responses, regions

    def _views(self, images, regions):
        """LNet_s's response maps of regions, pairs (index of the photo, (4,))."""
        size = self.lnet_s.config["size"]
        return responses_of(self.lnet_s, [crop(images[index], region, size) for index, region in regions])

    def _zooms(self, images, windows):
        """log2 of the zoom at which LNet_s sees each window, pairs (index of the photo, (4,)), best: (K,)."""
        scores = []
        for zoom in ZOOMS:
            regions = [(index, square(enlarged(window, REGION * zoom))) for index, window in windows]
            scores.append(zoom * self._views(images, regions).mean(axis=(1, 2)))
        weights = (scores / np.maximum(np.max(scores, axis=0), TINY)) ** ZOOM_EXPONENT
        return np.log2(ZOOMS) @ weights / np.maximum(weights.sum(axis=0), TINY)

    def _windows(self, images, several):
        """LNet_o's response maps; (photo, window, head and shoulders, score) of each window in its photo's pixels."""
        responses, regions = self._regions(images, several)
        windows = []
        for (index, region), response in zip(regions, self._views(images, regions), strict=True):
            first = part_of(responses[index], region, images[index].shape[:2])
            window = best_window(first / max(first.max(), TINY) + response / max(response.max(), TINY))[1]
            window = in_region(window - np.array([0, UPWARD_SHIFT * window[3], 0, 0]), region)
            windows.append((index, window, region, float(first.max() + response.max())))
        return responses, windows

    def _locate(self, images, several):
        responses, windows = self._windows(images, several)
        factors = 2 ** ((self._zooms(images, [(index, w) for index, w, *_ in windows]) - MEAN_LOG_ZOOM) / 2)
        found = [[] for _ in images]
        for (index, window, region, score), factor in zip(windows, factors, strict=True):
            face, is_face = enlarged(window, factor), score >= self.threshold
            found[index].append(Found(face, score, region, responses[index], is_face))
        return found


class Aligned:
    """Stands in for a Localizer where the photos are faces, cut out and aligned: a face is always in the same place.

    With CelebA's aligned images that place is from the hair to the chin; score and response are without meaning.
    """

    threshold = 0.0
    FACE = (0.2, 0.22, 0.6, 0.68)  # x, y, width, height in shares of the photo

    def locate(self, images):
        """Found for each of a list of photos (H, W, 3) uint8 of any sizes."""
        return [self._found(*image.shape[:2]) for image in images]

    def _found(self, height, width):
        whole = np.array([0, 0, width, height])
        return Found(in_region(self.FACE, whole), 1.0, whole, np.ones((1, 1)), True)

    def locate_all(self, image):
        """The one face of a photo, in a list."""
        return self.locate([image])

    def read(self, paths):
        """Found for each of these files."""
        for path in paths:
            yield self._found(*image_size(path))


def some_at_a_time(paths):
    """Lists of photos (H, W, 3) uint8, read as they are needed."""
    for start in range(0, len(paths), BATCH):
        yield [read_image(path) for path in paths[start : start + BATCH]]


def threshold_between(faces, backgrounds):
    """The score that separates faces from backgrounds best, by their histograms: least sum of both error rates.

    faces, backgrounds: scores of photos with and without a face. In the middle between two neighbouring scores.
    """
    scores = np.unique(np.concatenate([faces, backgrounds]))
    cuts = np.concatenate([[scores[0]], (scores[1:] + scores[:-1]) / 2])
    missed = np.searchsorted(np.sort(faces), cuts) / max(len(faces), 1)
    alarms = 1 - np.searchsorted(np.sort(backgrounds), cuts) / max(len(backgrounds), 1)
    return float(cuts[np.argmin(missed + alarms)])


def load_localizer(folder, device="cpu"):
    """The Localizer of a finished run of train-lnet, or what a run of train-anet --aligned has in its place.

    Raises TinyfaceError where something is missing.
    """
    path = Path(folder) / LOCALIZER
    if not path.is_file():
        raise TinyfaceError(
            f"{folder}: no finished run of train-lnet ({LOCALIZER} is missing); name one, or train it"
        )
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept == ALIGNED:
            return Aligned()
        threshold = float(kept["threshold"])
    except (ValueError, KeyError, TypeError):
        raise TinyfaceError(f"{path}: damaged; finish the run by train-lnet --resume") from None
    networks = [checkpoint.load_network(path.parent / stage / training.BEST) for stage in STAGES]
    for stage, network in zip(STAGES, networks, strict=True):
        if not isinstance(network, LNet):
            raise TinyfaceError(
                f"{path.parent / stage / training.BEST}: holds no LNet; name a run of train-lnet"
            )
    return Localizer(*(network.to(device) for network in networks), threshold)


def resized(image, network):
    """A photo (H, W, 3) uint8 at the size of the network's images."""
    return crop(image, np.array([0, 0, image.shape[1], image.shape[0]]), network.config["size"])


def part_of(response, region, size):
    """A region's part of a photo's response map, as large as the map; 0 beyond the photo.

    size: (height, width) of the photo.
    """
    h, w = response.shape
    x, y, width, height = region * np.array([w / size[1], h / size[0]] * 2)
    part = Image.fromarray(np.asarray(response, np.float32)).transform(
        (w, h), Image.Transform.EXTENT, (x, y, x + width, y + height), Image.Resampling.BILINEAR
    )
    return np.asarray(part)


def responses_of(network, images):
    """Response maps (N, h, w) on the host of images (h, w, 3) uint8 of the network's size.

    Each is the mean of the image's and of its mirror image's, mirrored back: it is random on which part of its
    receptive field a cell of C5 responds to a tag, and to which side that lies.
    """
    network.eval()
    device, maps = next(iter(network.parameters())).device, []
    with no_grad():
        for start in range(0, len(images), BATCH):
            pixels = np.stack(images[start : start + BATCH])
            pixels = to_network_input(np.concatenate([pixels, pixels[:, :, ::-1]]))
            straight, mirrored = np.split(
                network.response(Tensor(backend.to_device(pixels, device))).numpy(), 2
            )
            maps.append((straight + mirrored[:, :, ::-1]) / 2)
    return np.concatenate(maps)
