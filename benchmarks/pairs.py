"""A network of tinyface and its PyTorch twin on the same batch: what is timed as training step and inference.

Names are kind/scale/network: train/paper/ssg, infer/small/segmentation.
"""

import math
from dataclasses import dataclass

import numpy as np

try:
    import torch
    import torch_networks as twins
except ImportError:  # gpu.py measures tinyface alone then
    torch = twins = None

from tinyface import Tensor, backend, no_grad, ops, optim
from tinyface.errors import TinyfaceError
from tinyface.faces.models import AttributeNet, SegmentationNet, segmentation_loss
from tinyface.faces.models.attributes import ATTRIBUTES, REGIONS
from tinyface.faces.presets import PRESETS

NETWORKS = ("avg", "ssp", "ssg", "segmentation")
KINDS = ("train", "infer")
FORMATS = {
    name: getattr(torch, attribute, None)
    for name, attribute in (("contiguous", "contiguous_format"), ("channels_last", "channels_last"))
}
LEARNING_RATE = 1e-3
TOLERANCE = 1e-3  # of the check that both sides compute the same


@dataclass(frozen=True)
class Scale:
    """Width of a network, (height, width) of its images, and the batches that are timed."""

    width: int
    size: tuple
    attribute_batch: int
    segmentation_batch: int

    def batch(self, network):
        return self.segmentation_batch if network == "segmentation" else self.attribute_batch


def _of_preset(name, attribute_batch, segmentation_batch):
    preset = PRESETS[name]
    return Scale(preset.width, preset.size, attribute_batch, segmentation_batch)


SCALES = {"paper": _of_preset("paper", 4, 2), "small": _of_preset("small", 32, 32)}
QUICK_SCALES = {
    "paper": Scale(3, (35, 29), 3, 2),
    "small": Scale(2, (27, 21), 4, 4),
}  # to see that it all runs


def names():
    """All kind/scale/network."""
    return [f"{kind}/{scale}/{network}" for kind in KINDS for scale in SCALES for network in NETWORKS]


class Data:
    """A random batch, as NumPy arrays.

    heads: what a parser would give, logits (N, 7, ⌈H/f⌉, ⌈W/f⌉) for f = 8, 4, 2. They are random numbers:
    no parser runs while SSP and SSG are timed.
    """

    def __init__(self, batch, size):
        rng = np.random.default_rng(0)
        self.images = as_ours(rng.uniform(-1, 1, (batch, 3, *size)).astype(np.float32))
        self.attributes = rng.integers(0, 2, (batch, ATTRIBUTES)).astype(np.float32)
        self.labels = rng.integers(0, REGIONS, (batch, *size)).astype(np.uint8)
        scales = ([math.ceil(length / factor) for length in size] for factor in (8, 4, 2))
        self.heads = [as_ours(rng.standard_normal((batch, REGIONS, *scale), np.float32)) for scale in scales]


def as_ours(maps):
    """The same array in the memory order that the loader and the parser hand on."""
    return backend.as_nchw(backend.as_hwnc(maps))


class Ours:
    """The side of tinyface, on "cpu" or "cuda"."""

    def __init__(self, name, width, data, device="cpu"):
        backend.seed(0)
        self.name = name
        arrays = (data.images, data.attributes, data.labels, *data.heads)
        self.images, self.attributes, self.labels, *self.heads = (
            backend.to_device(array, device) for array in arrays
        )
        size = data.images.shape[2:]
        self.network = (
            SegmentationNet(width, size) if name == "segmentation" else AttributeNet(width, name, size)
        )
        self.network.to(device)
        decay = PRESETS["paper"].attributes.weight_decay
        self.optimizer = optim.AdaGrad(self.network.parameters(), LEARNING_RATE, decay)

    def outputs(self):
        """The logits; of the finest head where there are four."""
        y = self._forward()
        return y[-1] if self.name == "segmentation" else y

    def loss(self):
        y = self._forward()
        if self.name == "segmentation":
            return segmentation_loss(y, self.labels)
        return ops.sigmoid_cross_entropy(y, self.attributes)

    def _forward(self):
        x = Tensor(self.images)
        return self.network(x) if self.name in ("avg", "segmentation") else self.network(x, self.heads)

    def prepare(self, kind):
        """Training or evaluation mode."""
        self.network.train(kind == "train")

    def train(self, _=None):
        """One step; → the loss, a number."""
        self.network.zero_grad()
        loss = self.loss()
        value = loss.item()
        loss.backward()
        del loss
        self.optimizer.step()
        return value

    def enqueue(self, kind):
        """The same without asking for the result, so that a GPU may be behind."""
        if kind == "train":
            self.network.zero_grad()
            self.loss().backward()
            self.optimizer.step()
        else:
            with no_grad():
                self.outputs()

    def infer(self, _=None):
        """→ logits, an array."""
        with no_grad():
            return self.outputs().numpy()


class Theirs:
    """The side of PyTorch, in one of its memory formats. `network` is tinyface's, whose weights it copies."""

    def __init__(self, name, width, data, memory_format, network=None, device="cpu"):
        def tensor(array):
            y = torch.from_numpy(array).to(device)
            return y.contiguous(memory_format=FORMATS[memory_format]) if y.ndim == 4 else y

        self.name = name
        if name == "segmentation":
            self.twin = twins.TorchSegmentationNet(width)
        else:
            self.twin = twins.TorchAttributeNet(width, name)
        if network:
            twins.copy_weights(self.twin, network)
        self.twin.to(device=device, memory_format=FORMATS[memory_format])
        self.images, self.attributes = tensor(data.images), tensor(data.attributes)
        self.labels, self.heads = tensor(data.labels).long(), [tensor(h) for h in data.heads]
        self.optimizer = torch.optim.Adagrad(
            self.twin.parameters(),
            LEARNING_RATE,
            weight_decay=PRESETS["paper"].attributes.weight_decay,
            fused=True,  # PyTorch's fastest
        )

    def outputs(self):
        y = self._forward()
        return y[-1] if self.name == "segmentation" else y

    def loss(self):
        y = self._forward()
        if self.name == "segmentation":
            return twins.segmentation_loss(y, self.labels)
        return torch.nn.functional.binary_cross_entropy_with_logits(y, self.attributes)

    def _forward(self):
        if self.name in ("avg", "segmentation"):
            return self.twin(self.images)
        return self.twin(self.images, self.heads)

    def prepare(self, kind):
        self.twin.train(kind == "train")

    def train(self, _=None):
        self.optimizer.zero_grad()
        loss = self.loss()
        value = loss.item()
        loss.backward()
        del loss
        self.optimizer.step()
        return value

    def enqueue(self, kind):
        if kind == "train":
            self.optimizer.zero_grad()
            self.loss().backward()
            self.optimizer.step()
        else:
            with torch.no_grad():
                self.outputs()

    def infer(self, _=None):
        with torch.no_grad():
            return self.outputs().cpu().numpy()


def build(kind, network, width, size, batch, device="cpu", formats=FORMATS):
    """All sides on the same batch, with the same weights: {"ours": …, "contiguous": …, "channels_last": …}.

    formats: none of PyTorch's leaves tinyface alone.
    """
    data = Data(batch, size)
    ours = Ours(network, width, data, device)
    sides = {"ours": ours} | {f: Theirs(network, width, data, f, ours.network, device) for f in formats}
    for side in sides.values():
        side.prepare(kind)
    return sides


def check_same(name, kind, sides):
    """Losses, or logits in evaluation mode, agree within TOLERANCE; else what is timed is not the same work.

    → {side: loss}, nothing for inference. Changes no weight. Raises TinyfaceError.
    """
    if kind == "train":
        got = {side: network.loss().item() for side, network in sides.items()}
    else:
        got = {side: network.infer() for side, network in sides.items()}
    for side in sides.keys() - {"ours"}:
        check_close(f"{name}: {'loss' if kind == 'train' else 'logits'}", got["ours"], got[side])
    return got if kind == "train" else {}


def check_close(what, ours, theirs):
    """Raises TinyfaceError unless the largest difference is below TOLERANCE of the largest value."""
    difference, largest = np.abs(ours - theirs).max(), np.abs(theirs).max()
    if not difference <= TOLERANCE * largest:
        raise TinyfaceError(f"{what} is not the same on both sides: off by {difference:.3g} of {largest:.3g}")
