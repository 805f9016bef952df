from pathlib import Path

import numpy as np
import pytest
from command_runs import refused

from tinyface.faces.commands.folders import COMMANDS, RUNS, named, run_folder


def make_runs(*names):
    for name in names:
        (RUNS / name).mkdir(parents=True)


@pytest.mark.parametrize(
    "there, new, newest",
    [
        ([], "seg-small", None),
        (["seg-small"], "seg-small-2", "seg-small"),
        (["seg-small", "seg-small-2"], "seg-small-3", "seg-small-2"),
        (["seg-small", *(f"seg-small-{n}" for n in range(2, 11))], "seg-small-11", "seg-small-10"),
        (["seg-small-4"], "seg-small-5", "seg-small-4"),
        (["seg-tiny", "attr-small", "seg-small-2-slow", "seg-small-2nd", "seg-smaller"], "seg-small", None),
    ],
)
def test_a_new_run_gets_the_next_free_folder_and_resume_takes_the_newest(there, new, newest):
    make_runs(*there)
    assert run_folder("seg", {"preset": None}, None, False) == Path("runs") / new
    if newest:
        assert run_folder("seg", {}, None, True) == Path("runs") / newest
    else:
        assert refused(run_folder, "seg", {}, None, True).startswith(
            "--resume: there is no run runs/seg-small "
        )


def test_the_folder_is_named_after_kind_and_preset():
    make_runs("attr-paper")
    assert run_folder("attr", {"preset": "paper"}, None, False) == Path("runs/attr-paper-2")


@pytest.mark.parametrize("resume", [False, True])
def test_out_is_taken_as_it_is(resume):
    make_runs("mine")
    assert run_folder("seg", {}, "runs/mine", resume) == Path("runs/mine")


# A folder of each kind → what is in it, the kinds that may go there, what the others are told.
ONE = ["last.h5", "best.h5", "log.jsonl"]
FILLED = [
    (ONE, {"seg", "joint", "sspl"}, "train-seg or train-joint or pretrain-sspl"),
    ([*ONE, "parser.h5"], {"sspl"}, "pretrain-sspl"),
    (["parser.h5", "ssp/last.h5"], {"attr", "balanced"}, "train-attr"),
    (["avg/last.h5", "sspl.h5"], {"attr", "balanced"}, "train-attr"),
    (["lnet_o/last.h5", "lnet_s/last.h5", "localizer.json"], {"lnet"}, "train-lnet"),
    (["lnet_o/best.h5", "localizer.json", "identities/last.h5"], {"anet"}, "train-anet"),
    (["localizer.json", "attributes/last.h5"], {"anet"}, "train-anet"),
]


@pytest.mark.parametrize("files, kinds, told", FILLED)
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_run_of_another_command_is_left_alone(files, kinds, told, kind):
    for file in files:
        path = Path("mine") / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for resume in (False, True):
        if kind in kinds:
            assert run_folder(kind, {}, "mine", resume) == Path("mine")
        else:
            text = refused(run_folder, kind, {}, "mine", resume)
            assert text.startswith("--out mine: holds a run of ") and text.endswith("; choose another folder")
            assert told in text


@pytest.mark.parametrize("kind", COMMANDS)
def test_there_must_be_a_run_to_resume(kind):
    make_runs("empty", "other")
    (RUNS / "other" / "holiday.jpg").touch()
    assert run_folder(kind, {}, RUNS / "empty", True) == RUNS / "empty"  # killed before its first checkpoint
    for name in ("other", "none"):
        text = refused(run_folder, kind, {}, RUNS / name, True)
        assert text == f"--resume: there is no run runs/{name} to resume; check --out"


def test_measures_that_are_undefined_are_none():
    assert named(("a", "b"), np.array([0.25, np.nan])) == {"a": 0.25, "b": None}
