"""Trainings in stages, LNet's and ANet's: those that begin after a break have the options that were typed at first."""

import json

from ..files import atomic_write
from .options import Options

GIVEN = "given.json"  # the options that were typed
OPTIMIZER = "adam"  # unless told otherwise


def settle(kind, given, saved, folder):
    """The options of a stage: those of its checkpoint, else what is typed or was typed when the run began.

    The optimizer is Adam where nobody told.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if saved is None:
        typed = json.loads((folder / GIVEN).read_text(encoding="utf-8")) if (folder / GIVEN).exists() else {}
        given = {"optimizer": OPTIMIZER, **typed, **given}
    return Options.settle(kind, given, saved and saved.training["options"])


def keep_given(folder, given):
    """Note what was typed, for stages that begin after a break."""
    if not (folder / GIVEN).exists():
        typed = {name: value for name, value in given.items() if value is not None}
        atomic_write(folder / GIVEN, json.dumps({**typed, "data": typed.get("data") and str(typed["data"])}))
