"""The tests of the kernels can fail: each fault planted in a copy of the package turns the op's tests red.

To add one, append a Fault: what is wrong, the file, its text and the wrong text, and the tests that must notice. The
old text stands in the file exactly once. `hidden` marks a fault that a GPU may forgive, such as a race or a read
behind an array: there it need not be seen, a run that checks every access must see it.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHECKED = importlib.util.find_spec("gpu_on_cpu") is not None  # an emulator that checks all accesses
pytestmark = [pytest.mark.gpu, pytest.mark.slow]


class Fault(NamedTuple):
    what: str
    file: str
    old: str
    new: str
    test: str  # a file of tests
    only: str  # pytest's -k: as few of them as will do
    hidden: bool = False


TABLE = "tests/ops/test_table.py"
WINOGRAD = "tinyface/kernels/cuda/winograd.cu"
WINOGRAD_TESTS = "tests/kernels/cuda/test_winograd.py", "slices_and_parts"
TF32 = "tinyface/kernels/cuda/tf32.cu"
TF32_TESTS = "tests/kernels/cuda/test_tf32.py", "several_tiles"
TF32_SLAB = "        if (slab + 1 < slabs) fetch(slab + 1);\n        auto& w_tile"
NORM_TESTS = "tests/ops/test_batch_norm.py", "not pytorch"
CONV_TESTS = "tests/kernels/cuda/test_conv2d.py", "blocks_of_every_size"
FAULTS = [
    Fault(
        "winograd: a row too many",
        WINOGRAD,
        "0 <= row && row < height",
        "0 <= row && row <= height",
        *WINOGRAD_TESTS,
    ),
    Fault(
        "winograd: a wrong stride between parts",
        WINOGRAD,
        "place.part * 36 * plane",
        "place.part * 35 * plane",
        *WINOGRAD_TESTS,
    ),
    Fault(
        "tf32: no barrier before a slab is read",
        TF32,
        f"__syncthreads();\n{TF32_SLAB}",
        TF32_SLAB,
        *TF32_TESTS,
        hidden=True,
    ),
    Fault(
        "tf32: the last partial sum is left out",
        TF32,
        "part < count; part++",
        "part < count - 1; part++",
        *TF32_TESTS,
    ),
    Fault(
        "batch norm: no barrier before the warps' sums are added",
        "tinyface/kernels/cuda/batch_norm.cu",
        "of_warp[threadIdx.x / 32] = value;\n    __syncthreads();",
        "of_warp[threadIdx.x / 32] = value;",
        *NORM_TESTS,
        hidden=True,
    ),
    Fault(
        "batch norm: a wrong stride from image to image",
        "tinyface/kernels/cuda/batch_norm.cu",
        "next_image = (C - 1LL) * P;",
        "next_image = (long long)C * P;",
        *NORM_TESTS,
    ),
    Fault(
        "max pooling: a wrong stride from plane to plane",
        "tinyface/kernels/cuda/max_pool2d.cu",
        "plane = row / tiles_h, a",
        "plane = row / out_h, a",
        TABLE,
        "max_pool2d and equal_the_reference",
    ),
    Fault(
        "convolution: a row too many",
        "tinyface/kernels/cuda/conv2d.cu",
        "const bool inside = image < n && iy >= 0 && iy < h",
        "const bool inside = image < n && iy >= 0 && iy <= h",
        *CONV_TESTS,
    ),
    Fault(
        "convolution: no barrier before the next channels are loaded",
        "tinyface/kernels/cuda/conv2d.cu",
        "        if (c0) __syncthreads();\n",
        "",
        *CONV_TESTS,
        hidden=True,
    ),
    Fault(
        "sigmoid cross-entropy: no barrier before the block's sum",
        "tinyface/kernels/cuda/sigmoid_cross_entropy.cu",
        "    __syncthreads();\n    for",
        "    for",
        TABLE,
        "sigmoid_cross_entropy and equal_the_reference",
        hidden=True,
    ),
]


@pytest.fixture
def run_copy(tmp_path):
    """run_copy(test, only, fault): pytest on a copy of the package, with that fault; → the finished process."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.npz")

    def run(test, only, fault=None):
        for folder in ("tinyface", "tests", "benchmarks"):
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=unwanted)
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        if fault:
            path = tmp_path / fault.file
            text = path.read_text(encoding="utf-8")
            assert text.count(fault.old) == 1, f"{fault.file} should have this once:\n{fault.old}"
            path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", test, "-k", only, "--device", "cuda", "-x"]
        environment = {**os.environ, "PYTHONPATH": _first(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def _first(folder):
    """$PYTHONPATH with the folder before what is there: an emulator may have come that way."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


@pytest.mark.parametrize("test, only", sorted({(fault.test, fault.only) for fault in FAULTS}))
def test_without_a_fault_they_pass(run_copy, test, only):
    done = run_copy(test, only)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.what for fault in FAULTS])
def test_a_fault_is_noticed(run_copy, fault):
    done = run_copy(fault.test, fault.only, fault)
    if done.returncode == 0 and fault.hidden and not CHECKED:
        pytest.skip("this GPU forgives it")
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout + done.stderr
