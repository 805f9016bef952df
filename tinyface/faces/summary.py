"""The networks that `summary` lists: all at the size of a preset, or those of checkpoints and runs."""

from pathlib import Path

from tinyface.checkpoint import load_network
from tinyface.errors import TinyfaceError
from tinyface.training import BEST

from .choices import RESNET
from .models import ANet, AttributeSVM, JointNet, LNet, SegmentationNet, SSPLNet
from .models.attribute_networks import ATTRIBUTE_NETWORKS, make_attribute_network
from .models.sspl import BACKBONES
from .predict import find_checkpoints
from .presets import find_preset
from .wild import localize

MODE_TITLES = {
    "avg": "Basic",
    "naive": "Naive",
    "bbox": "BBox",
    "concat": "Concatenated SSP",
    "joint": "Joint SSP and SSG",
    RESNET: "ResNet-18",
}
OTHER_TITLES = {SegmentationNet: "Segmentation network", LNet: "LNet", ANet: "ANet"}


def networks_of(preset):
    """(title, network) of all networks at the size of a preset."""
    p = find_preset(preset)
    yield "Segmentation network", SegmentationNet(p.width, p.size)
    for name in ATTRIBUTE_NETWORKS:
        yield _attribute_title(name), make_attribute_network(name, p.width, p.size)
    for backbone in BACKBONES:
        network = SSPLNet(backbone, p.width, p.size)
        yield _title_of(network), network
    wild = p.wild
    yield "LNet", LNet(wild.lnet_width, wild.lnet_size, wild.lnet_stride)
    yield "ANet", ANet(wild.anet_width, wild.anet_size, wild.features)


def load_networks(paths):
    """(title, network) of each checkpoint, and of those in folders of runs."""
    for path in (file for place in paths for file in stages_of(place) or find_checkpoints(place)):
        network = load_network(path)
        if isinstance(network, JointNet):
            yield f"{path}: Segmentation network, which shares its encoder", network.parser
            yield f"{path}: Basic attribute network, which shares its encoder", network.reader
            continue
        if isinstance(network, AttributeSVM):
            raise TinyfaceError(
                f"{path}: holds support vector machines, which have no layers; name a network"
            )
        yield f"{path}: {_title_of(network)}", network


def stages_of(path):
    """The networks in the folder of a run of train-lnet or train-anet; none in other places."""
    stages = (*localize.STAGES, *localize.ANET_STAGES)
    return [file for stage in stages if (file := Path(path) / stage / BEST).is_file()]


def _title_of(network):
    if isinstance(network, SSPLNet):
        return f"SSPL's network, backbone {network.config['backbone']}"
    return OTHER_TITLES.get(type(network)) or _attribute_title(network.mode)


def _attribute_title(mode):
    return f"{MODE_TITLES.get(mode) or mode.upper()} attribute network"
