"""Where arrays live and who computes on them: the array module, moves, kernels, worker threads, random numbers.

CuPy is imported (by gpu_probe.py) only when somebody asks for the GPU.
"""

import ctypes
import math
import os
import sys
import threading
from functools import lru_cache
from pathlib import Path

import numpy as np

from . import kernels
from .errors import TinyfaceError

CACHE_LINE = 64  # bytes
MOST_VIEWS = 64  # of one scratch array

# ---------------------------------------------------------------- devices


def get_array_module(*arrays):
    """The module that computes on these arrays, named `xp` by custom: numpy, or cupy if any lies on a GPU."""
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
    """The number of the GPU that an array lies on, None on the CPU: to be part of the key where arrays are cached."""
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


def need_cpu(op, array):
    """Raises where an op that has no CUDA kernel yet meets an array on a GPU."""
    if not isinstance(array, np.ndarray):
        raise TinyfaceError(f"{op}: has no CUDA kernel in this version; use --device cpu")


def need_float(op, x):
    """Raises TypeError where x is neither float32 nor float64: an op with kernels computes in these two."""
    if x.dtype not in kernels.FLOATS:
        raise TypeError(f"{op}: x is {x.dtype}; make it float32 or float64")


_kernels = {}
COMPILING = "tinyface: compiling CUDA kernels for this GPU, once; later runs take them from CuPy's cache"
FROM_CACHE = 0.2  # seconds in which a compiled file is loaded from there
_said = False


def load_kernels(source, dtype=np.float32):
    """The compiled kernels of a .cu file, with `real` defined as the type of `dtype` (kernels.Module).

    One text serves float32 and float64. Compiled on first use and kept; `#line` makes the compiler's
    messages name the file and its true lines. Kernels are `extern "C"`, their arguments checked (kernels.py).
    Raises TypeError for another dtype.
    """
    key = str(source), np.dtype(dtype)
    if key not in _kernels:
        _kernels[key] = _compile(Path(source), key[1])
    return _kernels[key]


def _compile(source, dtype):
    if dtype not in kernels.FLOATS:
        raise TypeError(f"{source.name}: its kernels compute in float32 and float64, not in {dtype}")
    text = source.read_text(encoding="utf-8")
    options = (f"-Dreal={kernels.FLOATS[dtype]}", "--std=c++17")
    module = cupy().RawModule(code=f'#line 1 "{source.name}"\n{text}', options=options)
    notice = threading.Timer(FROM_CACHE, _say_that_it_compiles)
    notice.start()
    try:
        return kernels.Module(module, text, dtype, cupy())
    finally:
        notice.cancel()


def _say_that_it_compiles():
    global _said
    if not _said:
        _said = True
        print(COMPILING, file=sys.stderr, flush=True)


def on_gpu(x):
    """Whether an array lies on a GPU."""
    return not isinstance(x, np.ndarray)


def launch(kernel, threads, *arguments, block=256):
    """Run a kernel on so many threads in a row, rounded up to whole blocks. Its arguments: arrays, NumPy scalars, None.

    Does not wait for it. Raises TypeError or ValueError where they are not what the kernel declares (kernels.py).
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
        kernels.check_array(kernel, name, array, dtype, module.ndarray, module.cuda.device.get_device_id())


_tf32 = False


def set_tf32(on):
    """Whether convolutions on a GPU may round their factors to TF32, for its tensor cores. Off at the start.

    Raises TinyfaceError where the GPU has no such units. ops/conv_tf32.py says what is rounded.
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


# ---------------------------------------------------------------- memory layout of feature maps

# On the CPU feature maps of shape (N, C, H, W) lie in memory as (H, W, N, C): rows of the image first, the
# channels of one pixel next to each other. What a convolution, a pooling or an up-sampling takes from a row or a
# column of pixels is then one long contiguous stretch for the whole batch, which is what NumPy and BLAS are fast
# on; the matrices of a convolution (pixels × channels) need no copy. To everybody outside the ops it is an
# (N, C, H, W) array like any other. Ops accept every layout and return this one.


def as_hwnc(x):
    """x (N, C, H, W) as a C-contiguous array (H, W, N, C): a view where it lies so already, else a copy.

    Any number of axes behind the channels will do, none as well.
    """
    return contiguous(x.transpose(*range(2, x.ndim), 0, 1))


def as_nchw(y):
    """y (H, W, N, C) seen as (N, C, H, W): a view."""
    return y.transpose(-2, -1, *range(y.ndim - 2))


def as_hwio(w):
    """Kernels w (O, C, kh, kw) as a C-contiguous array (kh, kw, C, O): a view where they lie so already, else a copy.

    On the CPU they should: each (C, O) is a matrix that pixels · channels are multiplied with.
    """
    return contiguous(w.transpose(2, 3, 1, 0))


def as_oihw(w):
    """w (kh, kw, C, O) seen as (O, C, kh, kw): a view."""
    return w.transpose(3, 2, 0, 1)


# ---------------------------------------------------------------- worker threads

_worker = threading.local()
_pool = None
_pool_lock = threading.Lock()
_processes = None  # a workers.Pool after start_workers


def _threads_at_start():
    """$TINYFACE_THREADS, else the CPUs that this process may use."""
    text = os.environ.get("TINYFACE_THREADS", "").strip()
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise SystemExit(f"TINYFACE_THREADS={text}: must be a number of at least 1, or be left out")
    return int(text)


_threads = _threads_at_start()
_ready = False


def get_ready():
    """Before the first operation: BLAS on one thread, and memory that is kept. It does nothing later.

    BLAS keeps to the thread that calls it: we cut the work ourselves, into pieces that stay in that core's cache,
    and a fixed cut gives the same bits whatever the number of threads.
    """
    global _ready
    if not _ready:
        from threadpoolctl import threadpool_limits  # here, so that importing tinyface stays quick

        threadpool_limits(1, user_api="blas")
        _keep_memory()
        _ready = True


def set_threads(count):
    """Use `count` threads from now on. Results don't depend on it. Default: $TINYFACE_THREADS, else every CPU."""
    global _pool, _threads
    if count < 1:
        raise TinyfaceError(f"threads: must be at least 1, got {count}")
    with _pool_lock:
        _pool, _threads = None, int(count)


def get_threads():
    """The number of threads that `parallel_for` spreads work over."""
    return _threads


def _get_pool():
    global _pool
    with _pool_lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor  # here, so that importing tinyface stays quick

            get_ready()
            _pool = ThreadPoolExecutor(max(_threads - 1, 1), thread_name_prefix="tinyface")
        return _pool


def start_workers(wait=False):
    """Let processes do what threads did: faster, as they don't wait for each other's interpreter lock.

    One process for each thread but the first. For long work, as the training commands do; results are the same.
    They need a moment to start, meanwhile threads go on, unless told to `wait`; they end with this process. Does
    nothing where the system can't (other than Linux), or where there are enough of them already.
    """
    global _processes
    with _pool_lock:
        missing = _threads - 1 - (len(_processes) if _processes else 0)
        if missing > 0 and _shared_memory() is not None:
            from .workers import Pool

            if _processes is not None:
                _processes.close()
            _processes = Pool(_shared_memory(), _threads - 1)
        if wait and _processes is not None:
            _processes.wait()


def memory_in_use():
    """Bytes that this process and its workers hold, shared memory counted once. Linux only."""
    from .workers import memory_of

    workers = [member.process.pid for member in _processes.members] if _processes else []
    return memory_of([os.getpid(), *workers], _arena or None)


def stop_workers():
    """End them; threads take over again."""
    global _processes
    with _pool_lock:
        if _processes is not None:
            _processes.close()
        _processes = None


def _after_fork():
    """In the child of a fork: memory of its own, and no threads or workers, which stayed with the parent."""
    global _arena, _pool, _pool_lock, _processes
    if _processes is not None:
        _processes.forget()
    if _arena:
        _arena.make_private()
        _arena = False
    _pool, _pool_lock, _processes = None, threading.Lock(), None
    _worker.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def be_a_worker():
    """Called in a worker process: it computes by itself, in memory of its own."""
    global _arena
    _arena = False
    set_threads(1)
    _get_pool()


def parallel_for(body, count):
    """Run body(0), …, body(count - 1), spread over the threads; returns when all are done.

    NumPy lets go of the interpreter lock inside its loops, so plain threads keep cores busy; after
    `start_workers` processes do, where every large array that `body` uses came from `empty`. Bodies must
    write to different places, in arrays from `empty`; whoever wants reproducible sums adds the pieces' results
    in order afterwards.
    """
    pool = _get_pool()
    workers = 1 if getattr(_worker, "busy", False) else min(_threads, count)
    if workers > 1 and _processes is not None and _processes.run(body, count, workers):
        return
    pieces = iter(range(count))  # next() is atomic, so the threads share one iterator

    def work():
        _worker.busy = True
        try:
            for index in pieces:
                body(index)
        finally:
            _worker.busy = False

    if workers == 1:
        for index in pieces:
            body(index)
        return
    try:
        others = [pool.submit(work) for _ in range(workers - 1)]
    except RuntimeError:  # the interpreter is shutting down; this thread does it all
        others = []
    try:
        work()
    finally:
        for other in others:
            other.result()


def slices(length, step):
    """[slice(0, step), slice(step, 2·step), …] up to `length`."""
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def shares(length, parts):
    """Slices that cut `length` into `parts` as equal as can be, or into `length` where that is fewer."""
    parts = min(parts, length)
    return [slice(i * length // parts, (i + 1) * length // parts) for i in range(parts)]


def scratch(name, shape, dtype):
    """An uninitialised array that this thread uses over and over under this name: no page faults, warm cache."""
    kept = _worker.__dict__.setdefault("scratch", {})
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


# ---------------------------------------------------------------- memory

_arena = None  # workers.Arena; False where there is none


def _shared_memory():
    global _arena
    if _arena is None:
        from .workers import Arena

        _arena = Arena.create() or False
    return _arena or None


def empty(shape, dtype=np.float64):
    """An uninitialised array in memory that worker processes share, and that is used again once it is free.

    A fresh array of 40 MB from the system costs more in page faults than the arithmetic on it.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    arena = _shared_memory()
    if arena is not None:
        return arena.empty(shape, dtype)
    return aligned(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)


def empty_like(x):
    """`empty` of x's shape, C-contiguous whatever x's layout."""
    return empty(x.shape, x.dtype)


def empty_in_order_of(x):
    """`empty` of x's shape that lies in memory as x does, as far as it can: the axes in the same order."""
    axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    y = empty([x.shape[axis] for axis in axes], x.dtype)
    return y.transpose(np.argsort(axes)) if axes else y


def contiguous(x):
    """x itself where it is C-contiguous, else a copy, on the CPU from `empty`."""
    if x.flags.c_contiguous:
        return x
    return share(x) if isinstance(x, np.ndarray) else cupy().ascontiguousarray(x)


def share(x):
    """A C-contiguous copy of x in memory from `empty`."""
    y = empty_like(x)
    np.copyto(y, x)
    return y


def _keep_memory():
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


# ---------------------------------------------------------------- random numbers

_generator = np.random.default_rng(0)


def seed(value):
    """Start the random numbers of initialisation and dropout anew. They are drawn on the host for every device."""
    global _generator
    _generator = np.random.default_rng(value)


def rng():
    """The generator behind initialisation and dropout (numpy.random.Generator)."""
    return _generator


def get_random_state():
    """The generator's state as a plain dictionary, for checkpoints."""
    return _generator.bit_generator.state


def set_random_state(state):
    """Continue exactly where `get_random_state` was taken."""
    _generator.bit_generator.state = state
