"""The paper's networks against PyTorch twins written from the paper: five steps of training, number by number."""

import numpy as np
import pytest

from tinyface import Tensor, backend, ops, optim
from tinyface.faces.models import (
    AttributeNet,
    JointNet,
    ResNetAttributes,
    SegmentationNet,
    SSPLNet,
    segmentation_loss,
)
from tinyface.faces.models.attributes import HEADS_NEEDED, MODES
from tinyface.faces.tasks import segmentation_heads

torch = pytest.importorskip("torch")
import torch_networks as twins  # noqa: E402  (needs torch)

pytestmark = pytest.mark.reference

STEPS, LR, WEIGHT_DECAY = 5, 0.02, 5e-4
# Between odd sizes every ceil-mode pooling has a ragged edge, in one direction or in both.
CASES = [(2, (27, 21)), (3, (25, 34)), (4, (19, 15))]
PRETRAINING = {"sspl, encoder": "encoder", "sspl, resnet18": "resnet18"}  # by backbone
NETWORKS = ["segmentation", "shared encoder", *PRETRAINING, "resnet18", *MODES]
DEEPER = [(2, (67, 51)), (3, (50, 69)), (4, (39, 61))]  # for ResNet-18, which halves five times
TOLERANCE = {np.float64: 1e-9, np.float32: 1e-3}


@pytest.fixture(autouse=True)
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("case", range(len(CASES)))
def test_five_steps_in_float64(name, case):
    compare(name, *cases_of(name)[case], np.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_five_steps_in_float32(name):
    # Where a value is 0 but for rounding, ReLU's gradient is all or nothing: with many of them two runs part sooner.
    compare(name, *cases_of(name)[0], np.float32, steps=3 if "resnet18" in name else STEPS)


def cases_of(name):
    return DEEPER if "resnet18" in name else CASES


def compare(name, width, size, dtype, steps=STEPS):
    """Loss, gradients, weights and running statistics of both after each step on fresh batches."""
    backend.seed(0)
    ours, theirs = make_pair(name, width, size, dtype)
    segmentation_net, segmentation_twin = (
        make_segmentation_net(size, dtype) if HEADS_NEEDED.get(name) else (None, None)
    )
    optimizer = optim.AdaGrad(ours.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    reference = torch.optim.Adagrad(theirs.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    names = [path for path, _ in ours.named_parameters()]
    rng = np.random.default_rng(1)

    for step in range(steps):
        images = rng.uniform(-1, 1, (3, 3, *size)).astype(dtype)
        ours.zero_grad()
        reference.zero_grad()
        if name == "segmentation":
            labels = rng.integers(-1, 7, (3, *size))  # -1: not labelled
            loss = segmentation_loss(ours(Tensor(images)), labels)
            expected = twins.segmentation_loss(theirs(torch.tensor(images)), torch.tensor(labels))
        elif name == "shared encoder":
            others = rng.uniform(-1, 1, (2, 3, *size)).astype(
                dtype
            )  # of another number than the labelled ones
            labels = rng.integers(-1, 7, (3, *size))
            targets = rng.integers(0, 2, (2, 40)).astype(dtype)
            heads, logits = ours(Tensor(images), Tensor(others))
            loss = segmentation_loss(heads, labels) + ops.sigmoid_cross_entropy(logits, targets)
            heads, logits = theirs(torch.tensor(images), torch.tensor(others))
            expected = twins.segmentation_loss(heads, torch.tensor(labels))
            expected = expected + torch.nn.functional.binary_cross_entropy_with_logits(
                logits, torch.tensor(targets)
            )
        elif name in PRETRAINING:
            loss, expected = pretraining_losses(ours, theirs, images, rng)
        else:
            targets = rng.integers(0, 2, (3, 40)).astype(dtype)
            points = rng.uniform(-0.1, 1.1, (3, 5, 2)) * size[::-1]  # some outside the image
            points = points.astype(dtype) if name == "bbox" else None
            heads = segmentation_heads(segmentation_net, images, HEADS_NEEDED[name])
            loss = ops.sigmoid_cross_entropy(ours(Tensor(images), heads, points), targets)
            with torch.no_grad():
                heads = segmentation_twin(torch.tensor(images)) if segmentation_net else None
            given = (heads, None if points is None else torch.tensor(points))
            logits = theirs(torch.tensor(images), *(() if name == "resnet18" else given))
            expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(targets))
        loss.backward()
        expected.backward()

        where = f"step {step + 1}:"
        assert_close(f"{where} loss", loss.data, expected, dtype)
        gradients = [p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()]
        for path, *pair in zip(names, *gradients, strict=True):
            assert_close(f"{where} gradient of {path}", *pair, dtype, zero=unseen(path))
        optimizer.step()
        reference.step()
        for path, *pair in zip(names, [p.data for p in ours.parameters()], theirs.parameters(), strict=True):
            assert_close(f"{where} {path}", *pair, dtype, zero=unseen(path))
        for (path, ours_), theirs_ in zip(ours.named_buffers(), running_statistics(theirs), strict=True):
            assert_close(f"{where} {path}", ours_, theirs_, dtype)


def pretraining_losses(ours, theirs, images, rng):
    """The four losses of SSPL, added, of both: for the same random targets, some places of which are to be ignored."""
    half = [-(-length // 2) for length in images.shape[2:]]
    place, angle, labels = np.array([-1, 8, 0]), rng.integers(0, 4, 3), rng.integers(0, 7, (3, *half))
    presence = rng.integers(0, 2, (3, 7, 3, 3)).astype(images.dtype)
    outputs = ours(Tensor(images))
    loss = ops.sigmoid_cross_entropy(outputs[3], presence)
    for output, target in zip(outputs, (place, angle, labels), strict=False):
        loss = loss + ops.softmax_cross_entropy(output, target)
    outputs = theirs(torch.tensor(images))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs[3], torch.tensor(presence))
    for output, target in zip(outputs, (place, angle, labels), strict=False):
        expected = expected + torch.nn.functional.cross_entropy(output, torch.tensor(target), ignore_index=-1)
    return loss, expected


def make_pair(name, width, size, dtype):
    """A network of tinyface and its twin with the same weights and running statistics."""
    if name == "segmentation":
        ours, theirs = SegmentationNet(width, size), twins.TorchSegmentationNet(width)
    elif name == "shared encoder":
        ours, theirs = JointNet(width, size), twins.TorchJointNet(width)
    elif name == "resnet18":
        ours, theirs = ResNetAttributes(width, size), twins.TorchResNetAttributes(width)
    elif name in PRETRAINING:
        ours, theirs = (
            SSPLNet(PRETRAINING[name], width, size),
            twins.TorchSSPLNet(PRETRAINING[name], width),
        )
    else:
        ours, theirs = AttributeNet(width, name, size), twins.TorchAttributeNet(width, name)
    ours.to(dtype)
    theirs.to(torch.float64 if dtype is np.float64 else torch.float32)
    rng = np.random.default_rng(0)
    for parameter in ours.parameters():  # away from 0 and 1, where a mistake can hide
        parameter.data += 0.1 * rng.standard_normal(parameter.shape).astype(dtype)
    twins.copy_weights(theirs, ours)
    return ours, theirs


def make_segmentation_net(size, dtype):
    """A segmentation network in evaluation mode, its running statistics no longer those of the start, and its twin."""
    ours, theirs = make_pair("segmentation", 2, size, dtype)
    rng = np.random.default_rng(2)
    for buffer in ours.buffers():
        buffer += rng.uniform(0, 0.3, buffer.shape)
    twins.copy_weights(theirs, ours)
    return ours.eval(), theirs.eval()


def running_statistics(twin):
    norms = [module for module in twin.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    return [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]


def unseen(path):
    """Whether the loss does not depend on this parameter, so that its gradient is 0 and what is left is rounding.

    The softmax over the regions takes away what is added to all of them.
    """
    return path == "head.localization.bias"


def assert_close(what, got, expected, dtype, zero=False):
    """Largest difference as a share of the largest value; where that is 0, rounding instead."""
    expected = expected.detach().numpy()
    assert got.shape == expected.shape and got.dtype == expected.dtype == dtype, what
    difference, largest = np.abs(got - expected).max(), np.abs(expected).max()
    if zero:
        assert "gradient" not in what or largest < 100 * np.finfo(dtype).eps, (
            f"{what} is not zero: {largest:.1e}"
        )
        largest = 1.0
        if dtype == np.float32:  # AdaGrad blows rounding up to full steps where it exceeds its epsilon
            return
    assert difference <= TOLERANCE[dtype] * largest, f"{what}: off by {difference / largest:.1e}"
