"""The GPU benchmarks run end to end, with tiny networks. No test looks at how long anything took."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(program, *arguments, **options):
    command = [sys.executable, ROOT / "benchmarks" / program, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, **options)


@pytest.mark.gpu
@pytest.mark.slow
def test_networks(tmp_path):
    files = {"--json": tmp_path / "deep" / "gpu.json", "--markdown": tmp_path / "deep" / "gpu.md"}
    only = "--only", "small/avg", "train/small/segmentation"
    done = run("gpu.py", "--quick", *only, *(word for pair in files.items() for word in pair))
    if "no CUDA kernel" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    result, report = json.loads(files["--json"].read_text()), files["--markdown"].read_text()
    names = [row["name"] for row in result["networks"]]
    assert names == ["train/small/avg", "train/small/segmentation", "infer/small/avg"]
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
    from tinyface import backend
    from tinyface.errors import TinyfaceError

    try:
        backend.cupy()
    except TinyfaceError:
        done = run("gpu.py", "--quick")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.startswith("gpu.py: --device cuda: CuPy ") and len(done.stderr.splitlines()) == 1
    else:
        pytest.skip("there is one")


@pytest.mark.parametrize(
    "arguments, message", [(["--only", "nothing"], "--only nothing"), (["--rounds", "0"], "--rounds 0")]
)
def test_errors_are_one_clear_line(arguments, message):
    done = run("gpu.py", *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
