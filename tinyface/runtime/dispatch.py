"""Which implementation of an operation runs: the reference in `tinyface.ops`, or a kernel registered for its device.

A kernel is a subclass of the reference with a `forward` and a `backward` of its own:

    @register(MaxPool2d, "cpu")
    class MaxPool2dCpu(MaxPool2d):
        ...

An operation without a kernel for a device runs on its reference there.
"""

import contextlib

from . import devices, layout
from .memory import contiguous

IMPLEMENTATIONS = "optimized", "reference"
_implementation = "optimized"
_kernels = {}  # (reference, device) → kernel


def register(reference, device, maps=(0,)):
    """Class decorator: a kernel of that operation for "cpu" or "cuda".

    maps: which inputs are feature maps (N, C, …). On the CPU the kernel gets these, and every gradient handed to its
    backward, with their memory in the order (…, N, C) (layout.py); on a GPU it gets all arrays C-contiguous.
    """

    def add(kernel):
        kernel.reference, kernel.device, kernel.maps = reference, device, maps
        _kernels[reference, device] = kernel
        return kernel

    return add


def kernels():
    """All that are registered: {(reference, device): kernel}."""
    return dict(_kernels)


def find(reference, device):
    """The kernel registered for that device; None where there is none, or references are in use."""
    return _kernels.get((reference, device)) if _implementation == "optimized" else None


def choose(function, arrays):
    """The class that computes `function` on these arrays: a kernel, or its own, the reference.

    Kernels never get an empty array: there is nothing to gain.
    """
    reference = function.reference or type(function)  # it may have been called before
    kernel = find(reference, devices.device_of(arrays[0]))
    if kernel is None or not all(a.size for a in arrays) or not kernel.supports(function, *arrays):
        return reference
    return kernel


def to_layout(function, arrays, maps=None):
    """The arrays as that kernel reads them; a reference reads every layout. maps: see `register`."""
    if function.device is None:
        return arrays
    if function.device == "cuda":
        return [contiguous(a) for a in arrays]
    maps = function.maps if maps is None else maps
    return [layout.channels_last(a) if i in maps else a for i, a in enumerate(arrays)]


def get_implementation():
    """ "optimized" or "reference"."""
    return _implementation


def set_implementation(name):
    """Run every operation on its kernel where it has one ("optimized", as at the start), or on its reference.

    Raises ValueError for another name.
    """
    global _implementation
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"kernels: {name!r} is neither {' nor '.join(map(repr, IMPLEMENTATIONS))}")
    _implementation = name


@contextlib.contextmanager
def use(name):
    """`set_implementation` for a while: `with kernels.use("reference"): ...`. Backward follows its forward."""
    before = _implementation
    set_implementation(name)
    try:
        yield
    finally:
        set_implementation(before)
