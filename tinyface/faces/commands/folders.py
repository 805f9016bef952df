"""A run is a folder: where it goes, whether it is there already, and the report that it ends with.

train-seg fills one; train-attr one with a sub-folder per network (`avg`, `ssp`, `ssg`, …) and the segmentation
network that they were trained with, so that the folder can be used by itself; train-lnet and train-anet one with a
sub-folder per stage.
"""

import json
import math
from pathlib import Path

from tinyface import checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write

from ..models.attribute_networks import ATTRIBUTE_NETWORKS
from ..predict import SEGMENTATION_FILE
from ..presets import DEFAULT
from ..wild import localize
from ..wild.localize import LOCALIZER
from .options import Options

RUNS, REPORT = Path("runs"), "report.json"
STATE = ("step", "best", "options", "random")  # what a checkpoint knows of its training
PRETRAINED = "sspl.h5"  # what train-attr --init sspl began with, in its folder

COMMANDS = {
    "seg": "train-seg",
    "joint": "train-joint",
    "sspl": "pretrain-sspl",
    "attr": "train-attr",
    "balanced": "train-attr",
    "lnet": "train-lnet",
    "anet": "train-anet",
}
STAGES = {"lnet": localize.STAGES, "anet": localize.ANET_STAGES}  # sub-folders
# What runs have in their folders → the kinds of run that have it.
MARKER_FILES = {
    **{file: ("seg", "joint", "sspl") for file in (training.LAST, training.LOG)},
    **{f"{mode}/{training.LAST}": ("attr", "balanced") for mode in ATTRIBUTE_NETWORKS},
    **{f"{stage}/{training.LAST}": (kind,) for kind, stages in STAGES.items() for stage in stages},
    PRETRAINED: ("attr", "balanced"),
    SEGMENTATION_FILE: ("attr", "balanced", "sspl"),
    LOCALIZER: ("lnet", "anet"),
}


def run_folder(kind, given, out, resume, log=print):
    """Where a run goes: --out; else runs/<kind>-<preset>, or with a number behind it if that is taken.

    With resume, the newest of these; logs it where nothing was saved in it. Raises TinyfaceError where there is none
    to resume.
    """
    folder = find_run_folder(kind, given, out, resume)
    lasts = [file for file, kinds in MARKER_FILES.items() if kind in kinds and file.endswith(training.LAST)]
    if resume and not any((folder / file).exists() for file in lasts):
        log(
            f"{folder}: nothing was saved there yet, so the run begins anew, with the options of this command"
        )
    return folder


def find_run_folder(kind, given, out, resume):
    if out is not None:
        check_folder(kind, Path(out), resume)
        return Path(out)
    name = f"{kind}-{given.get('preset') or DEFAULT}"
    suffixes = (path.name.removeprefix(f"{name}-") for path in RUNS.glob(f"{name}-*"))
    numbers = [int(suffix) for suffix in suffixes if suffix.isdecimal()]
    if (RUNS / name).exists():
        numbers.append(1)
    if resume and not numbers:
        raise TinyfaceError(f"--resume: there is no run {RUNS / name} to resume; name it with --out")
    number = max(numbers, default=0) + (not resume)
    return RUNS / (name if number == 1 else f"{name}-{number}")


def check_folder(kind, folder, resume):
    """Raises TinyfaceError where a folder holds a run of another command or, with resume, no run at all."""
    for file, kinds in MARKER_FILES.items():
        if kind not in kinds and (folder / file).exists():
            commands = " or ".join(dict.fromkeys(COMMANDS[other] for other in kinds))
            raise TinyfaceError(f"--out {folder}: holds a run of {commands}; choose another folder")
    if not resume:
        return
    # A run that was killed before its first checkpoint has a folder too, with little or nothing in it.
    own = {file.split("/")[0] for file, kinds in MARKER_FILES.items() if kind in kinds}
    names = {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.is_dir() else None
    if names is None or (names and not names & own):
        raise TinyfaceError(f"--resume: there is no run {folder} to resume; check --out")


def resumable(folder, resume):
    """The checkpoint to resume from; None for a new run. Raises TinyfaceError before anything is overwritten."""
    last = folder / training.LAST
    if resume:
        saved = checkpoint.load(last) if last.exists() else None
        if saved and saved.training is None:
            raise TinyfaceError(f"{last}: holds a network to use, not a run to resume; start a new run")
        if saved and not (saved.training.keys() >= {*STATE} and Options.fits(saved.training["options"])):
            raise TinyfaceError(
                f"{last}: was saved by another version of tinyface; resume it with that, or start a new run"
            )
        return saved
    if last.exists():
        raise TinyfaceError(
            f"--out {folder}: holds a run already; resume it with --resume, or choose another folder"
        )
    return None


def report(folder, measures):
    """Write report.json."""
    atomic_write(folder / REPORT, json.dumps(measures, indent=1))


def named(names, values):
    """{name: value}, None where a measure is undefined."""
    return {name: defined(value) for name, value in zip(names, values, strict=True)}


def defined(value):
    """A measure as JSON can hold it: None where it is undefined."""
    return None if math.isnan(value) else float(value)
