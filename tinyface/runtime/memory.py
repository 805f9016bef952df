"""Memory on the CPU: large arrays that worker processes can reach, and scratch arrays that are used again."""

import ctypes
import math
import threading

import numpy as np

from .devices import cupy

CACHE_LINE = 64  # bytes
MOST_VIEWS = 64  # of one scratch array

_thread = threading.local()  # its scratch arrays
_arena = None  # workers.Arena; False where there is none


def arena():
    """The memory that worker processes share (workers.Arena); None where the system has none."""
    global _arena
    if _arena is None:
        from .workers import Arena

        _arena = Arena.create() or False
    return _arena or None


def make_private():
    """From now on `empty` takes memory of this process alone."""
    global _arena
    _arena = False


def after_fork():
    """In the child of a fork: the arrays made so far no longer shared with the parent, and no scratch memory."""
    if _arena:
        _arena.make_private()
    make_private()
    _thread.__dict__.clear()


def empty(shape, dtype=np.float64):
    """An uninitialised array in memory that worker processes share, and that is used again once it is free.

    A fresh array of 40 MB from the system costs more in page faults than the arithmetic on it.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    shared = arena()
    if shared is not None:
        return shared.empty(shape, dtype)
    return aligned(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)


def empty_like(x):
    """`empty` of x's shape, C-contiguous whatever x's layout."""
    return empty(x.shape, x.dtype)


def empty_in_order_of(x):
    """`empty` of x's shape in the memory order of x, as far as it can: the axes in the same order."""
    axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    y = empty([x.shape[axis] for axis in axes], x.dtype)
    return y.transpose(np.argsort(axes)) if axes else y


def zeros_in_order_of(x):
    """Zeros of x's shape and type, on its device, in memory as x is."""
    if not isinstance(x, np.ndarray):
        return cupy().zeros_like(x)
    zeros = empty_in_order_of(x)
    zeros[...] = 0
    return zeros


def contiguous(x):
    """x itself where it is C-contiguous, else a copy, on the CPU from `empty`."""
    if x.flags.c_contiguous:
        return x
    return contiguous_copy(x) if isinstance(x, np.ndarray) else cupy().ascontiguousarray(x)


def contiguous_copy(x):
    """A C-contiguous copy of x in memory from `empty`."""
    y = empty_like(x)
    np.copyto(y, x)
    return y


def keep_freed():
    """Let the allocator keep freed memory instead of handing it back to the system after every large array.

    A fresh 40 MB array costs more in page faults than the arithmetic on it. Only glibc knows these switches.
    """
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        pass


def scratch(name, shape, dtype):
    """An uninitialised array that this thread uses over and over under this name: no page faults, warm cache."""
    kept = _thread.__dict__.setdefault("scratch", {})
    buffer, views = kept.get(name, (None, {}))
    view = views.get((shape, dtype))
    if view is None:  # to make it takes as long as a pass over a thousand numbers
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if buffer is None or buffer.nbytes < size:
            buffer, views = kept[name] = aligned(size), {}
        elif len(views) == MOST_VIEWS:
            views.clear()
        view = views[shape, dtype] = buffer[:size].view(dtype).reshape(shape)
    return view


def aligned(size):
    """`size` bytes that begin at a cache line. Vector instructions that write across lines take twice as long."""
    buffer = np.empty(size + CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE
    return buffer[start : start + size]
