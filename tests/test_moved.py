"""Old import paths give the modules of the new ones."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyface
from tinyface.moved import NEW_NAMES

ROOT = Path(__file__).resolve().parent.parent


def modules_below(old, new):
    """(old, new) names of a module and, of a package, all below it."""
    yield old, new
    for found in pkgutil.iter_modules(getattr(importlib.import_module(f"tinyface.{new}"), "__path__", ())):
        yield from modules_below(f"{old}.{found.name}", f"{new}.{found.name}")


MODULES = [pair for old, new in NEW_NAMES.items() for pair in modules_below(old, new)]


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("old", "new"), MODULES)
def test_the_old_name_is_the_same_module(old, new):
    module = importlib.import_module(f"tinyface.{new}")
    spec = module.__spec__
    assert importlib.import_module(f"tinyface.{old}") is module
    assert module.__spec__ is spec and spec.name == module.__name__ == f"tinyface.{new}"
    for name in (old, new):  # as an attribute of its package, too
        package, _, attribute = f"tinyface.{name}".rpartition(".")
        assert getattr(importlib.import_module(package), attribute) is module


@pytest.mark.parametrize("first", [False, True])
def test_whichever_name_comes_first(first):
    """In a process of its own, where neither was imported yet."""
    imports = ["import tinyface.models.attributes as old", "import tinyface.faces.models.attributes as new"]
    code = "; ".join([*imports[:: 1 if first else -1], "from tinyface import models, faces, train, training"])
    assert python(f"{code}; print(old is new, models is faces.models, train is training)") == "True True True"


def test_all_ways_of_import():
    code = """
from tinyface.models import AttributeNet
from tinyface.data.celeba import CelebA
import tinyface.presets, tinyface.faces.presets
from tinyface import predict, visualize
from tinyface.summary import networks_of
from tinyface.predict import FaceReader, Reading
assert FaceReader.read is predict.FacePredictor.predict and Reading is predict.Prediction
print(AttributeNet.__module__, CelebA.__module__, tinyface.presets is tinyface.faces.presets, predict.__name__)"""
    words = "tinyface.faces.models.attributes tinyface.faces.data.celeba True tinyface.faces.predict"
    assert python(code) == words


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, tinyface; print([name for name in sys.modules if 'faces' in name])"
    assert python(code) == "[]"


@pytest.mark.parametrize("names", [("old", "new"), ("new", "old")])
def test_patching_through_either_name(names, monkeypatch):
    paths = {"old": "tinyface.data.loader.GIB", "new": "tinyface.faces.data.loader.GIB"}
    monkeypatch.setattr(paths[names[0]], "patched")
    module, _, name = paths[names[1]].rpartition(".")
    assert getattr(importlib.import_module(module), name) == "patched"


def test_a_module_that_never_was():
    with pytest.raises(ModuleNotFoundError, match=r"'tinyface\.models\.nothing'"):
        importlib.import_module("tinyface.models.nothing")
    with pytest.raises(ImportError, match="nothing"):
        from tinyface import nothing  # noqa: F401
    with pytest.raises(AttributeError, match="nothing"):
        tinyface.summary.nothing  # noqa: B018
