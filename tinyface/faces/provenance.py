"""What networks were trained on: faces that tinyface drew, or photos of people; as notes and in one line.

A checkpoint's notes have, besides the command, its options and the path of its data as it was typed:

    version      of tinyface
    trained_on   data sets: {"faces", "layout", "folder", "splits"}, the folder by its name alone
    others       {role: the same} of networks that gave it initial weights, regions or faces
"""

import os

from tinyface import __version__, checkpoint

from .data.dataset import SPLITS
from .data.layouts import DRAWN, PHOTOS, UNKNOWN, choose_layout, faces_of

ROLES = {
    "SegmentationNet": "parser",
    "JointNet": "parser",
    "SSPLNet": "pre-trained network",
    "LNet": "LNet",
    "ANet": "ANet",
    "AttributeSVM": "ANet",
}  # all others predict attributes; the names are those in checkpoints
NOT_RECORDED = "not recorded"
WORDS = {
    PHOTOS: "photos of people",
    UNKNOWN: "faces of an unknown kind",
    DRAWN: "drawn faces",
    NOT_RECORDED: "data that are not recorded",
}
DRAWN_ONLY = f"{WORDS[DRAWN]} only"


def record(*data, others=()):
    """Notes for a network that is trained on data, pairs (folder, need) as `open_dataset` takes them.

    others: the checkpoints of networks that it makes use of.
    """
    data_sets = []
    for path, need in data:
        layout = choose_layout(path, need)
        data_sets.append(
            {
                "faces": faces_of(layout),
                "layout": layout.name,
                "folder": os.path.basename(os.path.abspath(path)),
                "splits": {split: len(layout.members[split]) for split in SPLITS},
            }
        )
    return {"version": __version__, "trained_on": data_sets, "others": by_role(others)}


def resumed(before, notes):
    """The notes of a run that resumes from a checkpoint with the notes `before`: it is trained on the data of both."""
    earlier = _checked(before["trained_on"]) if "trained_on" in before else []
    later = [data_set for data_set in notes.get("trained_on", []) if data_set not in earlier]
    return {**notes, "trained_on": [*earlier, *later]}


def by_role(files):
    """{role: data sets} of the networks in checkpoints, and of those that they made use of in training."""
    found = {}
    for header in map(checkpoint.read_header, files):
        own, others = ROLES.get(header.network, "attributes"), header.notes.get("others")
        used = others.items() if isinstance(others, dict) else ()
        for role, data_sets in [(own, header.notes.get("trained_on")), *used]:
            known = found.setdefault(role, [])
            known += [data_set for data_set in _checked(data_sets) if data_set not in known]
    return found


def kind_of(notes):
    """DRAWN, PHOTOS, UNKNOWN or NOT_RECORDED where a network was trained on such faces alone, else None."""
    kinds = {data_set["faces"] for data_set in _checked(notes.get("trained_on"))}
    return kinds.pop() if len(kinds) == 1 else None


def go_together(kind, other):
    """False for drawn faces on one side and photos on the other."""
    return {kind, other} != {DRAWN, PHOTOS}


def phrase(notes):
    """E.g. "trained on photos of people (CelebA in celeba-hq)"."""
    return f"trained on {_words(_checked(notes.get('trained_on')))}"


def line(files):
    """What the networks in checkpoints, and those that they made use of, were trained on; by role where it differs.

    With a warning where all of it was drawn.
    """
    roles = {}
    for role, data_sets in by_role(files).items():
        name = "segmentation network" if role == "parser" else role
        roles.setdefault(_words(data_sets), []).append(name)
    if list(roles) == [DRAWN_ONLY]:
        return f"trained on {DRAWN_ONLY}; results on photos of real people mean little"
    if len(roles) == 1:
        return f"trained on {next(iter(roles))}"
    return ", ".join(f"{' and '.join(named)} trained on {words}" for words, named in roles.items())


def _words(data_sets):
    """E.g. "photos of people (CelebA in celeba-hq) and drawn faces"."""
    parts = []
    for kind, words in WORDS.items():
        names = [f"{d.get('layout')} in {d.get('folder')}" for d in data_sets if d["faces"] == kind]
        if names:
            parts.append(f"{words} ({'; '.join(names)})" if kind in (PHOTOS, UNKNOWN) else words)
    return DRAWN_ONLY if parts == [WORDS[DRAWN]] else " ".join(" and ".join(parts).split())


def _checked(data_sets):
    """The data sets as a checkpoint has them; one that is not recorded where it has none, or something else."""
    known = isinstance(data_sets, list) and data_sets
    if known and all(isinstance(d, dict) and str(d.get("faces")) in WORDS for d in data_sets):
        return data_sets
    return [{"faces": NOT_RECORDED}]
