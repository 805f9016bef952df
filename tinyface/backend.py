"""Devices, threads, memory and random numbers, by one name; the parts are in `tinyface.runtime`."""

from .runtime.cuda import set_tf32, tf32
from .runtime.devices import check_device, cupy, device_of, get_array_module, on_gpu, to_device
from .runtime.layout import as_hwio, as_hwnc, as_nchw, as_oihw
from .runtime.memory import contiguous, empty, empty_like
from .runtime.random import get_random_state, rng, seed, set_random_state
from .runtime.threads import (
    get_threads,
    memory_in_use,
    parallel_for,
    set_threads,
    start_workers,
    stop_workers,
)

__all__ = [
    "as_hwio",
    "as_hwnc",
    "as_nchw",
    "as_oihw",
    "check_device",
    "contiguous",
    "cupy",
    "device_of",
    "empty",
    "empty_like",
    "get_array_module",
    "get_random_state",
    "get_threads",
    "memory_in_use",
    "on_gpu",
    "parallel_for",
    "rng",
    "seed",
    "set_random_state",
    "set_tf32",
    "set_threads",
    "start_workers",
    "stop_workers",
    "tf32",
    "to_device",
]
