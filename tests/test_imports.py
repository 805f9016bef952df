"""The architecture: what may import what. Read from the import statements, those inside functions too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "tinyface").rglob("*.py"))

# From bottom to top: a part imports its own level and those below.
LEVELS = [
    {"errors", "files", "gpu_probe", "kernels", "workers"},
    {"backend"},
    {"core"},
    {"ops", "__init__"},
    {"nn"},
    {"data", "metrics", "checkpoint", "gradcheck", "optim"},
    {"models"},
    set(),  # train and everything else that makes something out of all of these
    {"commands"},
    {"reproduce"},
    {"cli", "__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
APPLICATION = LEVELS.index(set())


def part_of(file):
    """ "ops" for tinyface/ops/add.py, "core" for tinyface/core.py."""
    return file.relative_to(ROOT / "tinyface").parts[0].removesuffix(".py")


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
    """The parts of tinyface that a file imports; "__init__" for a name of the package itself."""
    for name in imported(file):
        top, *rest = name.split(".")
        if top == "cli":
            yield top
        elif top == "tinyface":
            part = rest[0] if rest else "__init__"
            exists = (ROOT / "tinyface" / part).is_dir() or (ROOT / "tinyface" / f"{part}.py").is_file()
            yield part if exists else "__init__"


def test_the_files_are_found():
    assert {part_of(file) for file in FILES} >= {part for parts in LEVELS[:6] for part in parts}
    assert "backend" in imported_parts(ROOT / "tinyface" / "ops" / "relu.py")
    assert "ops" in imported_parts(ROOT / "tinyface" / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_point_down(file):
    level = LEVEL.get(part_of(file), APPLICATION)
    above = [part for part in imported_parts(file) if LEVEL.get(part, APPLICATION) > level]
    assert not above, f"{part_of(file)} must not import {', '.join(above)}"


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
