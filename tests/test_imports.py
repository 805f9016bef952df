"""The architecture: what may import what. Read from the import statements, those inside functions too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "tinyface").rglob("*.py"))

# From bottom to top: a part imports its own level and those below. First the framework, which knows nothing of the
# application, then the parts of the application, tinyface/faces.
LEVELS = [
    {"errors", "files", "moved"},
    {"runtime"},
    {"backend"},
    {"core"},
    {"ops"},
    {"kernels"},
    {"nn"},
    {"checkpoint", "gradcheck", "optim", "summary"},
    {"training", "__init__"},
    {"faces.__init__", "faces.choices"},
    {"faces.data", "faces.metrics", "faces.presets"},
    {"faces.models"},
    {"faces.provenance", "faces.tasks"},
    {"faces.pictures"},
    {"faces.predict"},
    {"faces.wild"},
    {"faces.commands", "faces.summary"},
    {"faces.reproduce"},
    {"faces.cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}


def part_of(path):
    """ "ops" for ("ops", "add.py"), "faces.data" for ("faces", "data", "celeba.py"), "__init__" for ()."""
    first, *rest = *path, "__init__"
    return f"faces.{part_of(rest)}" if first == "faces" else first.removesuffix(".py")


def imported(file):
    """The dotted names that a file imports, relative ones spelled out."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_parts(file):
    """The parts of tinyface that a file imports; "__init__" for a name of a package itself."""
    for name in imported(file):
        top, *path = name.split(".")
        if top == "tinyface":
            part = part_of(path)
            yield part if part in LEVEL else part_of(path[: part.count(".")])


def test_every_part_has_its_level():
    assert {part_of(file.relative_to(ROOT / "tinyface").parts) for file in FILES} == set(LEVEL)
    assert "runtime" in imported_parts(ROOT / "tinyface" / "ops" / "relu.py")
    assert {"ops", "moved"} <= {*imported_parts(ROOT / "tinyface" / "__init__.py")}
    found = {*imported_parts(ROOT / "tinyface" / "faces" / "provenance.py")}
    assert {"checkpoint", "faces.data", "__init__"} <= found  # tinyface.__version__


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_point_down(file):
    part = part_of(file.relative_to(ROOT / "tinyface").parts)
    above = [other for other in imported_parts(file) if LEVEL[other] > LEVEL[part]]
    assert not above, f"{part} must not import {', '.join(above)}"


def test_the_framework_needs_no_face():
    """Nor does it import the application by a name in a text; only `checkpoint` does, when it reads a file."""
    modules = sorted(part for part in LEVEL if not part.startswith(("faces", "__")))
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module("tinyface." + name)
print([name for name in sys.modules if name.startswith("tinyface.faces")])"""
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_outside_libraries_stay_in_their_place(file):
    outside = {name.split(".")[0] for name in imported(file)}
    assert not outside & {"torch", "sklearn", "scipy", "tensorflow", "jax"}
    assert "cupy" not in outside or file.name == "gpu_probe.py"


HEAVY = ["PIL", "h5py", "click", "threadpoolctl", "cupy", "concurrent.futures.process", "torch"]


def test_importing_tinyface_is_light():
    code = f"import sys, tinyface; print([name for name in {HEAVY} if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
