"""Fine-tuning for balanced accuracy (Kalayeh et al. 2017, section 4.3.1): which trained networks it starts from.

The folder of such a run has, in each network's sub-folder, a copy of the network it began with: start.h5. So the run
can be resumed, and compared with what was before, whatever becomes of the run that it came from.
"""

from pathlib import Path

from tinyface import checkpoint
from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write, make_folder
from tinyface.training import BEST

from ..choices import RESNET
from ..presets import DEFAULT, find_preset
from ..provenance import WORDS, go_together, kind_of, phrase
from .trained import networks_in_runs

START = "start.h5"


def find_run(named, modes, preset, runs):
    """The folder of trained networks of these modes.

    named: the folder, or None for the last one in the folder `runs` that was not fine-tuned itself and, where a preset
    is named, has that one. Raises TinyfaceError where there is none.
    """
    if named is not None:
        for mode in modes:
            if not (Path(named) / mode / BEST).is_file():
                raise TinyfaceError(
                    f"--from {named}: has no {Path(mode) / BEST}; name a run of train-attr with {' and '.join(modes)}"
                )
        return Path(named)
    files = [
        file
        for file, header, _ in networks_in_runs("AttributeNet", "ResNetAttributes", runs=runs)
        if header.config.get("mode", RESNET) == file.parent.name and not (file.parent / START).exists()
    ]
    for file in files:
        mode, run = file.parent.name, file.parent.parent
        complete = mode == modes[0] and all(run / other / BEST in files for other in modes)
        if complete and preset in (None, preset_of(file)):
            return run
    raise TinyfaceError(
        f"--from: there is no run of train-attr with {' and '.join(modes)} in {runs}/ to fine-tune; "
        "train one first, or name its folder"
    )


def check_faces(file, faces):
    """Raises TinyfaceError where a network that nobody named was trained on other faces than those to learn from.

    faces: as in `trained.find_segmentation_net`.
    """
    notes = checkpoint.read_header(file).notes
    if not go_together(kind_of(notes), faces):
        raise TinyfaceError(
            f"--from: the last run that fits, {file.parent.parent}, was {phrase(notes)}, and --data has "
            f"{WORDS[faces]}; train one on these first, or name that one to take it all the same"
        )


def preset_of(file):
    """The preset that a network was trained with; None where its file does not have it."""
    return checkpoint.read_header(file).notes.get("options", {}).get("preset")


def adopt(given, files):
    """`given` with the preset and the data that the networks in these files were trained with, where it has none.

    files: each in a folder named after its network's mode. Raises TinyfaceError where one holds another network, or
    `given` has another preset than fits them.
    """
    name = given.get("preset") or preset_of(files[0]) or DEFAULT
    preset = find_preset(name)
    for file in files:
        saved = checkpoint.load(file)
        if getattr(saved.network, "mode", None) != file.parent.name:
            raise TinyfaceError(
                f"{file}: holds no attribute network of mode {file.parent.name}; give a run of train-attr"
            )
        (h, w), width = saved.network.config["size"], saved.network.config["width"]
        if (width, (h, w)) != (preset.width, tuple(preset.size)):
            raise TinyfaceError(
                f"--preset {name}: {file} has width {width}, for images of {h}×{w}; "
                "give the preset it was trained with"
            )
    return {**given, "preset": name, "data": given.get("data") or saved.notes.get("data")}


def keep_starts(folder, run, modes):
    """Copy the trained networks into the folder of the run that begins with them; those that lie there stay.

    run: where to copy from, or None to go on with what is there. Raises TinyfaceError where that is missing or other.
    """
    for mode in modes:
        kept = folder / mode / START
        if run is None and not kept.exists():
            raise TinyfaceError(
                f"--resume: {folder} was stopped before {kept} was saved; add --from with the run to fine-tune"
            )
        if run is None:
            continue
        content = (run / mode / BEST).read_bytes()
        if not kept.exists():
            make_folder(kept.parent)
            atomic_write(kept, content)
        elif kept.read_bytes() != content:
            raise TinyfaceError(
                f"--from {run}: the run to be resumed was started with another network, {kept}; leave the option out"
            )


def check_kind(folder, modes, balanced):
    """Raises TinyfaceError where the run in a folder is resumed with --balanced and began without it, or vice versa."""
    was_balanced = any((folder / mode / START).exists() for mode in modes)
    if was_balanced != balanced:
        how, what = ("with", "add it") if was_balanced else ("without", "leave it out")
        raise TinyfaceError(f"--balanced: the run in {folder} was started {how} it; {what}")


def format_change(before, after):
    """Measures of each network before and after, dictionaries of `evaluate.evaluate_tasks`, as aligned text."""
    measures = {"error": "error %", "average_precision": "AP %", "balanced_accuracy": "balanced %"}
    width = max(map(len, ["network", *after]))
    lines = ["network".ljust(width) + "".join(f"{title:>20}" for title in measures.values())]
    for name in after:
        changes = (f"{100 * before[name][m]:.2f} → {100 * after[name][m]:.2f}" for m in measures)
        lines.append(name.ljust(width) + "".join(f"{change:>20}" for change in changes))
    return "\n".join(lines)
