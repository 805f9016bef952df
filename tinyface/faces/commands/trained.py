"""Networks of earlier runs that a command uses: the segmentation network, and initial weights."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from tinyface import checkpoint, training
from tinyface.errors import TinyfaceError

from ..choices import RESNET
from ..predict import DEFAULT_WEIGHTS, SEGMENTATION_FILE, load_pretrained, segmentation_file
from ..provenance import WORDS, go_together, kind_of, phrase
from .folders import RUNS


def find_segmentation_net(seg_weights, size, log, faces=None):
    """The file of a segmentation network: the one named, else the last trained for this image size, else the bundled.

    A joint network has a segmentation network too. faces: what it will see, as `provenance.kind_of` has it. Unless it
    is named, a segmentation network of drawn faces is not taken for photos, nor the other way round; TinyfaceError
    where there is no other.
    """
    if seg_weights is not None:
        named = segmentation_file(seg_weights)
        log(f"segmentation network: {named}, {phrase(checkpoint.read_header(named).notes)}")
        return named
    fitting = [
        run
        for run in networks_in_runs("SegmentationNet", "JointNet")
        if run.header.config.get("size") == list(size)
    ]
    for run in fitting:
        if go_together(kind_of(run.header.notes), faces):
            log(f"segmentation network: {run.file}, {run.rank} {phrase(run.header.notes)}")
            return run.file
    bundled = DEFAULT_WEIGHTS / SEGMENTATION_FILE
    header = checkpoint.read_header(bundled) if bundled.exists() else None
    if header and go_together(kind_of(header.notes), faces):
        h, w = header.config["size"]
        made_for = (
            "" if (h, w) == tuple(size) else f" (made for {h}×{w}; one from train-seg would serve better)"
        )
        log(f"segmentation network: {bundled}, the bundled one{made_for}, {phrase(header.notes)}")
        return bundled
    others = [run.file for run in fitting] + [bundled] * (header is not None)
    raise TinyfaceError(
        f"--seg-weights: no segmentation network for images of {size[0]}×{size[1]}{of_these(faces, others)} found in "
        f"{RUNS} or "
        f"{DEFAULT_WEIGHTS}; train one with train-seg and the same --preset, or name its file{all_the_same(others)}"
    )


def same_segmentation_net(seg_weights, kept, resume):
    """`kept`, the segmentation network in the folder of a run, where that is resumed; else None.

    Raises TinyfaceError where another one is named.
    """
    if not (resume and kept.exists()):
        return None
    if seg_weights is not None and not same_content(segmentation_file(seg_weights), kept):
        raise TinyfaceError(
            f"--seg-weights {seg_weights}: the run to be resumed was started with another segmentation "
            f"network, {kept}; "
            "leave the option out"
        )
    return kept


def find_pretrained(named, kept, modes, preset, resume, log, faces=None):
    """The file for --init sspl: the one named; else the one that the resumed run began with; else the last one that
    pretrain-sspl made for this backbone and preset. Raises TinyfaceError where there is none, or another than `kept`.

    faces: as in `find_segmentation_net`.
    """
    backbone = RESNET if RESNET in modes else "encoder"
    if named is not None:
        named = Path(named) / training.BEST if Path(named).is_dir() else Path(named)
        config = load_pretrained(named).config
        if (config["backbone"], config["width"]) != (backbone, preset.width):
            raise TinyfaceError(
                f"--sspl-weights {named}: holds the backbone {config['backbone']} of width {config['width']}, but "
                f"{backbone} of width {preset.width} is needed; give one made with the same --preset and --backbone"
            )
        if resume and kept.exists() and not same_content(named, kept):
            raise TinyfaceError(
                f"--sspl-weights {named}: the run to be resumed was started with others, {kept}; leave the option out"
            )
        log(f"pre-trained: {named}, {phrase(checkpoint.read_header(named).notes)}")
        return named
    if resume and kept.exists():
        return kept
    wanted = {"backbone": backbone, "width": preset.width, "size": list(preset.size)}
    fitting = [
        run
        for run in networks_in_runs("SSPLNet")
        if {name: run.header.config.get(name) for name in wanted} == wanted
    ]
    for run in fitting:
        if go_together(kind_of(run.header.notes), faces):
            log(f"pre-trained: {run.file}, {run.rank} {phrase(run.header.notes)}")
            return run.file
    others = [run.file for run in fitting]
    raise TinyfaceError(
        f"--sspl-weights: no pre-trained network of this --preset and --backbone{of_these(faces, others)} found in "
        f"{RUNS}; make one with pretrain-sspl, or name its file{all_the_same(others)}"
    )


def load_encoder_from(network, trained, init):
    """--init parser or sspl. Raises TinyfaceError where the trained network does not fit."""
    try:
        network.load_encoder_from(trained)
    except ValueError as error:
        raise TinyfaceError(f"--init {init}: {error}; give a {init} of the same --preset") from None


def same_content(path, other):
    """Whether two files hold the same bytes; a file that is not there has none."""
    return path.is_file() and path.read_bytes() == other.read_bytes()


# ---------------------------------------------------------------- what lies in runs/


class Trained(NamedTuple):
    """A best.h5 in runs/, and whether its training went to the end."""

    file: Path
    header: checkpoint.Header
    finished: bool

    @property
    def rank(self):
        """For people, of the first of several."""
        return "the last one" if self.finished else "of a run that is not finished,"


def networks_in_runs(*kinds, runs=None):
    """A Trained for each network of these classes, in runs/*/ and runs/*/*/, whatever the folders are called.

    Those of finished runs first, the newest first. Files that can't be read are passed over.
    """
    found, runs = [], Path(runs or RUNS)
    for file in [*runs.glob(f"*/{training.BEST}"), *runs.glob(f"*/*/{training.BEST}")]:
        with contextlib.suppress(TinyfaceError):
            header = checkpoint.read_header(file)
            if header.network in kinds:
                found.append(Trained(file, header, is_finished(file.parent)))
    return sorted(found, key=lambda run: (run.finished, run.file.stat().st_mtime), reverse=True)


def is_finished(run):
    """Whether the training of a network went to its end, or its folder has nothing to resume from."""
    last = run / training.LAST
    if not last.exists():
        return True
    try:
        state = checkpoint.read_header(last).training or {}
    except TinyfaceError:
        return False
    return state.get("step") == state.get("options", {}).get("steps")


def last_run(kind, sign, faces=None, without=()):
    """The folder of the last run in runs/ with a network of a class in a sub-folder, and the file `sign` beside that.

    faces: as in `find_segmentation_net`. without: sub-folders that it must not have. None where there is no such run.
    """
    for file, header, _ in networks_in_runs(kind):
        run = file.parent.parent
        complete = (run / sign).is_file() and not any((run / other).exists() for other in without)
        if complete and go_together(kind_of(header.notes), faces):
            return run
    return None


def of_these(faces, others):
    """A part of the messages, on networks that would fit, were they not trained on other faces."""
    return f" that was trained on {WORDS[faces]}, as in this data," if others else ""


def all_the_same(others):
    """What to name if such a network is to be taken."""
    return f" to take it all the same, such as {others[0]}" if others else ""
