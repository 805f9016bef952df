"""Trainings in stages, LNet's and ANet's: those that begin after a break have the options that were typed at first."""

import json

from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write

from .options import Options

GIVEN = "given.json"  # the options that were typed


def resolve(kind, given, saved, folder):
    """The options of a stage: those of its checkpoint, else what is typed or was typed when the run began."""
    given = {name: value for name, value in given.items() if value is not None}
    if saved is None:
        given = {**read_given(folder / GIVEN), **given}
    return Options.resolve(kind, given, saved and saved.training["options"])


def read_given(file):
    """What was typed when the run began; nothing where it never came so far. Raises TinyfaceError naming the file."""
    try:
        typed = json.loads(file.read_bytes()) if file.exists() else {}
    except ValueError:
        typed = None
    if not isinstance(typed, dict):
        raise TinyfaceError(f"{file}: damaged; remove it, and give the options of the run again")
    return typed


def keep_given(folder, given):
    """Note what was typed, for stages that begin after a break."""
    if not (folder / GIVEN).exists():
        typed = {name: value for name, value in given.items() if value is not None}
        atomic_write(folder / GIVEN, json.dumps({**typed, "data": typed.get("data") and str(typed["data"])}))
