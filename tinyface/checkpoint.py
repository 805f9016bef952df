"""Checkpoints: a network, and all that training needs to go on from it to the same bits, in one HDF5 file.

/                    attributes: format, version, network (its class), config (JSON), notes (JSON)
/network/<path>      parameters and buffers, as `Module.state_dict` names them
/training            attribute: state (JSON); there only if the file can be resumed from
/training/optimizer/<parameter index>/<slot>
"""

import contextlib
import importlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import NotFiniteError, TinyfaceError
from .files import atomic_write
from .nn import Module

FORMAT, VERSION = "tinyface", 1
# The modules, by name, with the classes that files name as their network; imported when a file is read. A program
# whose networks are its own appends its module.
NETWORK_MODULES = ["tinyface.faces.models"]


@dataclass
class Checkpoint:
    """What a file holds. `training` is None in a file that is for use, not for going on."""

    network: object  # nn.Module
    notes: dict = field(default_factory=dict)  # how it was made: command, data, measures
    training: dict | None = None  # plain values: step, random state, options, best measure
    optimizer: dict | None = None  # Optimizer.state_dict()


@dataclass
class Header:
    """What a file says of itself; reading it takes none of the arrays."""

    network: str  # its class
    config: dict
    notes: dict
    training: dict | None


def save(path, checkpoint):
    """Write a checkpoint; atomically, so that a kill or a full disk leaves the file that was there before.

    Raises TinyfaceError where it cannot be written, NotFiniteError where a weight is NaN or infinite.
    """
    import h5py

    network = checkpoint.network
    state = network.state_dict()
    _check_finite(path, state)
    image = io.BytesIO()  # in memory first: HDF5 itself does not take a full disk well
    with h5py.File(image, "w") as file:
        file.attrs.update(
            format=FORMAT,
            version=VERSION,
            network=type(network).__name__,
            config=json.dumps(network.config),
            notes=json.dumps(checkpoint.notes),
        )
        for name, array in state.items():
            _write(file, f"network/{name}", array)
        if checkpoint.training is not None:
            group = file.create_group("training")
            group.attrs["state"] = json.dumps(checkpoint.training)
            for index, slots in (checkpoint.optimizer or {}).items():
                for slot, value in slots.items():
                    _write(group, f"optimizer/{index}/{slot}", value)
    atomic_write(path, image.getbuffer())


def read_header(path):
    """The Header of a checkpoint. Raises TinyfaceError where the file is missing, damaged or of something else."""
    with _opened(path) as (_, header):
        return header


def load(path):
    """Read a checkpoint. Raises TinyfaceError where the file is missing, damaged or of something else."""
    with _opened(path) as (file, header):
        network = _build(path, header.network, header.config)
        state = _read_arrays(file["network"])
        optimizer = None
        if header.training is not None:
            slots = file["training"].get("optimizer", {})
            optimizer = {index: {slot: value[()] for slot, value in slots[index].items()} for index in slots}
        _check_finite(path, state)
    if any(array.dtype == np.float64 for array in state.values()):
        network.to(np.float64)
    try:
        network.load_state_dict(state)
    except (KeyError, ValueError) as error:
        raise TinyfaceError(f"{path}: {error.args[0]}; the file was made by another version") from None
    return Checkpoint(network, header.notes, header.training, optimizer)


@contextlib.contextmanager
def _opened(path):
    """A checkpoint's HDF5 file and its Header. What goes wrong while it is open is a TinyfaceError."""
    import h5py

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise TinyfaceError(f"{path}: {what}; give the path of a checkpoint (.h5)")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise TinyfaceError(
                    f"{path}: is an HDF5 file, but not a checkpoint of tinyface; choose another file"
                )
            if file.attrs["version"] > VERSION:
                raise TinyfaceError(
                    f"{path}: has format version {file.attrs['version']}, this tinyface reads up to {VERSION}; "
                    "update tinyface"
                )
            config, notes = (json.loads(file.attrs[name]) for name in ("config", "notes"))
            training = json.loads(file["training"].attrs["state"]) if "training" in file else None
            if not all(isinstance(found, dict) for found in (config, notes, training or {})):
                raise ValueError("config, notes or training state is no dictionary")
            yield file, Header(file.attrs["network"], config, notes, training)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError) as error:
        reason = str(error).strip("'\"").split("\n")[0]
        raise TinyfaceError(
            f"{path}: damaged or no HDF5 file ({reason}); use another checkpoint or train again"
        ) from None


def load_network(path):
    """The network that a checkpoint holds, whichever it is, in evaluation mode.

    Raises TinyfaceError where the file is missing, damaged or of something else, or a weight is NaN.
    """
    return load(path).network.eval()


def _build(path, name, config):
    found = (getattr(importlib.import_module(module), name, None) for module in NETWORK_MODULES)
    kind = next((kind for kind in found if isinstance(kind, type) and issubclass(kind, Module)), None)
    if kind is None:
        raise TinyfaceError(f"{path}: holds a network of unknown kind {name}; update tinyface")
    size = config.get("size")
    if size is not None and not (len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)):
        raise ValueError(f"a network for images of size {size}")
    return kind(**config)


def _write(group, name, value):
    """A dataset; arrays carry a checksum, so that a flipped bit is an error on reading and not another weight."""
    value = np.asarray(value)
    group.create_dataset(name, data=value, fletcher32=value.size > 1)


def _read_arrays(group):
    arrays = {}

    def visit(name, item):
        if hasattr(item, "dtype"):
            arrays[name] = item[()]

    group.visititems(visit)
    return arrays


def _check_finite(path, state):
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise NotFiniteError(
                f"{path}: weight {name} is not a finite number (NaN or infinity); use an earlier checkpoint"
            )
