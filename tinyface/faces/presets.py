"""Sizes of networks and the training that suits them. Every value can be overridden on the command line."""

from dataclasses import dataclass, replace
from functools import partial

from tinyface.errors import TinyfaceError


@dataclass(frozen=True)
class Training:
    """How long and how fast to train one kind of network."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 5e-4
    schedule: str = "constant"
    warmup: int = 0
    optimizer: str = "adagrad"
    init: str = (
        "random"  # "parser": an attribute network begins with the trained segmentation network's encoder
    )
    val_every: int = 1000
    save_every: int = 100


@dataclass(frozen=True)
class Wild:
    """LNet and ANet: widths, sizes (height, width) of their images, and the training of each stage."""

    lnet_width: int
    lnet_size: tuple
    lnet_stride: int
    anet_width: int
    anet_size: tuple
    features: int  # of ANet's fully connected layer
    lnet: Training  # of LNet_o and of LNet_s
    identities: Training  # ANet's pre-training
    faces: Training  # its fine-tuning to attributes


@dataclass(frozen=True)
class Preset:
    """use: what it is for. width: channels of the first level. size: (height, width) of the images."""

    use: str
    width: int
    size: tuple
    segmentation: Training
    attributes: Training
    balanced: Training  # fine-tuning what `attributes` trained
    joint: Training
    sspl: Training  # pre-training without labels
    wild: Wild

    @property
    def lnet(self):
        return self.wild.lnet

    @property
    def identities(self):
        return self.wild.identities

    @property
    def faces(self):
        return self.wild.faces


# Short trainings work best with a learning rate that decreases to zero, and with little weight decay. The rates of
# demo and small were searched for, see docs/results.md.
cosine = partial(Training, schedule="cosine", weight_decay=1e-5)

# What several kinds of training have in common, by preset.
TINY = Training(steps=20, batch_size=8, lr=0.02, schedule="cosine", val_every=10, save_every=5)
TINY_WILD = cosine(optimizer="adam", steps=12, batch_size=8, lr=0.003, val_every=6, save_every=4)
DEMO_SEGMENTATION = cosine(steps=1600, batch_size=4, lr=0.05, warmup=250, val_every=800, save_every=400)
DEMO_ATTRIBUTES = cosine(steps=200, batch_size=16, lr=0.02, warmup=50, val_every=200, save_every=200)
DEMO_ANET = cosine(
    optimizer="adam", steps=300, batch_size=32, lr=0.003, warmup=30, val_every=150, save_every=200
)
SMALL_SEGMENTATION = Training(steps=1200, batch_size=32, lr=0.01, schedule="cosine", warmup=20, val_every=300)
SMALL_ATTRIBUTES = cosine(steps=600, batch_size=32, lr=0.02, warmup=60, val_every=200)
SMALL_ANET = cosine(optimizer="adam", steps=800, batch_size=32, lr=0.003, warmup=60, val_every=200)
PAPER_SEGMENTATION = Training(steps=75_000, batch_size=32, lr=0.001)
PAPER_ATTRIBUTES = Training(steps=40_000, batch_size=32, lr=0.001)
PAPER_WILD = Training(optimizer="adam", steps=40_000, batch_size=128, lr=0.001)

PRESETS = {
    # Seconds.
    "tiny": Preset(
        use="for trying out",
        width=4,
        size=(55, 45),
        segmentation=TINY,
        attributes=TINY,
        balanced=replace(TINY, steps=5, lr=0.005, val_every=5),
        joint=TINY,
        sspl=TINY,
        wild=Wild(
            lnet_width=1,
            lnet_size=(48, 48),
            lnet_stride=2,
            anet_width=4,
            anet_size=(56, 56),
            features=16,
            lnet=TINY_WILD,
            identities=TINY_WILD,
            faces=TINY_WILD,
        ),
    ),
    # `make demo`: toy faces in a few minutes.
    "demo": Preset(
        use="a few minutes on a CPU",
        width=12,
        size=(82, 67),
        segmentation=DEMO_SEGMENTATION,
        attributes=replace(DEMO_ATTRIBUTES, init="parser"),
        balanced=replace(DEMO_ATTRIBUTES, steps=90, lr=0.005, warmup=15, val_every=45),
        joint=DEMO_SEGMENTATION,
        sspl=replace(DEMO_ATTRIBUTES, steps=600, val_every=300),
        wild=Wild(
            lnet_width=4,
            lnet_size=(80, 80),
            lnet_stride=2,
            anet_width=8,
            anet_size=(80, 80),
            features=64,
            lnet=replace(DEMO_ANET, steps=400, warmup=0, val_every=200),
            identities=replace(DEMO_ANET, steps=3000),
            faces=DEMO_ANET,
        ),
    ),
    # Trains on a CPU in half an hour.
    "small": Preset(
        use="half an hour on a CPU",
        width=16,
        size=(109, 89),
        segmentation=SMALL_SEGMENTATION,
        attributes=SMALL_ATTRIBUTES,
        balanced=replace(SMALL_ATTRIBUTES, steps=150, lr=0.005, warmup=15, val_every=50),
        joint=SMALL_SEGMENTATION,
        sspl=replace(SMALL_ATTRIBUTES, steps=1200, val_every=300),
        wild=Wild(
            lnet_width=4,
            lnet_size=(80, 80),
            lnet_stride=2,
            anet_width=16,
            anet_size=(80, 80),
            features=160,
            lnet=replace(SMALL_ANET, steps=600, warmup=0, val_every=250),
            identities=replace(SMALL_ANET, steps=8000),
            faces=SMALL_ANET,
        ),
    ),
    # Kalayeh et al. 2017, section 5.
    "paper": Preset(
        use="as published",
        width=64,
        size=(218, 178),
        segmentation=PAPER_SEGMENTATION,
        attributes=PAPER_ATTRIBUTES,
        balanced=replace(
            PAPER_ATTRIBUTES, steps=10_000, lr=0.0001
        ),  # the paper gives no figures for this one
        joint=PAPER_SEGMENTATION,
        sspl=PAPER_ATTRIBUTES,  # our choice: as long as the attributes
        wild=Wild(
            lnet_width=32,
            lnet_size=(227, 227),
            lnet_stride=4,
            anet_width=32,
            anet_size=(224, 224),
            features=160,
            lnet=PAPER_WILD,
            identities=PAPER_WILD,
            faces=PAPER_WILD,
        ),
    ),
}
DEFAULT = "small"


def find_preset(name):
    """The preset of that name. Raises TinyfaceError with the names there are."""
    if name not in PRESETS:
        raise TinyfaceError(f"--preset {name}: no such preset; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
