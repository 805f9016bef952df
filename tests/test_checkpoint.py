import errno
import io
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tinyface import Tensor, backend, checkpoint, nn, optim
from tinyface.checkpoint import Checkpoint
from tinyface.errors import NotFiniteError, TinyfaceError
from tinyface.faces.models import AttributeNet, SegmentationNet

SIZE = (11, 9)
NETWORKS = {
    "segmentation": lambda: SegmentationNet(1, SIZE),
    "segmentation, norm behind the heads": lambda: SegmentationNet(1, SIZE, head_norm=True),
    "avg": lambda: AttributeNet(1, "avg", SIZE),
    "ssp": lambda: AttributeNet(1, "ssp", SIZE),
    "ssg": lambda: AttributeNet(1, "ssg", SIZE, attributes=5),
}


def make_network(name="avg", dtype=np.float32):
    """A network whose weights and running statistics are all different."""
    backend.seed(0)
    network = NETWORKS[name]().to(dtype)
    rng = np.random.default_rng(0)
    for array in [*(p.data for p in network.parameters()), *network.buffers()]:
        array += rng.uniform(0, 1, array.shape).astype(dtype)
    return network


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with everything in it."""
    path = tmp_path / "last.h5"
    network = make_network()
    optimizer = optim.AdaGrad(network.parameters())
    take_steps(network, optimizer, 1)
    checkpoint.save(path, Checkpoint(network, {"a": 1}, {"step": 1}, optimizer.state_dict()))
    return path


def take_steps(network, optimizer, count, start=0):
    for step in range(start, start + count):
        rng = np.random.default_rng(step)
        for parameter in network.parameters():
            grad = rng.standard_normal(parameter.shape).astype(parameter.data.dtype)
            parameter.grad = backend.to_device(grad, parameter.device)
        optimizer.step()


def assert_same(one, other):
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def error_of(path):
    """What loading says; the same for a network alone."""
    with pytest.raises(TinyfaceError) as caught:
        checkpoint.load(path)
    with pytest.raises(TinyfaceError) as again:
        checkpoint.load_network(path)
    assert str(again.value) == str(caught.value)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- what comes back


@pytest.mark.gpu
@pytest.mark.parametrize("there, here", [("cuda", "cpu"), ("cpu", "cuda")])
def test_goes_on_on_another_device(tmp_path, there, here):
    straight = make_network(dtype=np.float64)
    take_steps(straight, optim.AdaGrad(straight.parameters()), 4)

    network = make_network(dtype=np.float64).to(there)
    optimizer = optim.AdaGrad(network.parameters())
    take_steps(network, optimizer, 2)
    checkpoint.save(tmp_path / "last.h5", Checkpoint(network, {}, {"step": 2}, optimizer.state_dict()))

    loaded = checkpoint.load(tmp_path / "last.h5")
    resumed = optim.AdaGrad(loaded.network.to(here).parameters())
    resumed.load_state_dict(loaded.optimizer)
    take_steps(loaded.network, resumed, 2, start=2)
    assert {p.device for p in loaded.network.parameters()} == {here}
    for name, array in loaded.network.state_dict().items():
        np.testing.assert_allclose(array, straight.state_dict()[name], rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_round_trip(tmp_path, name, dtype):
    network = make_network(name, dtype)
    notes = {"command": "train-seg", "measures": {"mean_iou": 1 / 3}, "name": "Gesichter ✓"}
    checkpoint.save(tmp_path / "best.h5", Checkpoint(network, notes))
    backend.seed(99)  # a new network begins with other weights
    back = checkpoint.load(tmp_path / "best.h5")
    assert type(back.network) is type(network)
    assert json.dumps(back.network.config) == json.dumps(network.config)
    assert back.notes == notes and back.training is None and back.optimizer is None
    assert_same(back.network.state_dict(), network.state_dict())
    assert os.listdir(tmp_path) == ["best.h5"]


def test_the_header_says_what_the_whole_file_says(saved, tmp_path):
    whole, header = checkpoint.load(saved), checkpoint.read_header(saved)
    assert header.network == type(whole.network).__name__
    assert json.dumps(header.config) == json.dumps(whole.network.config)
    assert (header.notes, header.training) == (whole.notes, whole.training) and whole.training
    checkpoint.save(tmp_path / "best.h5", Checkpoint(whole.network))
    assert checkpoint.read_header(tmp_path / "best.h5").training is None


def test_the_header_is_read_without_the_arrays(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "_read_arrays", lambda group: pytest.fail("arrays read"))
    checkpoint.read_header(saved)


@pytest.mark.parametrize("name", ["config", "notes", "training"])
def test_a_header_without_a_dictionary_is_damaged(saved, name):
    with h5py.File(saved, "r+") as file:
        attributes = file["training"].attrs if name == "training" else file.attrs
        attributes["state" if name == "training" else name] = "[1]"
    with pytest.raises(TinyfaceError, match="damaged"):
        checkpoint.read_header(saved)


def test_load_network_gives_what_the_file_holds_ready_for_use(tmp_path):
    for name in NETWORKS:
        network = make_network(name)
        checkpoint.save(tmp_path / "f.h5", Checkpoint(network))
        back = checkpoint.load_network(str(tmp_path / "f.h5"))
        assert type(back) is type(network)
        assert not any(module.training for _, module in back.named_modules())
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, *SIZE)).astype(np.float32))
    network = make_network("segmentation").eval()
    checkpoint.save(tmp_path / "f.h5", Checkpoint(network))
    for one, other in zip(network(x), checkpoint.load_network(tmp_path / "f.h5")(x), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_training_state_comes_back_exactly(tmp_path):
    network = make_network()
    backend.seed(7)
    backend.rng().random(13)
    training = {
        "step": 3,
        "best": 0.1 + 0.2,
        "options": {"lr": 1e-3, "data": None},
        "random": backend.get_random_state(),
    }
    checkpoint.save(tmp_path / "f.h5", Checkpoint(network, training=training, optimizer={}))
    expected = backend.rng().random(5)
    back = checkpoint.load(tmp_path / "f.h5")
    assert back.training == training
    backend.set_random_state(back.training["random"])
    np.testing.assert_array_equal(backend.rng().random(5), expected)


@pytest.mark.parametrize("make", [optim.AdaGrad, optim.Adam, optim.SGD, lambda p: optim.SGD(p, momentum=0.9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_goes_on_to_the_same_bits(tmp_path, make, dtype):
    network = make_network("ssp", dtype)
    optimizer = make(network.parameters())
    take_steps(network, optimizer, 3)
    checkpoint.save(tmp_path / "f.h5", Checkpoint(network, {}, {"step": 3}, optimizer.state_dict()))
    take_steps(network, optimizer, 3, start=3)

    back = checkpoint.load(tmp_path / "f.h5")
    again = make(back.network.parameters())
    again.load_state_dict(back.optimizer)
    take_steps(back.network, again, 3, start=3)
    assert_same(back.network.state_dict(), network.state_dict())
    for index, slots in optimizer.state_dict().items():
        assert_same({k: np.asarray(v) for k, v in again.state_dict()[index].items()},
                    {k: np.asarray(v) for k, v in slots.items()})  # fmt: skip


# ---------------------------------------------------------------- files that are not what they should be


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert "damaged or no HDF5 file (" in error_of(saved)


def test_the_last_byte_missing(saved):
    saved.write_bytes(saved.read_bytes()[:-1])
    error_of(saved)


@pytest.mark.parametrize("content", [b"", b"\x00" * 5000, b"\x89HDF\r\n\x1a\n", b"not a network\n" * 100])
def test_something_else(saved, content):
    saved.write_bytes(content)
    assert "damaged or no HDF5 file (" in error_of(saved)


def test_garbage_in_the_middle_never_ends_in_a_traceback(saved):
    """It may go unnoticed where it hits a weight; it must not raise anything but TinyfaceError."""
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for _ in range(20):
        damaged = bytearray(content)
        start = int(rng.integers(0, 2000))  # where HDF5 keeps its tables
        damaged[start : start + 16] = rng.bytes(16)
        saved.write_bytes(damaged)
        try:
            checkpoint.load(saved)
        except TinyfaceError as error:
            noticed += 1
            assert str(error).startswith(f"{saved}: ") and "\n" not in str(error)
    assert noticed > 2


def test_no_file(tmp_path):
    (tmp_path / "folder.h5").mkdir()
    for name, what in (("missing.h5", "no such file"), ("folder.h5", "is a folder")):
        assert f"{name}: {what}; give the path of a checkpoint" in error_of(tmp_path / name)


def test_foreign_hdf5(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.ones(3)
    assert "is an HDF5 file, but not a checkpoint of tinyface" in error_of(tmp_path / "other.h5")


def set_attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


def replace(name, value):
    def change(file):
        if name in file:
            del file[name]
        file[name] = value

    return change


DAMAGE = {
    "another format": (set_attribute("format", "other"), "not a checkpoint of tinyface"),
    "newer version": (set_attribute("version", 2), "has format version 2, this tinyface reads up to 1"),
    "version as text": (set_attribute("version", "new"), "damaged"),
    "no network": (set_attribute("network", "segmentation_loss"), "a network of unknown kind segmentation_loss"),
    "unknown network": (set_attribute("network", "FutureNet"), "a network of unknown kind FutureNet; update tinyface"),
    "no config": (lambda file: file.attrs.__delitem__("config"), "damaged"),
    "config is no JSON": (set_attribute("config", "{"), "damaged"),
    "config is a list": (set_attribute("config", "[1]"), "damaged"),
    "config with an unknown option": (set_attribute("config", '{"depth": 3}'), "damaged"),
    "config of a network beyond all memory": (set_attribute("config", '{"width": 10000000000000}'), "damaged"),
    "notes are a number": (set_attribute("notes", 3), "damaged"),
    "no weights": (lambda file: file.__delitem__("network"), "damaged"),
    "weights are one array": (replace("network", np.ones(3)), "damaged"),
    "a weight missing": (lambda file: file.__delitem__("network/head.linear.bias"), "missing ['head.linear.bias']"),
    "a weight too many": (replace("network/extra", np.ones(3)), "unexpected ['extra']"),
    "a weight of another shape": (replace("network/head.linear.bias", np.ones(3)), "head.linear.bias has shape (3,)"),
    "a weight is text": (replace("network/head.linear.bias", "text"), "damaged"),
    "a weight is NaN": (replace("network/head.linear.bias", np.full(40, np.nan)),
                        "weight head.linear.bias is not a finite number"),
    "a weight is infinite": (replace("network/head.linear.bias", np.full(40, -np.inf)),
                             "weight head.linear.bias is not a finite number"),
    "training without state": (replace("training", 3), "damaged"),
    "optimizer is one array": (replace("training/optimizer", np.ones(3)), "damaged"),
    "a slot is one array": (replace("training/optimizer/0", np.ones(3)), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told_in_one_line(saved, case):
    change, text = DAMAGE[case]
    with h5py.File(saved, "r+") as file:
        change(file)
    assert text in error_of(saved)


# ---------------------------------------------------------------- whose networks


class OwnNet(nn.Module):
    """A network that tinyface does not know."""

    def __init__(self, width):
        self.config = {"width": width}
        self.layer = nn.Linear(2, width)


def test_a_programs_own_network(tmp_path, monkeypatch):
    path, network = tmp_path / "own.h5", OwnNet(3)
    checkpoint.save(path, Checkpoint(network))
    assert "unknown kind OwnNet" in error_of(path)
    monkeypatch.setattr(checkpoint, "NETWORK_MODULES", [*checkpoint.NETWORK_MODULES, __name__])
    loaded = checkpoint.load_network(path)
    assert isinstance(loaded, OwnNet)
    np.testing.assert_array_equal(loaded.layer.weight.data, network.layer.weight.data)


def test_loading_needs_only_tinyface(saved):
    """Whatever application the network is of, nothing else was imported."""
    code = f"import tinyface; print(type(tinyface.checkpoint.load_network({str(saved)!r})).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "AttributeNet\n"


# ---------------------------------------------------------------- writes that fail


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["parameter", "buffer"])
def test_a_weight_that_is_not_finite_is_not_saved(saved, what, value):
    before = saved.read_bytes()
    network = make_network()
    array = network.parameters()[-1].data if what == "parameter" else network.buffers()[-1]
    array[0] = value
    with pytest.raises(NotFiniteError, match=f"{saved}: weight .* is not a finite number"):
        checkpoint.save(saved, Checkpoint(network))
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


class Disk(io.FileIO):
    """A file on a disk that has 1000 bytes left."""

    def write(self, content):
        super().write(content[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(saved, monkeypatch, broken):
    before = saved.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if broken == "write":
        monkeypatch.setattr("builtins.open", Disk)
    else:
        monkeypatch.setattr(os, broken, full)
    network = make_network()
    network.parameters()[0].data += 1
    with pytest.raises(TinyfaceError) as caught:
        checkpoint.save(saved, Checkpoint(network))
    monkeypatch.undo()
    assert str(caught.value).startswith(f"{saved}: cannot be written (No space left on device)")
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]
    checkpoint.load(saved)


@pytest.mark.parametrize("part", ["network", "optimizer"])
def test_a_flipped_bit_in_a_weight_is_found(saved, part):
    loaded = checkpoint.load(saved)
    array = loaded.network.conv52.conv.weight.data
    if part == "optimizer":
        array = max((slots["sum"] for slots in loaded.optimizer.values()), key=np.size)
    content = bytearray(saved.read_bytes())
    place = content.find(array.tobytes()[:64])
    assert place > 0
    content[place + 9] ^= 4
    saved.write_bytes(content)
    with pytest.raises(TinyfaceError, match=r"last\.h5: damaged") as error:
        checkpoint.load(saved)
    assert "\n" not in str(error.value)
