"""The benchmarks run, compare what is the same, and report it. No test looks at how long anything took."""

import json
import math
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tinyface import Tensor, ops
from tinyface.core import Function
from tinyface.errors import TinyfaceError

pytest.importorskip("torch")
import bench_report
import op_cases
import op_profile
import pairs
import stopwatch

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.reference, pytest.mark.slow]


def bench(*arguments):
    """cpu.py in a process of its own."""
    command = [sys.executable, ROOT / "benchmarks" / "cpu.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT)


@pytest.fixture
def quick(tmp_path):
    """quick(*arguments): cpu.py --quick; → the JSON's sections and the report."""

    def run(*arguments):
        files = {"--json": tmp_path / "deep" / "cpu.json", "--markdown": tmp_path / "deep" / "cpu.md"}
        done = bench("--quick", *arguments, *(word for pair in files.items() for word in pair))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        result, report = json.loads(files["--json"].read_text()), files["--markdown"].read_text()
        for private in (str(tmp_path), str(ROOT), platform.node()):
            assert private not in report
        assert result["command"] in report
        return result["sections"], report

    return run


def check_times(rows, threads):
    for row in rows:
        assert [time["threads"] for time in row["times"]] == threads
        for time in row["times"]:
            assert time["ours"] > 0 and time["torch"] > 0 and math.isfinite(time["ratio"])


# ---------------------------------------------------------------- every option


def test_without_options_networks_and_operations(quick):
    sections, report = quick("--only", "small/ssg", "ops/Deconv33", "--threads", "1", "2")
    assert [row["name"] for row in sections["networks"]] == ["train/small/ssg", "infer/small/ssg"]
    assert [row["pass"] for row in sections["ops"]] == ["forward", "input gradient", "weight gradient"]
    for rows in sections.values():
        check_times(rows, [1, 2])
    assert "## Training step" in report and "## Inference" in report and "## Operations" in report
    assert "speed-up 2 : 1" in report


def test_networks(quick):
    sections, _ = quick("--networks", "--threads", "1")
    assert [row["name"] for row in sections["networks"]] == pairs.names()
    check_times(sections["networks"], [1])


def test_ops(quick):
    sections, _ = quick("--ops", "--threads", "1")
    assert {row["name"] for row in sections["ops"]} == {
        f"ops/{name}" for name in op_cases.op_cases(pairs.SCALES["paper"])
    }
    check_times(sections["ops"], [1])


def test_scaling(quick):
    sections, report = quick("--scaling", "--only", "avg", "--threads", "1")
    assert {row["by"] for row in sections["scaling"]} == {"batch", "area"}
    check_times(sections["scaling"], [1])
    assert "## Scaling" in report


def test_bits(quick):
    sections, report = quick("--bits", "--only", "ssp", "segmentation")
    assert [row["same"] for row in sections["bits"]] == [True, True]
    assert [set(row["hashes"]) for row in sections["bits"]] == [{"1", "2", "3"}] * 2
    assert "## Bits" in report


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_memory(quick):
    sections, report = quick("--memory", "--only", "paper/avg")
    (row,) = sections["memory"]
    assert row["ours"] > 0 and row["torch"] > 0
    assert "## Memory" in report


def test_loader(quick):
    sections, report = quick("--loader", "--threads", "1")
    assert [row["name"] for row in sections["loader"]] == ["loader/labels", "loader/attributes"]
    for row in sections["loader"]:
        assert min(row["made"].values()) > 0
        assert min(line["images_per_second"] for line in row["eaten"]) > 0
    assert "## Loader" in report


def test_profile(quick):
    sections, report = quick("--profile", "train/small/ssg", "infer/paper/segmentation", "--threads", "1")
    training, inference = sections["profile"]
    for profile in (training, inference):
        assert sum(row["share"] for row in profile["rows"]) == pytest.approx(1)
    passes = {(row["op"].split()[0], row["pass"]) for row in training["rows"]}
    assert {("conv2d", "forward"), ("conv2d", "backward"), ("optimizer", "step")} <= passes
    assert {row["pass"] for row in inference["rows"]} == {"forward", ""}  # "": the rest
    assert report.count("## Profile of") == 2


def test_the_report_goes_to_stdout_unless_told_otherwise():
    done = bench("--quick", "--networks", "--only", "train/small/avg", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# tinyface beside PyTorch") and "| small/avg |" in done.stdout


def test_names_are_listed():
    done = bench("--list", "--only", "segmentation")
    assert "train/paper/segmentation" in done.stdout and "bits/segmentation" in done.stdout
    assert "avg" not in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "nothing"], "--only nothing"),
        (["--profile", "train/huge/avg"], "train/huge/avg"),
        (["--threads", "0"], "--threads"),
        (["--rounds", "many"], "--rounds"),
        (["--json", "README.md/cpu.json"], "README.md"),
    ],
)
def test_errors_are_one_clear_line(arguments, message):
    done = bench("--quick", *arguments)
    assert done.returncode not in (0, -2)
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]


# ---------------------------------------------------------------- the parts


def test_sides_take_turns():
    calls = []
    sides = {name: (lambda: None, lambda _, name=name: calls.append(name)) for name in "ab"}
    seconds = stopwatch.alternate(sides, 3)
    assert [len(rounds) for rounds in seconds.values()] == [3, 3]
    turns = [call for before, call in zip([None, *calls], calls, strict=False) if call != before]
    assert turns == list("ab" * 4)  # warm-up and three rounds


def test_prepare_is_not_timed():
    seconds = stopwatch.alternate({"a": (lambda: stopwatch.time.sleep(0.05), lambda _: None)}, 1)
    assert min(seconds["a"]) < 0.05


def test_different_work_is_not_timed():
    sides = pairs.build("train", "avg", 2, (27, 21), 3)
    pairs.check_same("train/small/avg", "train", sides)
    sides["ours"].network.head.linear.weight.data *= 1.1
    with pytest.raises(TinyfaceError, match=r"train/small/avg: loss is not the same"):
        pairs.check_same("train/small/avg", "train", sides)
    with pytest.raises(TinyfaceError, match="off by nan"):
        pairs.check_close("loss", np.float32("nan"), np.float32(1))


def pixels_first(array):
    """The same array, in memory as (H, W, N, C)."""
    return np.ascontiguousarray(array.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)


@pytest.mark.parametrize("layout", [None, np.ascontiguousarray, pixels_first])
def test_feature_maps_get_the_layout_of_the_ops(monkeypatch, layout):
    if layout:  # an engine whose convolution returns this one
        monkeypatch.setattr(ops, "conv2d", lambda x, w: Tensor(layout(x.data[:, : len(w.data)])))
    x = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    laid = op_cases.engine_layout(x)
    made = ops.conv2d(Tensor(x), Tensor(np.eye(3, dtype=np.float32)[:, :, None, None])).data
    np.testing.assert_array_equal(laid, x)
    assert laid.strides == made.strides


class Inner(Function):
    def forward(self, x):
        stopwatch.time.sleep(0.02)
        return x


class Outer(Function):
    def forward(self, x):
        return Inner()(x).data


class Child(Inner):
    def forward(self, x):
        return super().forward(x)


def test_time_is_an_operations_own():
    spent, before = defaultdict(op_profile.Spent), Outer.forward
    with op_profile.watching(spent):
        Outer()(Tensor([1.0]))
        Child()(Tensor([1.0]))
    assert spent["inner", "forward"].seconds >= 0.02 > spent["outer", "forward"].seconds
    assert spent["child", "forward"].calls == 1 and spent["inner", "forward"].calls == 1
    assert Outer.forward is before


def test_products_are_counted():
    assert op_profile.flops("conv2d", [(2, 3, 9, 8), (4, 3, 3, 3)], (2, 4, 9, 8)) == 2 * 2 * 4 * 72 * 27
    assert (
        op_profile.flops("conv_transpose2d", [(2, 3, 9, 8), (3, 4, 3, 3)], (2, 4, 9, 8))
        == 2 * 2 * 3 * 72 * 36
    )
    assert op_profile.flops("linear", [(5, 3), (4, 3), (4,)], (5, 4)) == 2 * 20 * 3
    assert op_profile.flops("prelu", [(5, 3), (3,)], (5, 3)) == 0


def test_products_of_transposed_convolutions_in_evaluation_are_counted():
    """3 → 4 channels: their kernels lie the other way round than a convolution's."""
    spent, numbers = defaultdict(op_profile.Spent), [Tensor(np.ones(4, np.float32))] * 3
    x, w = Tensor(np.ones((1, 3, 5, 5), np.float32)), Tensor(np.ones((3, 4, 3, 3), np.float32))
    with op_profile.watching(spent):
        ops.conv_norm_prelu(x, w, *numbers, *[n.data for n in numbers[:2]], padding=1, transposed=True)
    found = spent["conv_transpose_norm_prelu 3×3, 3 → 4, 5×5", "forward"]
    assert found.flops == 2 * 25 * 3 * 4 * 9


def test_tables_and_milliseconds():
    assert bench_report.table(["a", "b"], [["x", 1]]) == ["| a | b |", "| --- | ---: |", "| x | 1 |"]
    assert [bench_report.ms(value) for value in (12345, 12.34, 1.234, 0.01234)] == [
        "12,345",
        "12.3",
        "1.23",
        "0.0123",
    ]
