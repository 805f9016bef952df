"""`reproduce` from end to end: whatever interrupts it, the same command resumes to the same tables."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from tinyface import checkpoint, training
from tinyface.faces import cli

ROOT = Path(__file__).resolve().parents[3]

QUICK = ("--preset", "tiny", "--steps", "3", "--batch-size", "4", "--save-every", "1", "--workers", "0")
TABLES = ("table2.csv", "table2.md", "table2.png", "table4.csv", "table4.md", "claims.md", "figure4.png")


def reproduce(*arguments):
    """The result of the command in this process."""
    result = CliRunner().invoke(cli.cli, ["reproduce", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def fails(*arguments, naming, code=1):
    result = reproduce(*arguments)
    lines = [line for line in result.stderr.splitlines() if " images/s " not in line]
    assert result.exit_code == code, result.output
    assert len(lines) == 1 and lines[0].startswith("error: ") and str(naming) in lines[0], result.stderr
    return lines[0]


def start(*arguments):
    """The command in a process of its own."""
    command = [sys.executable, str(ROOT / "cli.py"), "reproduce", *map(str, arguments)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stop_once(process, there, number):
    """Send a signal as soon as a file is there."""
    deadline = time.monotonic() + 120
    while not there.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    process.communicate()


def contents(out, names):
    return {name: (out / name).read_bytes() for name in names}


SMALL = ("--table", "2", "--only", "ssp")


@pytest.fixture(scope="module")
def straight(faces, tmp_path_factory):
    """What comes out without a break: SMALL's folder."""
    out = tmp_path_factory.mktemp("straight") / "out"
    result = reproduce(*SMALL, *QUICK, "--seeds", "2", "--data", faces, "--out", out)
    assert result.exit_code == 0, result.output
    return out


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGTERM)),
    ],
)
def test_stopped_half_way_it_goes_on_to_the_same_tables(straight, faces, tmp_path, number):
    out = tmp_path / "out"
    arguments = (*SMALL, *QUICK, "--seeds", "2", "--data", faces, "--out", out)
    process = start(*arguments)
    stop_once(process, out / "seed-0/ssp/last.h5", number)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert not (out / "table2.csv").exists() and not (out / "seed-1").exists()
    result = reproduce(*arguments)
    assert result.exit_code == 0, result.output
    names = [name for name in TABLES if (straight / name).exists()]
    assert "table2.csv" in names and contents(out, names) == contents(straight, names)
    ours, theirs = (json.loads((folder / "measures.json").read_text()) for folder in (out, straight))
    assert {n: e["measures"] for n, e in ours.items()} == {n: e["measures"] for n, e in theirs.items()}


def test_a_second_call_trains_and_measures_nothing(straight, faces, monkeypatch):
    monkeypatch.setattr(training.Trainer, "run", lambda self: pytest.fail("trained again"))
    before = contents(straight, ["table2.csv", "report.html", "measures.json"])
    result = reproduce(*SMALL, *QUICK, "--seeds", "2", "--data", faces, "--out", straight)
    assert result.exit_code == 0, result.output
    assert "measuring" not in result.stdout and "trained already" in result.stdout
    assert contents(straight, before) == before


def test_ctrl_c_says_that_the_same_command_goes_on(faces, tmp_path, monkeypatch):
    def stopped(self):
        raise training.Interrupted(
            "stopped by SIGINT after step 1, saved in x; resume with --resume", signal.SIGINT
        )

    monkeypatch.setattr(training.Trainer, "run", stopped)
    result = reproduce("--figure", "3", *QUICK, "--data", faces, "--out", tmp_path / "out")
    assert result.exit_code == 128 + signal.SIGINT
    assert result.stderr.strip().endswith("saved in x; the same command resumes")


@pytest.mark.slow
def test_other_tables_join_what_is_there(straight, faces, tmp_path):
    """The order in which things are asked for does not matter; here a table that trains below seed-0 comes first."""
    out = tmp_path / "out"
    settings = (*QUICK, "--data", faces, "--out", out)
    for wanted in (("--table", "4"), ("--table", "2", "--only", "ssp"), ("--table", "2", "--only", "basic")):
        result = reproduce(*wanted, *settings)
        assert result.exit_code == 0, result.output
    ours, theirs = (json.loads((o / "measures.json").read_text()) for o in (out, straight))
    assert ours["seed-0/ssp"]["measures"] == theirs["seed-0/ssp"]["measures"]
    assert {"seed-0/avg", "seed-0/joint-parser", "seed-0/balanced/avg"} <= set(ours)


# ---------------------------------------------------------------- what comes from where


def test_every_seed_has_networks_of_its_own_and_these_are_fine_tuned(straight):
    best = [(straight / f"seed-{seed}/ssp/best.h5").read_bytes() for seed in (0, 1)]
    assert best[0] != best[1]
    assert [(straight / f"seed-{seed}/balanced/ssp/start.h5").read_bytes() for seed in (0, 1)] == best


def test_the_table_has_the_mean_of_what_was_measured(straight):
    kept = json.loads((straight / "measures.json").read_text())
    with open(straight / "table2.csv", newline="") as file:
        [row] = csv.DictReader(file)
    for column, folder, measure in (
        ("error", "ssp", "error"),
        ("AP", "ssp", "average_precision"),
        ("balanced", "ssp", "balanced_accuracy"),
        ("balanced, fine-tuned", "balanced/ssp", "balanced_accuracy"),
    ):
        values = [100 * kept[f"seed-{seed}/{folder}"]["measures"][measure] for seed in (0, 1)]
        assert float(row[column]) == pytest.approx(sum(values) / 2), column
        assert float(row[f"{column} deviation"]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5), column
        assert row[f"{column} seeds"] == "2"


def check_table3(out, lfwa):
    """Every row of Table 3 has been trained on LFWA and measured on its test faces."""
    with open(out / "table3.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["basic", "SSG", "SSP", "SSP + SSG"]
    kept = json.loads((out / "measures.json").read_text())
    for row, modes in zip(rows, ("avg", "ssg", "ssp", "ssp + ssg"), strict=True):
        measures = kept[f"lfwa/seed-0/{modes}"]["measures"]
        assert float(row["error"]) == pytest.approx(100 * measures["error"]) and measures["faces"] == 5
    for mode in ("avg", "ssg", "ssp"):
        assert checkpoint.load(out / f"lfwa/seed-0/{mode}/best.h5").notes["data"] == str(lfwa)
    assert rows[0]["error, paper"] == "14.73" and rows[3]["error, paper"] == "12.87"


def test_table_3_is_of_lfwa_which_has_no_faces_to_validate_on(faces, lfwa, tmp_path):
    out = tmp_path / "out"
    result = reproduce("--table", "3", *QUICK, "--data", faces, "--lfwa", lfwa, "--out", out)
    assert result.exit_code == 0, result.output
    assert "LFWA is needed" not in result.stdout and not (out / "seed-0").exists()
    check_table3(out, lfwa)


def test_lfwa_as_the_data_set_itself_gives_table_3(faces, lfwa, tmp_path):
    out = tmp_path / "out"
    result = reproduce("--table", "3", *QUICK, "--data", lfwa, "--seg-data", faces, "--out", out)
    assert result.exit_code == 0, result.output
    check_table3(out, lfwa)


# ---------------------------------------------------------------- all of it


@pytest.mark.slow
def test_everything_killed_and_gone_on_with(faces, tmp_path, check_self_contained):
    out = tmp_path / "out"
    arguments = ("--table", "all", "--figure", "all", *QUICK, "--data", faces, "--out", out)
    process = start(*arguments)
    stop_once(process, out / "seed-0/balanced/ssg/last.h5", signal.SIGKILL)
    result = reproduce(*arguments)
    assert result.exit_code == 0, result.output
    for number in (2, 3, 4):
        assert {f"table{number}.{kind}" for kind in ("csv", "md", "png")} <= {p.name for p in out.iterdir()}
    for picture in out.glob("*.png"):
        Image.open(picture).load()
    page = (out / "report.html").read_text(encoding="utf-8")
    figures = {path.stem for path in out.glob("*.png")} - {"table2", "table3", "table4", "places"}
    assert "Arched_Eyebrows" in (out / "places.csv").read_text()
    assert figures >= {"figure3", "figure4", "figure5"}
    assert len(check_self_contained(page)) == len(figures)
    assert "LFWA is needed" in page and "Table 4" in page and page.count('class="verdict') == 5
    assert "not measured" not in page.replace("Not measured: LFWA", "")
    rows = (out / "table2.csv").read_text().splitlines()
    assert len(rows) == 10 and all(row.split(",")[1] for row in rows)  # every network has an error

    whole = tmp_path / "whole"
    result = reproduce("--table", "all", "--figure", "all", *QUICK, "--data", faces, "--out", whole)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in out.iterdir() if path.suffix in (".csv", ".md", ".png"))
    assert contents(out, names) == contents(whole, names)


# ---------------------------------------------------------------- what goes wrong


def test_an_unknown_table_is_named(tmp_path):
    line = fails("--table", "7", "--out", tmp_path / "out", naming="--table", code=2)
    assert "7" in line and not (tmp_path / "out").exists()


def test_nothing_asked_for(tmp_path):
    fails("--out", tmp_path / "out", naming="--table, --figure", code=2)


def test_an_unknown_row_is_named(faces, tmp_path):
    fails("--table", "2", "--only", "vgg", "--data", faces, "--out", tmp_path / "out", naming="--only vgg")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(faces, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    fails("--table", "2", *QUICK, "--data", faces, "--out", out, naming=f"--out {out}")


def test_data_without_labels_is_refused_before_anything_is_trained(faces, tmp_path):
    line = fails(
        "--table", "4", *QUICK, "--data", faces / "celeba", "--out", tmp_path / "out", naming="--seg-data"
    )
    assert "label maps" in line and not list((tmp_path / "out").glob("*/last.h5"))


def test_missing_data_is_named(tmp_path):
    fails("--table", "2", "--data", tmp_path / "none", "--out", tmp_path / "out", naming=tmp_path / "none")


def test_a_table_of_another_length_is_refused(straight, faces):
    before = contents(straight, ["table2.csv"])
    line = fails(*SMALL, *QUICK, "--steps", "5", "--data", faces, "--out", straight, naming="--steps 5")
    assert str(straight) in line and contents(straight, ["table2.csv"]) == before


def test_the_table_of_lfwa_alone_is_refused_without_it(faces, tmp_path):
    result = reproduce("--table", "3", *QUICK, "--data", faces, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "give its folder by --lfwa" in result.stderr
    assert not (tmp_path / "out/parser").exists()


def test_the_page_says_how_it_was_made(straight):
    page = (straight / "report.html").read_text(encoding="utf-8")
    assert "preset tiny" in page and "3 steps for each network; 2 seeds" in page
    assert (
        page.count("Networks: trained on drawn faces only; results on photos of real people mean little.")
        == 1
    )


def test_the_page_says_if_segmentation_net_and_attributes_learned_from_other_faces(faces, lfwa, tmp_path):
    arguments = ("--table", "3", *QUICK, "--data", lfwa, "--seg-data", faces, "--out", tmp_path / "out")
    people = f"photos of people (LFWA in {lfwa.name})"
    line = f"segmentation network trained on drawn faces only, attributes trained on {people}"
    assert f"networks: {line}\n" in reproduce(*arguments).stdout
    assert f"Networks: {line}." in (tmp_path / "out/report.html").read_text(encoding="utf-8")
