"""Timing two programs against each other in one process, and what there is to say about the machine.

A machine's speed changes from minute to minute; whatever is compared takes turns, so that both see the same
minutes. The minimum of the rounds counts: noise only ever adds time.
"""

import os
import platform
import subprocess
import time
from datetime import date
from pathlib import Path

import numpy as np
import threadpoolctl

try:
    import torch
except ImportError:  # gpu.py measures tinyface alone then
    torch = None

from tinyface import backend

LEAST_SECONDS = 0.02  # a round repeats what is shorter than this
MOST_SECONDS = 0.2  # with what prepares it
MOST_REPEATS = 200
PAUSE_SECONDS = 0.002  # between two sides: OpenMP's threads go on spinning for a moment


def use_threads(count):
    """Both sides compute on `count` threads from now on."""
    backend.set_threads(count)
    backend.start_workers(wait=True)  # as the training commands do
    torch.set_num_threads(count)


def alternate(sides, rounds):
    """Time several things by turns, A B C A B C …, after warming each up: {name: [seconds of each round]}.

    sides: {name: (prepare, run)}. prepare() is not timed; what it returns is handed to run(…), which is.
    A round is the mean of as many repeats as fill LEAST_SECONDS.
    """
    repeats = {name: _warm_up(*side) for name, side in sides.items()}
    seconds = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            time.sleep(PAUSE_SECONDS)
            seconds[name].append(sum(_once(*side) for _ in range(repeats[name])) / repeats[name])
    return seconds


def _warm_up(prepare, run):
    """Run twice, the first time only to load code and fill the allocator; → repeats of a round."""
    _once(prepare, run)
    started = time.perf_counter()
    seconds = _once(prepare, run)
    whole = time.perf_counter() - started  # where preparing is the longer part, fewer repeats must do
    return int(max(min(LEAST_SECONDS / seconds, MOST_SECONDS / whole, MOST_REPEATS), 1))


def _once(prepare, run):
    state = prepare()
    started = time.perf_counter()
    run(state)
    return time.perf_counter() - started


def nothing():
    """The `prepare` of what needs none."""


def fastest(seconds):
    """(name, seconds) of the side with the best round."""
    return min(((name, min(rounds)) for name, rounds in seconds.items()), key=lambda side: side[1])


# ---------------------------------------------------------------- the machine


def machine():
    """What a reader needs to judge the times by: {what: value}; no name of the host, no path."""
    blas = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    return {
        "CPU": _cpu_model(),
        "cores that may be used": usable_cores(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.system(),
        "load before": round(os.getloadavg()[0], 2),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "its BLAS": ", ".join(
            f"{b['internal_api']} {b['version']} {b.get('architecture', '')}" for b in blas
        ),
        "PyTorch": f"{torch.__version__}, {_onednn()}" if torch else "not installed",
        "tinyface": _commit(),
        "date": date.today().isoformat(),
    }


def usable_cores():
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu_model():
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit():
    """What is checked out, "-dirty" behind it where it was changed since."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _onednn():
    named = [line for line in torch.__config__.show().splitlines() if "MKL-DNN" in line]
    return named[0].replace("Intel(R) MKL-DNN", "oneDNN").split("(")[0].strip(" -") if named else "no oneDNN"


def reach(workers, size=2048):
    """The best that this machine does with the engine's own threads: (GFLOP/s of products, GB/s of copies).

    One product of size×size float32 matrices per worker, each with BLAS on one thread, as the engine calls it;
    and copies of arrays that no cache holds, every byte counted as read and as written.
    """
    backend.set_threads(workers)
    a, b = np.random.default_rng(0).standard_normal((2, workers, size, size), np.float32)
    products = np.empty_like(a)
    source = np.ones((workers, 16 * size * size), np.float32)
    target = np.empty_like(source)

    def multiply(_):
        backend.parallel_for(lambda i: np.matmul(a[i], b[i], out=products[i]), workers)

    def copy(_):
        backend.parallel_for(lambda i: np.copyto(target[i], source[i]), workers)

    best = alternate({"product": (nothing, multiply), "copy": (nothing, copy)}, rounds=5)
    flops, nbytes = 2 * workers * size**3, 2 * source.nbytes
    return flops / min(best["product"]) / 1e9, nbytes / min(best["copy"]) / 1e9
