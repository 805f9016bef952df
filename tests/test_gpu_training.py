"""Whole networks on the GPU beside the CPU: the same weights after some steps, from the command line as well."""

import json

import numpy as np
import pytest

from tinyface import Tensor, backend, checkpoint, ops, optim
from tinyface.faces import models, tasks
from tinyface.faces.data.device import DeviceBatches
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.loader import TrainLoader
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models.attributes import MODES
from tinyface.kernels.algorithms import force

pytestmark = pytest.mark.gpu
SIZE = 55, 45  # of the tiny preset
FIRST_SEEDS = {
    "segmentation": 8, "shared encoder": 15, "avg": 2, "ssp": 3, "ssg": 0, "spp": 3, "naive": 1, "bbox": 1, "concat": 3,
    "joint": 1,
}  # fmt: skip
MOST_SEEDS = 10
BY_NATURE = "head.localization.bias"  # its true gradient is 0: softmax over the regions doesn't see it


def after_five_steps(mode, device, dtype, seed=0):
    """All weights and statistics."""
    backend.seed(seed)
    rng = np.random.default_rng(seed)
    whole = {"segmentation": models.SegmentationNet, "shared encoder": models.JointNet}
    net = whole[mode](4, SIZE) if mode in whole else models.AttributeNet(4, mode, SIZE)
    net.to(dtype).to(device)
    optimizer = optim.AdaGrad(net.parameters(), 1e-3, 5e-4)
    for _ in range(5):
        x = rng.standard_normal((4, 3, *SIZE)).astype(dtype)
        labels = rng.integers(0, 7, (4, *SIZE)).astype(np.uint8)
        targets = (rng.random((4, 40)) < 0.5).astype(dtype)
        heads = [rng.standard_normal((4, 7, -(-55 // s), -(-45 // s))).astype(dtype) for s in (8, 4, 2, 1)]
        points = backend.to_device(rng.uniform(0, SIZE[::-1], (4, 5, 2)).astype(dtype), device)
        x, labels, targets, *heads = (backend.to_device(a, device) for a in (x, labels, targets, *heads))
        net.zero_grad()
        if mode == "segmentation":
            loss = models.segmentation_loss(net(Tensor(x)), labels)
        elif mode == "shared encoder":
            maps, logits = net(Tensor(x), Tensor(x[:, :, ::-1]))
            loss = models.segmentation_loss(maps, labels) + ops.sigmoid_cross_entropy(logits, targets)
        else:
            loss = ops.sigmoid_cross_entropy(net(Tensor(x), [Tensor(h) for h in heads], points), targets)
        loss.backward()
        optimizer.step()
    return {name: backend.to_device(array, "cpu") for name, array in net.state_dict().items()}


def furthest(weights, wanted):
    """(distance, name) of the array furthest from the wanted one, the distance as a share of its largest number."""
    names = wanted.keys() - {BY_NATURE}
    return max((abs(weights[name] - wanted[name]).max() / abs(wanted[name]).max(), name) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["segmentation", "shared encoder", *MODES])
def test_float64_agrees_in_every_weight(mode):
    cpu, cuda = (after_five_steps(mode, device, np.float64) for device in ("cpu", "cuda"))
    assert furthest(cuda, cpu) < (1e-9, "")


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seed"), FIRST_SEEDS.items())
def test_float32_agrees_in_every_weight(mode, seed):
    """To 1e-4, where five steps move weights by 5e-3, for one of several seeds.

    In runs of many seeds two numbers of a pooling window nearly tie and rounding, which differs between CPUs too,
    decides where the gradient goes: float32 and float64 then part by 1e-3 and more, also on one device. A fault parts
    the runs of all seeds. The CPU takes the tile that rounds like the GPU's; the larger one rounds five times as much.
    """
    assert set(FIRST_SEEDS) == {"segmentation", "shared encoder", *MODES}
    distances = []
    for other in range(MOST_SEEDS):
        with force("winograd4"):
            cpu = after_five_steps(mode, "cpu", np.float32, seed + other)
        distances.append(furthest(after_five_steps(mode, "cuda", np.float32, seed + other), cpu))
        if distances[-1] < (1e-4, ""):
            return
    raise AssertionError(f"no seed agrees: {distances}")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu") / "faces"
    draw_dataset(folder, train=12, val=4, test=0)
    return folder


@pytest.mark.parametrize("targets", ["labels", "attributes"])
def test_device_batches_are_the_loaders(faces, targets):
    dataset = open_dataset(faces, "train", targets)
    with (
        TrainLoader(dataset, targets, 4, SIZE, seed=3, landmarks=True) as plain,
        TrainLoader(dataset, targets, 4, SIZE, seed=3, raw=True, landmarks=True) as raw,
    ):
        batches = DeviceBatches(raw)
        for _ in range(6):
            wanted, got = next(plain), next(batches)
            assert got.step == wanted.step
            np.testing.assert_array_equal(backend.to_device(got.images, "cpu"), wanted.images)
            np.testing.assert_array_equal(backend.to_device(got.targets, "cpu"), wanted.targets)
            if targets == "labels":
                assert wanted.landmarks is got.landmarks is None
            else:
                np.testing.assert_array_equal(backend.to_device(got.landmarks, "cpu"), wanted.landmarks)


def test_a_slow_gpu_holds_up_the_host(faces, monkeypatch):
    """When every pinned buffer is on its way, the oldest copy is waited for; nothing is overwritten."""
    monkeypatch.setattr("tinyface.faces.data.device.MOST_PINNED", 1)
    dataset = open_dataset(faces, "train", "attributes")
    with (
        TrainLoader(dataset, "attributes", 4, SIZE, seed=3, landmarks=True) as plain,
        TrainLoader(dataset, "attributes", 4, SIZE, seed=3, raw=True, landmarks=True) as raw,
    ):
        pairs = [(next(plain), batch) for batch, _ in zip(DeviceBatches(raw), range(5), strict=False)]
    for wanted, got in pairs:
        for name in ("targets", "landmarks"):
            np.testing.assert_array_equal(backend.to_device(getattr(got, name), "cpu"), getattr(wanted, name))
        np.testing.assert_array_equal(backend.to_device(got.images, "cpu"), wanted.images)


def test_landmarks_from_the_regions_of_a_batch_on_the_gpu():
    backend.seed(0)
    task = tasks.AttributeTask(models.AttributeNet(2, "bbox", SIZE), models.SegmentationNet(2, SIZE))
    images = np.random.default_rng(0).uniform(-1, 1, (3, 3, *SIZE)).astype(np.float32)
    expected = task.probabilities(images)
    for network in (task.network, task.segmentation_net):
        network.to("cuda")
    np.testing.assert_allclose(task.probabilities(images), expected, atol=1e-4)


@pytest.mark.slow
def test_the_training_commands(faces, tmp_path):
    """A run on the GPU, gone on with on the CPU, and its networks used on both."""
    from click.testing import CliRunner

    from cli import cli

    def run(*arguments):
        result = CliRunner().invoke(cli, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    common = "--data", faces, "--preset", "tiny", "--batch-size", 4
    run("train-seg", *common, "--steps", 5, "--device", "cuda", "--out", tmp_path / "seg")
    run("train-seg", "--resume", "--device", "cpu", "--out", tmp_path / "seg")
    segmentation_net = "--seg-weights", tmp_path / "seg"
    run(
        "train-attr",
        "--ssp",
        "--ssg",
        "--naive",
        "--bbox",
        *common,
        *segmentation_net,
        "--steps",
        5,
        "--device",
        "cuda",
        "--out",
        tmp_path / "attr",
    )
    assert checkpoint.load(tmp_path / "attr" / "ssg" / "last.h5").training["step"] == 5
    for name in ("naive", "bbox"):
        run("evaluate", tmp_path / "attr" / name, "--data", faces, "--device", "cuda")
    measures = []
    for device in ("cpu", "cuda"):
        text = run("evaluate", tmp_path / "attr" / "ssp", "--data", faces, "--json", "--device", device)
        measures.append(next(iter(json.loads(text)["measures"].values()))["average_precision"])
    assert abs(measures[0] - measures[1]) < 1e-3
    photo = next((faces / "helen").rglob("*.jpg"))
    run("predict", photo, "--weights", tmp_path / "attr", "--device", "cuda", "--out", tmp_path / "pictures")

    short = "--steps", 3, "--device", "cuda", "--batch-size", 4
    run(
        "train-attr",
        "--ssp",
        "--balanced",
        "--from",
        tmp_path / "attr",
        *short,
        "--out",
        tmp_path / "balanced",
    )
    run("train-joint", *common, *short, "--compare", tmp_path / "seg", "--out", tmp_path / "joint")
    run("train-joint", "--resume", "--device", "cpu", "--out", tmp_path / "joint")
    for name in ("balanced", "joint"):
        run("evaluate", tmp_path / name, "--data", faces, "--device", "cuda")
