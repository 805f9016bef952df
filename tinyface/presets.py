"""Sizes of networks and the training that suits them. Every value can be overridden on the command line."""

from dataclasses import dataclass

from .errors import TinyfaceError


@dataclass(frozen=True)
class Training:
    """How long and how fast to train one kind of network."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 5e-4
    schedule: str = "constant"
    warmup: int = 0
    init: str = "random"  # "parser": an attribute network begins with the trained parser's encoder
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
    """width: channels of the first level. size: (height, width) of the images."""

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


PRESETS = {
    # For tests: seconds.
    "tiny": Preset(
        width=4,
        size=(55, 45),
        segmentation=Training(steps=20, batch_size=8, lr=0.02, schedule="cosine", val_every=10, save_every=5),
        attributes=Training(steps=20, batch_size=8, lr=0.02, schedule="cosine", val_every=10, save_every=5),
        balanced=Training(steps=5, batch_size=8, lr=0.005, schedule="cosine", val_every=5, save_every=5),
        joint=Training(steps=20, batch_size=8, lr=0.02, schedule="cosine", val_every=10, save_every=5),
        sspl=Training(steps=20, batch_size=8, lr=0.02, schedule="cosine", val_every=10, save_every=5),
        wild=Wild(
            lnet_width=1,
            lnet_size=(48, 48),
            lnet_stride=2,
            anet_width=4,
            anet_size=(56, 56),
            features=16,
            lnet=Training(
                steps=12,
                batch_size=8,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=6,
                save_every=4,
            ),
            identities=Training(
                steps=12,
                batch_size=8,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=6,
                save_every=4,
            ),
            faces=Training(
                steps=12,
                batch_size=8,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=6,
                save_every=4,
            ),
        ),
    ),
    # `make demo`: toy faces in a few minutes. The rates were searched for, see docs/results.md.
    "demo": Preset(
        width=8,
        size=(82, 67),
        segmentation=Training(
            steps=3200,
            batch_size=4,
            lr=0.05,
            weight_decay=1e-5,
            schedule="cosine",
            warmup=300,
            val_every=1600,
            save_every=500,
        ),
        attributes=Training(
            steps=350,
            batch_size=16,
            lr=0.02,
            weight_decay=1e-5,
            schedule="cosine",
            warmup=60,
            val_every=350,
            save_every=500,
            init="parser",
        ),
        balanced=Training(
            steps=90,
            batch_size=16,
            lr=0.005,
            weight_decay=1e-5,
            schedule="cosine",
            warmup=15,
            val_every=45,
            save_every=500,
        ),
        joint=Training(
            steps=3200,
            batch_size=4,
            lr=0.05,
            weight_decay=1e-5,
            schedule="cosine",
            warmup=300,
            val_every=1600,
            save_every=500,
        ),
        sspl=Training(
            steps=600,
            batch_size=16,
            lr=0.02,
            weight_decay=1e-5,
            schedule="cosine",
            warmup=60,
            val_every=300,
            save_every=500,
        ),
        wild=Wild(
            lnet_width=4,
            lnet_size=(80, 80),
            lnet_stride=2,
            anet_width=8,
            anet_size=(80, 80),
            features=64,
            lnet=Training(
                steps=400,
                batch_size=32,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=200,
                save_every=200,
            ),
            identities=Training(
                steps=300,
                batch_size=32,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=150,
                save_every=200,
            ),
            faces=Training(
                steps=300,
                batch_size=32,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=150,
                save_every=200,
            ),
        ),
    ),
    # Trains on a CPU in half an hour; the rates were searched for, see docs/results.md.
    "small": Preset(
        width=16,
        size=(109, 89),
        segmentation=Training(
            steps=1200, batch_size=32, lr=0.01, schedule="cosine", warmup=20, val_every=300, save_every=100
        ),
        attributes=Training(
            steps=600, batch_size=32, lr=0.02, weight_decay=1e-5, schedule="cosine", warmup=60, val_every=200
        ),
        balanced=Training(
            steps=150, batch_size=32, lr=0.005, weight_decay=1e-5, schedule="cosine", warmup=15, val_every=50
        ),
        joint=Training(
            steps=1200, batch_size=32, lr=0.01, schedule="cosine", warmup=20, val_every=300, save_every=100
        ),
        sspl=Training(
            steps=1200, batch_size=32, lr=0.02, weight_decay=1e-5, schedule="cosine", warmup=60, val_every=300
        ),
        wild=Wild(
            lnet_width=4,
            lnet_size=(80, 80),
            lnet_stride=2,
            anet_width=16,
            anet_size=(80, 80),
            features=160,
            lnet=Training(
                steps=600,
                batch_size=32,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=250,
                save_every=100,
            ),
            identities=Training(
                steps=800,
                batch_size=32,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=200,
                save_every=100,
            ),
            faces=Training(
                steps=800,
                batch_size=32,
                lr=0.003,
                weight_decay=1e-5,
                schedule="cosine",
                val_every=200,
                save_every=100,
            ),
        ),
    ),
    # Kalayeh et al. 2017, section 5.
    "paper": Preset(
        width=64,
        size=(218, 178),
        segmentation=Training(steps=75_000, batch_size=32, lr=0.001),
        attributes=Training(steps=40_000, batch_size=32, lr=0.001),
        balanced=Training(steps=10_000, batch_size=32, lr=0.0001),  # the paper gives no figures for this one
        joint=Training(steps=75_000, batch_size=32, lr=0.001),
        sspl=Training(steps=40_000, batch_size=32, lr=0.001),  # our choice: as long as the attributes
        wild=Wild(
            lnet_width=32,
            lnet_size=(227, 227),
            lnet_stride=4,
            anet_width=32,
            anet_size=(224, 224),
            features=160,
            lnet=Training(
                steps=40_000,
                batch_size=128,
                lr=0.001,
                weight_decay=0.0005,
                schedule="constant",
                val_every=1000,
                save_every=100,
            ),
            identities=Training(
                steps=40_000,
                batch_size=128,
                lr=0.001,
                weight_decay=0.0005,
                schedule="constant",
                val_every=1000,
                save_every=100,
            ),
            faces=Training(
                steps=40_000,
                batch_size=128,
                lr=0.001,
                weight_decay=0.0005,
                schedule="constant",
                val_every=1000,
                save_every=100,
            ),
        ),
    ),
}


def find_preset(name):
    """The preset of that name. Raises TinyfaceError with the names there are."""
    if name not in PRESETS:
        raise TinyfaceError(f"--preset {name}: no such preset; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
