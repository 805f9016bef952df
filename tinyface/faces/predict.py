"""Photos to attributes and regions: what `cli.py predict` does, for use in programs as well.

predictor = FacePredictor.from_paths(["weights"])
prediction = predictor.predict("photo.jpg")
print(to_text(prediction))
"""

import itertools
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tinyface import backend
from tinyface.checkpoint import load_network
from tinyface.core import Tensor, no_grad
from tinyface.errors import TinyfaceError
from tinyface.ops.sigmoid import logistic

from . import provenance
from .data.dataset import ATTRIBUTES, REGIONS
from .data.landmarks import landmarks_from_regions
from .data.transforms import image_size, read_image, resize_labels, to_network_input
from .models import AttributeNet, JointNet, ResNetAttributes, SegmentationNet, SSPLNet
from .models.attribute_networks import ATTRIBUTE_NETWORKS
from .models.attributes import HEADS_NEEDED
from .pictures import visualize

PACKAGE = Path(str(files("tinyface"))).resolve()
INSTALLED_WEIGHTS, CHECKOUT_WEIGHTS = PACKAGE / "weights", PACKAGE.parent / "weights"
DEFAULT_WEIGHTS = INSTALLED_WEIGHTS if INSTALLED_WEIGHTS.is_dir() else CHECKOUT_WEIGHTS
SEGMENTATION_FILE = "parser.h5"  # what a segmentation network beside attribute networks is called
LOCALIZER = (
    "localizer.json"  # the threshold of a run of train-lnet or train-anet, in its folder beside the networks
)
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # taken from a folder
LARGEST = 2048  # pixels along the longer side of the pictures made; the networks see far fewer


@dataclass
class Prediction:
    """What was found in one photo, shown with H×W pixels; None where no network was there to find it."""

    image: np.ndarray  # (H, W, 3) uint8
    labels: np.ndarray | None  # (H, W) uint8, ids of REGIONS
    probabilities: np.ndarray | None  # (40,), the mean over the attribute networks
    region_weights: np.ndarray | None  # (7, 40) of SSP or joint: how much a region counts
    networks: str | None = None  # what they were trained on, in a line


class FacePredictor:
    """A segmentation network and attribute networks, ready to predict.

    Each attribute network sees the photo at the size it was trained on, and the segmentation network's heads for that
    very input, or the landmarks derived from its regions; the probabilities of several networks are averaged (Kalayeh
    et al. 2017, section 4.3.1).
    """

    trained_on = None  # a line, where the networks come from files

    def __init__(self, segmentation_net=None, networks=()):
        self.segmentation_net = segmentation_net and segmentation_net.eval()
        self.networks = [network.eval() for network in networks]
        for network in self.networks:
            if HEADS_NEEDED[network.mode] and segmentation_net is None:
                raise TinyfaceError(
                    f"--weights: the {network.mode} network needs a segmentation network; add one made by train-seg"
                )

    @classmethod
    def from_paths(cls, paths, device="cpu"):
        """From checkpoints, or folders of them: weights/, a run of train-attr or of train-seg; on "cpu" or "cuda".

        Raises TinyfaceError where a path holds no network, a file is damaged, or there are two segmentation networks.
        """
        segmentation_nets, attribute_nets = find_networks(paths, device)
        file, segmentation_net = choose_segmentation_net(segmentation_nets, attribute_nets)
        predictor = cls(segmentation_net, [network for _, network in attribute_nets])
        predictor.trained_on = provenance.line([*(path for path, _ in attribute_nets), *filter(None, [file])])
        return predictor

    def predict(self, path):
        """The Prediction for one image file, whatever its size. Raises TinyfaceError where it can't be read.

        It shows the photo in its own size, or with LARGEST pixels along the longer side if it has more.
        """
        image = read_image(path, _shown_size(*image_size(path)))
        inputs, heads = {}, {}  # by size, since networks of one size share them
        device = (self.segmentation_net or self.networks[0]).device

        def at(size):
            size = tuple(size)
            if size not in inputs:
                pixels = to_network_input(read_image(path, size)[None])
                inputs[size] = Tensor(backend.to_device(pixels, device))
                heads[size] = self.segmentation_net(inputs[size]) if self.segmentation_net else None
            return inputs[size], heads[size]

        labels, probabilities, region_weights = None, [], None
        with no_grad():
            for network in self.networks:
                x, maps = at(network.config["size"])
                landmarks = None
                if network.mode == "bbox":
                    landmarks = landmarks_from_regions(_regions_of(maps))
                    landmarks = backend.to_device(landmarks, device)
                probabilities.append(logistic(network(x, maps, landmarks).numpy()[0]))
                if network.mode in ("ssp", "joint"):
                    region_weights = network.region_weights[0]
            if self.segmentation_net:
                _, logits = at(self.segmentation_net.config["size"])
                labels = resize_labels(_regions_of(logits)[0], image.shape[:2])
        mean = np.mean(probabilities, axis=0) if probabilities else None
        return Prediction(image, labels, mean, region_weights, self.trained_on)

    read = predict


FaceReader, Reading = FacePredictor, Prediction  # names that programs use as well


def _regions_of(heads):
    """Region of every pixel by the segmentation network's finest head: (N, H, W) uint8."""
    return heads[-1].numpy().argmax(axis=1).astype(np.uint8)


def _shown_size(height, width):
    """The (height, width) in which a photo of this size is shown."""
    shrink = max(height, width, LARGEST) / LARGEST
    return max(round(height / shrink), 1), max(round(width / shrink), 1)


def find_photos(paths):
    """Image files, as they were named; of a folder, the images that lie in it, by name.

    Raises TinyfaceError for a folder without images.
    """
    photos = []
    for path in map(Path, paths):
        if not path.is_dir():
            photos.append(path)
            continue
        inside = (p for p in path.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and p.name[0] != ".")
        found = sorted(p for p in inside if p.is_file())
        if not found:
            raise TinyfaceError(
                f"{path}: no images in this folder ({', '.join(PHOTO_SUFFIXES)}); name others"
            )
        photos += found
    return photos


def find_networks(paths, device="cpu"):
    """The segmentation networks and the attribute networks of checkpoints and folders: two lists of (file, network).

    A JointNet is one of each, unless its file stands for the segmentation network alone, beside attribute networks.
    """
    segmentation_nets, attribute_nets = [], []
    for file in dict.fromkeys(file for path in paths for file in find_checkpoints(path)):
        network = load_network(file).to(device)
        if isinstance(network, SSPLNet):
            raise TinyfaceError(
                f"{file}: holds a pre-trained network, which predicts no attributes; train one that does with "
                "train-attr --init sspl --sspl-weights and this file"
            )
        if not isinstance(network, AttributeNet | ResNetAttributes | JointNet | SegmentationNet):
            raise TinyfaceError(
                f"{file}: is a part of LNet + ANet ({type(network).__name__}); name the whole run, for predict with "
                "--system lnet-anet"
            )
        if isinstance(network, JointNet):
            segmentation_nets.append((file, network.parser))
            if file.name != SEGMENTATION_FILE:
                attribute_nets.append((file, network.reader))
        else:
            (segmentation_nets if isinstance(network, SegmentationNet) else attribute_nets).append(
                (file, network)
            )
    return segmentation_nets, attribute_nets


def segmentation_net_for(segmentation_nets, attribute_nets):
    """The segmentation network for what `find_networks` found, as `choose_segmentation_net` has it, or None."""
    return choose_segmentation_net(segmentation_nets, attribute_nets)[1]


def choose_segmentation_net(segmentation_nets, attribute_nets):
    """The segmentation network, (file, network), for what `find_networks` found: one of it, else the one beside it.

    (None, None) where there is no such file, or no need of one. Raises TinyfaceError where there are two to choose
    from.
    """
    if len(segmentation_nets) > 1:
        raise TinyfaceError(
            f"{segmentation_nets[0][0]} and {segmentation_nets[1][0]} are both segmentation networks; give one"
        )
    if segmentation_nets:
        return segmentation_nets[0]
    need_regions = (file for file, network in attribute_nets if HEADS_NEEDED[network.mode])
    neighbours = (
        folder / SEGMENTATION_FILE for file in need_regions for folder in list(file.absolute().parents)[:2]
    )
    file = next((file for file in neighbours if file.is_file()), None)
    return file, file and load_segmentation_net(file, attribute_nets[0][1].device)


def segmentation_file(path):
    """The file of a segmentation network: the path itself, or what lies in a run of train-seg or train-attr."""
    inside = [Path(path) / name for name in ("best.h5", SEGMENTATION_FILE) if (Path(path) / name).is_file()]
    return inside[0] if inside else Path(path)


def load_segmentation_net(path, device="cpu"):
    """The segmentation network in a file, on "cpu" or "cuda". Raises TinyfaceError where it holds another kind."""
    network = load_network(path)
    network = network.parser if isinstance(network, JointNet) else network
    if not isinstance(network, SegmentationNet):
        raise TinyfaceError(
            f"{path}: holds an {type(network).__name__}, but a segmentation network (SegmentationNet) is needed; "
            "give a file made by train-seg"
        )
    return network.to(device)


def load_pretrained(path):
    """The SSPLNet in a file. Raises TinyfaceError where it holds another kind."""
    network = load_network(path)
    if not isinstance(network, SSPLNet):
        raise TinyfaceError(
            f"{path}: holds an {type(network).__name__}, but a pre-trained network (SSPLNet) is needed; "
            "give a file made by pretrain-sspl"
        )
    return network


def find_checkpoints(path):
    """The checkpoints that a path stands for: the file itself; of a folder, the networks to use in it."""
    path = Path(path)
    if path.is_file():
        return [path]
    names = [
        SEGMENTATION_FILE,
        "best.h5",
        *(f"{name}.h5" for name in ATTRIBUTE_NETWORKS),
        *(f"{name}/best.h5" for name in ATTRIBUTE_NETWORKS),
    ]
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        if (path / LOCALIZER).is_file():
            raise TinyfaceError(f"{path}: is a run of train-lnet or train-anet; add --system lnet-anet")
        what = "no networks in this folder" if path.is_dir() else "no such file or folder"
        raise TinyfaceError(f"{path}: {what}; train some with train-seg and train-attr, or name others")
    return found


# ---------------------------------------------------------------- showing it


def to_text(prediction, everything=False):
    """Lines for people: the attributes of at least 50 %, or all, likeliest first; what each region covers."""
    lines = []
    if prediction.probabilities is not None:
        width = max(map(len, ATTRIBUTES))
        for index in np.argsort(-prediction.probabilities, kind="stable"):
            p = float(prediction.probabilities[index])
            if everything or p >= 0.5:
                lines.append(f"  {ATTRIBUTES[index].replace('_', ' '):<{width}}{100 * p:6.1f} %")
        if not lines:
            lines = ["  no attribute reaches 50 %; --all lists them"]
    if prediction.labels is not None:
        shares = [f"{name} {100 * share:.0f} %" for name, share in _region_shares(prediction).items()]
        lines.append(f"  regions: {', '.join(shares)}")
    return "\n".join(lines)


def to_json(prediction):
    """Plain values, as far as known: {"networks": what they were trained on, "attributes": {name: probability},
    "regions": {name: share}}.
    """
    result = {"networks": prediction.networks} if prediction.networks else {}
    if prediction.probabilities is not None:
        pairs = zip(ATTRIBUTES, prediction.probabilities.tolist(), strict=True)
        result["attributes"] = {name: round(p, 4) for name, p in pairs}
    if prediction.labels is not None:
        result["regions"] = {name: round(share, 4) for name, share in _region_shares(prediction).items()}
    return result


def pictures(prediction):
    """PIL images, as far as known: {"parsing": regions laid over the photo, "attributes": a card of all}."""
    made = {}
    overlay = None
    if prediction.labels is not None:
        overlay = visualize.overlay(prediction.image, prediction.labels)
        made["parsing"] = Image.fromarray(overlay)
    if prediction.probabilities is not None:
        photo, parsed = (None if p is None else _not_too_wide(p) for p in (prediction.image, overlay))
        made["attributes"] = visualize.attribute_card(
            photo,
            parsed,
            ATTRIBUTES,
            prediction.probabilities,
            note=prediction.networks and f"networks: {prediction.networks}",
        )
    return made


def distinct(names):
    """The names in a list, "-2", "-3" … behind one that comes again: to keep apart what is called by them.

    Capital and small letters don't tell two names apart, since on many disks they are one file.
    """
    found, taken = [], set()
    for name in names:
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        found.append(next(n for n in itertools.chain([name], numbered) if n.casefold() not in taken))
        taken.add(found[-1].casefold())
    return found


def _region_shares(prediction):
    counts = np.bincount(prediction.labels.ravel(), minlength=len(REGIONS)) / prediction.labels.size
    return dict(zip(REGIONS, counts.tolist(), strict=True))


def _not_too_wide(pixels, aspect=2):
    """A panorama between white bars: the card's height is fixed, so its width would have no end."""
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    if width <= aspect * height:
        return picture
    return ImageOps.pad(picture, (600, 600 // aspect), color="white")
