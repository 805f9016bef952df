"""The options of the training commands: what was typed, else the preset's value; and what may change on --resume."""

import dataclasses
import math

from tinyface import backend, optim
from tinyface.errors import TinyfaceError

from ..choices import BACKBONES, INITS, OPTIMIZERS, REGION_POOLINGS
from ..presets import DEFAULT, find_preset
from . import few_labels

# What decides the bits of a run, so must not change when it is resumed.
FIXED_ON_RESUME = (
    "preset", "steps", "batch_size", "lr", "weight_decay", "schedule", "warmup", "init", "optimizer", "seed", "labels",
    "backbone", "region_pooling",
)  # fmt: skip
CHANGEABLE_ON_RESUME = (
    "data",
    "attr_data",
    "workers",
    "device",
    "tf32",
    "log_every",
    "val_every",
    "save_every",
)


@dataclasses.dataclass
class Options:
    """Every option of a training command, resolved: what was given, else the preset's value."""

    preset: str
    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    schedule: str
    warmup: int
    init: str
    optimizer: str
    seed: int
    data: str | None
    workers: int
    device: str
    log_every: int
    val_every: int
    save_every: int
    tf32: bool = False
    attr_data: str | None = None  # of joint training, where `data` has no attributes
    labels: float = 1.0  # share of the training images whose attributes are learned from
    backbone: str = "encoder"  # of pre-training
    region_pooling: str = "mean"  # of SSP and its relatives

    @classmethod
    def fits(cls, saved):
        """Whether a checkpoint's options are options of this version."""
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        return (
            isinstance(saved, dict)
            and all(name in kinds and isinstance(value, kinds[name] | int) for name, value in saved.items())
            and all(
                field.name in saved
                for field in dataclasses.fields(cls)
                if field.default is dataclasses.MISSING
            )
        )

    @classmethod
    def resolve(cls, kind, given, saved=None):
        """kind: a Training of the presets, "segmentation" and so on. saved: the options of the run to be resumed.

        Raises TinyfaceError where an option is impossible or contradicts the run that is resumed.
        """
        given = {name: value for name, value in given.items() if value is not None}
        if saved is not None:
            options = cls(**saved)
            for name in FIXED_ON_RESUME:
                before = getattr(options, name)
                if name in given and given[name] != before:
                    raise TinyfaceError(
                        f"--{name.replace('_', '-')} {given[name]}: the run to be resumed was started with "
                        f"{before}; leave the option out, or start a new run with another --out"
                    )
            options = cls(**{**saved, **given})
            options.check()
            return options
        name = given.get("preset", DEFAULT)
        preset = find_preset(name)
        training = dataclasses.asdict(getattr(preset, kind))
        defaults = {
            **training,
            "preset": name,
            "seed": 0,
            "data": None,
            "workers": 1,
            "device": "cpu",
            "log_every": 10,
        }
        options = cls(**{**defaults, **given})
        options.check()
        return options

    def check(self):
        """Raises TinyfaceError naming the first option that is impossible."""
        for name, least in (
            ("steps", 1), ("batch_size", 2), ("warmup", 0), ("seed", 0), ("workers", 0),
            ("log_every", 1), ("val_every", 1), ("save_every", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise TinyfaceError(
                    f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}"
                )
        for name in ("lr", "weight_decay"):
            value, zero_too = getattr(self, name), name == "weight_decay"
            if not math.isfinite(value) or value < 0 or (value == 0 and not zero_too):
                least = "from 0 on" if zero_too else "greater than 0"
                raise TinyfaceError(f"--{name.replace('_', '-')} must be a number {least}, got {value}")
        if self.optimizer not in OPTIMIZERS:
            raise TinyfaceError(f"--optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer}")
        if self.init not in INITS:
            raise TinyfaceError(f"--init must be one of {', '.join(INITS)}, got {self.init}")
        few_labels.check_share(self.labels)
        if self.backbone not in BACKBONES:
            raise TinyfaceError(f"--backbone must be one of {', '.join(BACKBONES)}, got {self.backbone}")
        if self.region_pooling not in REGION_POOLINGS:
            raise TinyfaceError(
                f"--region-pooling must be one of {', '.join(REGION_POOLINGS)}, got {self.region_pooling}"
            )
        optim.schedule(self.schedule, self.steps, self.warmup)
        backend.check_device(self.device)
        if self.tf32 and self.device != "cuda":
            raise TinyfaceError("--tf32: is a way of a GPU's; add --device cuda")
        backend.set_tf32(self.tf32)

    def new_optimizer(self, network):
        return OPTIMIZERS[self.optimizer](network.parameters(), lr=self.lr, weight_decay=self.weight_decay)
