"""What tests of the commands share: a quick run's options, untrained networks, refusals, runs compared."""

import json
import shutil
from pathlib import Path

import h5py
import pytest

from tinyface import backend, checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.toyfaces import MARK
from tinyface.faces.models import SegmentationNet
from tinyface.faces.presets import PRESETS

TINY = PRESETS["tiny"]
SHORT = {"preset": "tiny", "steps": 3, "batch_size": 2, "val_every": 2, "save_every": 2, "log_every": 1}


def silent(line):
    pass


def refused(call, *args, **kwargs):
    """The one line with which a call is refused."""
    with pytest.raises(TinyfaceError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save_segmentation_net(path, size=TINY.size, seed=0, faces=None):
    backend.seed(seed)
    return save(path, SegmentationNet(TINY.width, size), faces)


def save(path, network, faces=None, **notes):
    """A checkpoint of a network; faces: what it says it was trained on, if anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if faces:
        notes["trained_on"] = [{"faces": faces, "layout": "CelebA", "folder": f"my {faces}"}]
    checkpoint.save(path, checkpoint.Checkpoint(network, notes))
    return path


def as_photos(faces, path):
    """A copy of drawn faces that passes for photos: no mark, and the first face is Attractive."""
    shutil.copytree(faces, path)
    for mark in Path(path).rglob(MARK):
        mark.unlink()
    file = Path(path) / "celeba/Anno/list_attr_celeba.txt"
    count, names, first, *rows = file.read_text().splitlines()
    words = first.split()
    words[1 + ATTRIBUTES.index("Attractive")] = "1"
    file.write_text("\n".join([count, names, " ".join(words), *rows]))
    return str(path)


def arrays(path):
    """The bytes of every array in a checkpoint, and the position."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if hasattr(item, "dtype") else None
        )
        if "training" in file:
            state = json.loads(file["training"].attrs["state"])
            found["state"] = state["step"], state["best"], json.dumps(state["random"])
    return found


def losses(folder):
    return [(r["step"], r["loss"]) for r in training.read_log(folder / training.LOG) if "loss" in r]


def assert_same_run(folder, other, steps):
    """Both went to the end, with the same losses and to the same bits."""
    for name in (training.LAST, training.BEST):
        got, expected = arrays(folder / name), arrays(other / name)
        assert got.keys() == expected.keys()
        assert [key for key in got if got[key] != expected[key]] == [], name
    assert losses(folder) == losses(other) and len(losses(folder)) == steps
