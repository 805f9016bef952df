"""The GPU benchmarks run end to end, with tiny networks. No test looks at how long anything took."""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinyface import backend
from tinyface.errors import TinyfaceError

ROOT = Path(__file__).resolve().parent.parent


def run(program, *arguments, **options):
    command = [sys.executable, ROOT / "benchmarks" / program, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, **options)


@pytest.mark.gpu
@pytest.mark.slow
def test_networks(tmp_path):
    files = {"--json": tmp_path / "deep" / "gpu.json", "--markdown": tmp_path / "deep" / "gpu.md"}
    only = "--only", "small/avg"
    done = run("gpu.py", "--quick", *only, *(word for pair in files.items() for word in pair))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    result, report = json.loads(files["--json"].read_text()), files["--markdown"].read_text()
    names = [row["name"] for row in result["networks"]]
    assert names == ["train/small/avg", "infer/small/avg"]
    for row in result["networks"]:
        for precision in {"float32", "TF32"} & row.keys():
            assert row[precision]["ours"] > 0
            assert ("ratio" in row[precision]) == (result["alone"] is None)
    assert all("float32" in row for row in result["networks"])
    assert "## Training step" in report and "## Inference" in report and "| small/avg |" in report
    for private in (str(tmp_path), str(ROOT), platform.node()):
        assert private not in report


@pytest.mark.slow
def test_without_a_gpu_one_clear_line():
    try:
        backend.cupy()
    except TinyfaceError:
        done = run("gpu.py", "--quick")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.startswith("gpu.py: --device cuda: ") and len(done.stderr.splitlines()) == 1
    else:
        pytest.skip("there is one")


@pytest.mark.parametrize(
    "arguments, message", [(["--only", "nothing"], "--only nothing"), (["--rounds", "0"], "--rounds 0")]
)
def test_errors_are_one_clear_line(arguments, message):
    done = run("gpu.py", *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_table_of_kernels_is_put_into_a_page(tmp_path):
    pytest.importorskip("cupy_backends.cuda.libs.nvrtc")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- kernels -->\nold\n<!-- /kernels -->\nafter\n")
    source = tmp_path / "two.cu"
    source.write_text(
        "// nvrtc: -Dreal=float\n// nvrtc: -Dreal=double -arch>=80\n"
        'extern "C" __global__ void copy(const real* x, real* y) {\n'
        "    __shared__ real there[8];\n    there[threadIdx.x] = x[threadIdx.x];\n    __syncthreads();\n"
        "    y[threadIdx.x] = there[7 - threadIdx.x];\n}\n"
    )
    done = run("gpu_kernels.py", source, "--write", page)
    assert done.returncode == 0, done.stderr
    before, *lines, end, after = page.read_text().splitlines()
    assert (before, end, after) == ("before", "<!-- /kernels -->", "after")
    assert lines[0] == "<!-- kernels -->" and len(lines) == 4
    assert lines[3].startswith("| two | `copy` |") and "| – / " in lines[3]
    assert lines[3].endswith("| 32 / 64 | 0 |")

    source.write_text("this is no C++\n")
    done = run("gpu_kernels.py", source)
    assert (
        done.returncode == 1 and "two.cu does not compile" in done.stderr and "Traceback" not in done.stderr
    )
    page.write_text("no markers\n")
    source.write_text('extern "C" __global__ void nothing() {}\n')
    done = run("gpu_kernels.py", source, "--write", page)
    assert done.returncode == 1 and "has no <!-- kernels -->" in done.stderr


@pytest.mark.gpu
@pytest.mark.reference
@pytest.mark.slow
def test_against_pytorch(monkeypatch):
    """All of the comparison on any GPU, with a PyTorch that has none: it computes on the CPU, on our clock."""
    torch = pytest.importorskip("torch")
    import gpu
    import pairs

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.time = time.perf_counter()

        def synchronize(self):
            pass

        def elapsed_time(self, other):
            return 1000 * (other.time - self.time)

    theirs = pairs.Theirs
    monkeypatch.setattr(pairs, "Theirs", lambda *arguments: theirs(*arguments[:-1], "cpu"))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace())
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    result = gpu.measure(gpu.parse(["--quick", "--only", "infer/small/avg"]))
    (row,) = result["networks"]
    assert result["alone"] is None and row["float32"]["format"] in pairs.FORMATS
    assert row["float32"]["ratio"] == row["float32"]["ours"] / row["float32"]["torch"]
    assert not torch.backends.cudnn.allow_tf32
    report = gpu.markdown(result)
    assert "ratio |" in report and "No comparison" not in report
