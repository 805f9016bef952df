"""CUDA kernels: compiled on first use, their arguments checked, launched."""

import sys
import threading
from pathlib import Path

import numpy as np

from ..errors import TinyfaceError
from . import signatures
from .devices import cupy

_kernels = {}
COMPILING = "tinyface: compiling CUDA kernels for this GPU, once; later runs take them from CuPy's cache"
FROM_CACHE = 0.2  # seconds in which a compiled file is loaded from there
_said = False


def load_kernels(source, dtype=np.float32):
    """The compiled kernels of a .cu file, with `real` defined as the type of `dtype` (signatures.Module).

    One text serves float32 and float64. Compiled on first use and kept; `#line` makes the compiler's
    messages name the file and its true lines. Kernels are `extern "C"`, their arguments checked (signatures.py).
    Raises TypeError for another dtype.
    """
    key = str(source), np.dtype(dtype)
    if key not in _kernels:
        _kernels[key] = _compile(Path(source), key[1])
    return _kernels[key]


def _compile(source, dtype):
    if dtype not in signatures.FLOATS:
        raise TypeError(f"{source.name}: its kernels compute in float32 and float64, not in {dtype}")
    text = source.read_text(encoding="utf-8")
    options = (f"-Dreal={signatures.FLOATS[dtype]}", "--std=c++17")
    module = cupy().RawModule(code=f'#line 1 "{source.name}"\n{text}', options=options)
    notice = threading.Timer(FROM_CACHE, _say_that_it_compiles)
    notice.start()
    try:
        return signatures.Module(module, text, dtype, cupy())
    finally:
        notice.cancel()


def _say_that_it_compiles():
    global _said
    if not _said:
        _said = True
        print(COMPILING, file=sys.stderr, flush=True)


def launch(kernel, threads, *arguments, block=256):
    """Run a kernel on so many threads in a row, rounded up to whole blocks. Its arguments: arrays, NumPy scalars, None.

    Does not wait for it. Raises TypeError or ValueError where they are not what the kernel declares (signatures.py).
    """
    kernel((-(-threads // block),), (block,), arguments)


def launch_rows(kernel, rows, width, *arguments, block=256):
    """Like `launch`, with a thread for each cell of `rows` rows of `width`.

    A block is as wide as a row, rounded up to a power of two: row blockIdx.x·blockDim.y + threadIdx.y, column
    blockIdx.y·blockDim.x + threadIdx.x. So the columns cost no division, and short rows waste few threads.
    """
    columns = min(1 << (width - 1).bit_length(), block)
    lines = block // columns
    kernel((-(-rows // lines), -(-width // columns)), (columns, lines), arguments)


def check_pointers(kernel, dtype, **arrays):
    """Raises as `launch` does, for arrays of that dtype of which a kernel gets the addresses some other way."""
    module = cupy()
    for name, array in arrays.items():
        signatures.check_array(kernel, name, array, dtype, module.ndarray, module.cuda.device.get_device_id())


_tf32 = False


def set_tf32(on):
    """Whether convolutions on a GPU may round their factors to TF32, for its tensor cores. Off at the start.

    Raises TinyfaceError where the GPU has no such units. kernels/cuda/tf32.py says what is rounded.
    """
    global _tf32
    if on:
        capability = cupy().cuda.Device().compute_capability  # "75" is 7.5
        if int(capability) < 80:
            raise TinyfaceError(
                "--tf32: needs a GPU of compute capability 8.0 or later; "
                f"this one has {capability[:-1]}.{capability[-1]}"
            )
    _tf32 = bool(on)


def tf32():
    """Whether convolutions on a GPU use TF32."""
    return _tf32
