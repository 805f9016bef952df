"""What must be trained for what is asked, in order, each network once; and what of it is finished.

A step is finished when its last.h5 stands at the last step and its best.h5 is there. So whatever ended the
command, the same command resumes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tinyface import checkpoint
from tinyface.errors import TinyfaceError
from tinyface.training import BEST, LAST

from ..commands.folders import REPORT
from ..commands.options import Options
from ..commands.trained import same_content
from ..data.layouts import open_dataset
from ..predict import SEGMENTATION_FILE
from . import sspl, systems, training
from .paper import LFWA_ROWS, ROWS

BALANCED, ALONE, JOINT = "balanced", "parser-alone", "joint-parser"  # folders of a seed


@dataclass(frozen=True)
class Step:
    """One training. folder: below --out. train(job, step, log). data: its folder, None for a segmentation network's.

    given: pairs of option and value, of this training alone. last, end: files below the folder, the checkpoint with
    the step it is at, and the one that is there when all is done.
    """

    folder: str
    train: Callable
    seed: int = 0
    mode: str | None = None
    data: str | None = None
    given: tuple = ()
    last: str = LAST
    end: str = BEST


def choose_rows(only, rows=ROWS):
    """The rows whose key is in `only`; all for none. Raises TinyfaceError for a key that no row has."""
    keys = [row.key for row in ROWS]
    unknown = [key for key in only if key not in keys]
    if unknown:
        raise TinyfaceError(f"--only {unknown[0]}: no such row; choose of {', '.join(keys)}")
    return [row for row in rows if not only or row.key in only]


def plan(job, tables, figures, rows=ROWS):
    """The steps, each before those that need it; one seed is finished before the next begins."""
    steps = []
    attribute_nets = {"2", "3", "sspl", "systems"} & set(tables) or {"4", "5"} & set(figures)
    if not job.seg_weights and (attribute_nets or "3" in figures):
        steps.append(Step("parser", training.train_segmentation_net))
    for seed in range(job.seeds):
        name = f"seed-{seed}"
        wanted = [mode for row in rows for mode in row.modes] if "2" in tables else []
        wanted += ["avg", "ssp", "ssg"] * ("systems" in tables)
        if seed == 0:
            wanted += ["ssp"] * ("4" in figures) + ["avg", "ssp"] * ("5" in figures)
        for mode in wanted:
            steps.append(Step(f"{name}/{mode}", training.train_attribute_net, seed, mode, job.data))
        tuned = [mode for row in rows if row.fine_tuned for mode in row.modes] if "2" in tables else []
        for mode in tuned:
            steps.append(Step(f"{name}/{BALANCED}/{mode}", training.fine_tune, seed, mode, job.data))
        if "4" in tables:
            steps.append(Step(f"{name}/{ALONE}", training.train_segmentation_net, seed))
            steps.append(Step(f"{name}/{JOINT}", training.train_joint_net, seed))
        if "3" in tables and job.lfwa:
            for mode in (mode for row in LFWA_ROWS if row in rows for mode in row.modes):
                steps.append(Step(f"lfwa/{name}/{mode}", training.train_attribute_net, seed, mode, job.lfwa))
        if "systems" in tables:
            folder = f"{name}/{systems.FOLDER}"
            steps.append(
                Step(folder, training.train_anet, seed, data=job.data, last=f"attributes/{LAST}", end=REPORT)
            )
    if "sspl" in tables:
        steps += few_label_steps(job, sspl.compared(rows))
    if "systems" in tables:
        count = len(open_dataset(job.data, "train", "attributes"))
        steps.append(pretraining(job))
        steps += [few_label_step(job, 1.0, count, "sspl", seed, "avg") for seed in range(job.seeds)]
    return list(dict.fromkeys(steps))


def pretraining(job):
    return Step(sspl.PRETRAINED, training.pretrain, data=job.data)


def few_label_steps(job, rows):
    """The pre-training, then every share of the labels with and without it."""
    counts = sspl.usable(open_dataset(job.data, "train", "attributes"))
    modes = [mode for row in rows for mode in row.modes]
    return [pretraining(job)] + [
        few_label_step(job, share, count, init, seed, mode)
        for seed in range(job.seeds)
        for share, count in counts.items()
        for init in sspl.INITS
        for mode in modes
    ]


def few_label_step(job, share, count, init, seed, mode):
    folder = f"{sspl.folder_of(share, init, seed)}/{mode}"
    given = sspl.given_of(job, share, init, count)
    return Step(folder, training.train_with_few, seed, mode, job.data, given)


def finished(job, step):
    """Whether a step is done.

    Raises TinyfaceError where its folder holds a run with other options, or one with another segmentation network.
    """
    folder = job.out / step.folder
    if not (folder / step.last).exists():
        return False
    saved = checkpoint.load(folder / step.last).training
    if saved is None:
        raise TinyfaceError(f"{folder / step.last}: holds a network to use, not a run; choose another --out")
    given = {**job.options, "preset": job.preset, "seed": step.seed, **dict(step.given)}
    try:
        options = Options.resolve(None, given, saved["options"])
    except TinyfaceError as error:
        raise TinyfaceError(f"{folder}: {error}") from None
    kept = folder.parent / SEGMENTATION_FILE
    if (
        step.mode
        and kept.exists()
        and job.segmentation_file.exists()
        and not same_content(kept, job.segmentation_file)
    ):
        raise TinyfaceError(
            f"{kept}: the networks here were trained with another segmentation network than "
            f"{job.segmentation_file}; choose another --out"
        )
    return saved["step"] == options.steps and (folder / step.end).exists()
