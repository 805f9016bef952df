"""Threads and worker processes: a loop over independent blocks, run on several cores."""

import os
import threading

from ..errors import TinyfaceError
from . import memory

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


def init_once():
    """Before the first operation: BLAS on one thread, and memory that is kept. It does nothing later.

    BLAS keeps to the thread that calls it: kernels cut the work themselves, into blocks that stay in that core's
    cache, and fixed blocks give the same bits whatever the number of threads.
    """
    global _ready
    if not _ready:
        from threadpoolctl import threadpool_limits  # here, so that importing tinyface stays quick

        threadpool_limits(1, user_api="blas")
        memory.keep_freed()
        _ready = True


def set_threads(count):
    """Use `count` threads from now on. Results don't depend on it. Default: $TINYFACE_THREADS, else every CPU."""
    global _pool, _threads
    if count < 1:
        raise TinyfaceError(f"threads: must be at least 1, got {count}")
    with _pool_lock:
        _pool, _threads = None, int(count)


def get_threads():
    """The number of threads that `parallel_for` distributes work over."""
    return _threads


def _get_pool():
    global _pool
    with _pool_lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor  # here, so that importing tinyface stays quick

            init_once()
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
        if missing > 0 and memory.arena() is not None:
            from .workers import Pool

            if _processes is not None:
                _processes.close()
            _processes = Pool(memory.arena(), _threads - 1)
        if wait and _processes is not None:
            _processes.wait()


def memory_in_use():
    """Bytes that this process and its workers hold, shared memory counted once. Linux only."""
    from .workers import memory_of

    workers = [member.process.pid for member in _processes.members] if _processes else []
    return memory_of([os.getpid(), *workers], memory.arena())


def stop_workers():
    """End them; threads take over again."""
    global _processes
    with _pool_lock:
        if _processes is not None:
            _processes.close()
        _processes = None


def _after_fork():
    """In the child of a fork: memory of its own, and no threads or workers, which stayed with the parent."""
    global _pool, _pool_lock, _processes
    if _processes is not None:
        _processes.forget()
    memory.after_fork()
    _pool, _pool_lock, _processes = None, threading.Lock(), None
    _worker.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def be_a_worker():
    """Called in a worker process: it computes by itself, in memory of its own."""
    memory.make_private()
    set_threads(1)
    _get_pool()


def parallel_for(body, count):
    """Run body(0), …, body(count - 1), distributed over the threads; returns when all are done.

    NumPy lets go of the interpreter lock inside its loops, so plain threads keep cores busy; after
    `start_workers` processes do, where every large array that `body` uses came from `empty`. Bodies must
    write to different places, in arrays from `empty`; whoever wants reproducible sums adds the blocks' results
    in order afterwards.
    """
    pool = _get_pool()
    workers = 1 if getattr(_worker, "busy", False) else min(_threads, count)
    if workers > 1 and _processes is not None and _processes.run(body, count, workers):
        return
    indices = iter(range(count))  # next() is atomic, so the threads share one iterator

    def work():
        _worker.busy = True
        try:
            for index in indices:
                body(index)
        finally:
            _worker.busy = False

    if workers == 1:
        for index in indices:
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


def equal_slices(length, parts):
    """Slices that cut `length` into `parts` as equal as can be, or into `length` where that is fewer."""
    parts = min(parts, length)
    return [slice(i * length // parts, (i + 1) * length // parts) for i in range(parts)]
