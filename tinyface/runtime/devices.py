"""Devices: which module computes on an array, and moves between CPU and GPU.

CuPy is imported when the GPU is first asked for, by gpu_probe.py.
"""

from functools import lru_cache

import numpy as np

from ..errors import TinyfaceError


def get_array_module(*arrays):
    """The module that computes on these arrays, named `xp` by custom: numpy, or cupy if any is on a GPU."""
    if all(isinstance(a, np.ndarray | np.generic | float | int) for a in arrays):
        return np
    return cupy()


@lru_cache(maxsize=1)
def cupy():
    """CuPy, imported on first use and checked (gpu_probe.py).

    Raises TinyfaceError where something is missing.
    """
    from .gpu_probe import load_cupy  # here, so that importing tinyface stays quick

    return load_cupy()


def device_of(array):
    """ "cpu" or "cuda"."""
    return "cpu" if isinstance(array, np.ndarray) else "cuda"


def to_device(array, device):
    """The array on "cpu" or "cuda"; the array itself if it is there already."""
    if device == "cpu":
        return np.asarray(array) if isinstance(array, np.ndarray | np.generic) else cupy().asnumpy(array)
    if device == "cuda":
        return cupy().asarray(array, order="C")
    check_device(device)


def gpu_of(array):
    """The number of the GPU that an array is on, None on the CPU: to be part of the key where arrays are cached."""
    return None if isinstance(array, np.ndarray) else array.data.device_id


def to_gpu(array, gpu):
    """A NumPy array on the GPU of that number; the array itself for None."""
    if gpu is None:
        return array
    with cupy().cuda.Device(gpu):
        return to_device(array, "cuda")


def check_device(device):
    """Raises TinyfaceError where `device` is unknown or not to be had here."""
    if device == "cuda":
        cupy()
    elif device != "cpu":
        raise TinyfaceError(f"--device {device}: unknown device; use cpu or cuda")


def on_gpu(x):
    """Whether an array is on a GPU."""
    return not isinstance(x, np.ndarray)
