"""The documentation is true: its Python runs and prints what it says, its commands and names exist.

A block of Python is run, after the ones before it on the page. What it prints must be what its comments
`# -> …` say. The first line may give it another meaning:

    # from PATH        a quotation: these lines stand in that file
    # new file PATH    the whole content of a new file
    # into PATH        lines that belong into a file, between neighbours that are there already

A block of CUDA is a quotation where it begins with `// from PATH`.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tinyface.faces.cli import CONTEXT, cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("weights/*.md"))
]
every_page = pytest.mark.parametrize("page", sorted(PAGES))

END_OF_BLOCK = "<end of block>"
MARKERS = "from", "new file", "into"


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    """The contents of a page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def marked(page, marker, language="python", comment="#"):
    """(path, content) of the blocks that begin with `# marker path`."""
    for block in blocks(page, language):
        first, _, content = block.partition("\n")
        if first.startswith(f"{comment} {marker} "):
            yield first.removeprefix(f"{comment} {marker} "), content


def programs(page):
    """The blocks that are run as they stand."""
    return [b for b in blocks(page, "python") if not b.startswith(tuple(f"# {m} " for m in MARKERS))]


def promised(block):
    """What a block says that it prints."""
    return [line.split("# -> ")[1] for line in block.splitlines() if "# -> " in line]


@pytest.fixture
def workshop(tmp_path):
    """workshop(page): a copy of the project with what the page adds to it, and a function that runs Python there."""

    def build(page):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tinyface", tmp_path / "tinyface", ignore=unwanted)
        for folder in ("ops", "helpers"):
            (tmp_path / "tests" / folder).mkdir(parents=True)
        tests = "tests/conftest.py", "tests/helpers/op_table.py", "tests/ops/test_table.py"
        for name in ("cli.py", "pyproject.toml", *tests):
            shutil.copy(ROOT / name, tmp_path / name)
        for path, content in marked(page, "new file"):
            assert not (tmp_path / path).exists(), f"{path} is not new"
            (tmp_path / path).write_text(content, encoding="utf-8")
        for path, content in marked(page, "into"):
            insert(tmp_path / path, content)

        def python(*arguments):
            path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
            environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run(
                [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        return python

    return build


def insert(path, content):
    """Put lines between neighbours: those of them that the file has already must follow one another there."""
    text = path.read_text(encoding="utf-8")
    lines = content.splitlines(keepends=True)
    known = [line for line in lines if f"\n{line}" in text]
    assert 0 < len(known) < len(lines), (
        f"{path.name} should have some of these lines, not none or all:\n{content}"
    )
    assert text.count("".join(known)) == 1, f"{path.name} does not have these lines side by side: {known}"
    path.write_text(text.replace("".join(known), content), encoding="utf-8")


# ---------------------------------------------------------------- Python


@every_page
def test_programs_print_what_the_page_says(page, workshop):
    if not programs(page):
        return
    python = workshop(page)
    script = "".join(f"{block}\nprint({END_OF_BLOCK!r})\n" for block in programs(page))
    *outputs, rest = python("-c", script).split(f"{END_OF_BLOCK}\n")
    assert rest == ""
    for block, output in zip(programs(page), outputs, strict=True):
        assert output.splitlines() == promised(block), f"{page}, in the block\n{block}"


@every_page
def test_quotations_are_exact(page):
    for path, content in marked(page, "from"):
        assert content in (ROOT / path).read_text(encoding="utf-8"), f"{page} quotes of {path}\n{content}"


@every_page
def test_quotations_of_kernels_are_exact(page):
    for path, content in marked(page, "from", "cuda", "//"):
        assert content in (ROOT / path).read_text(encoding="utf-8"), f"{page} quotes of {path}\n{content}"


ADDING = "docs/add-an-op.md"


def test_the_new_operation_has_right_gradients(workshop):
    assert "softplus" in workshop(ADDING)("cli.py", "gradcheck", "softplus")


TABLE = "-m", "pytest", "tests/ops/test_table.py", "-k", "softplus or registered or every"


def test_the_new_operation_passes_its_tests(workshop):
    printed = workshop(ADDING)(*TABLE, "-m", "not reference")
    assert "failed" not in printed and "." in printed


@pytest.mark.reference
def test_the_new_operation_equals_pytorch(workshop):
    pytest.importorskip("torch")
    assert "failed" not in workshop(ADDING)(*TABLE, "-m", "reference")


@pytest.mark.gpu
@pytest.mark.slow
def test_the_new_operation_on_a_gpu(workshop):
    assert "failed" not in workshop(ADDING)(
        *TABLE[:-1], "softplus", "-m", "not reference", "--device", "cuda"
    )


# ---------------------------------------------------------------- commands, names, links


@cache
def commands():
    """The commands by name."""
    return cli.commands


def command_lines(page):
    """The words of each command in a page's shell blocks, up to a redirection."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            yield words[: next((i for i, word in enumerate(words) if word in (">", "|")), None)]


@every_page
def test_commands_exist(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in command_lines(page):
        if words[:1] == ["make"]:
            assert set(words[1:2]) <= set(targets), f"{page}: {shlex.join(words)}"
        elif "cli.py" in words:
            name, *arguments = words[words.index("cli.py") + 1 :] or [""]
            if name.startswith("-"):
                continue
            assert name in commands(), f"{page}: {shlex.join(words)}"
            # Raises where an option is unknown or a value wrong. Click keeps the names of the help option.
            commands()[name].make_context(name, arguments, **CONTEXT)


def test_make_help_lists_every_target():
    command = ["make", "--no-print-directory", "help"]  # it would print that under another make
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [targets] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line.split()[0] for line in listed.splitlines()] == targets.split()
    assert all(len(line.split()) > 2 for line in listed.splitlines())


@cache
def names_in(path):
    """Everything that a Python file defines: names of its own, and Class.method."""
    names = set()

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                inner = (name for target in targets for name in ast.walk(target))
                names.update(prefix + name.id for name in inner if isinstance(name, ast.Name))

    visit(ast.parse((ROOT / path).read_text(encoding="utf-8")).body, "")
    return names


@every_page
def test_files_and_names_exist(page):
    """`tinyface/core.py` and `tinyface/core.py: Tensor.backward`, wherever a page mentions one in backquotes."""
    added = {path for path, _ in marked(page, "new file")}
    mentions = re.findall(r"`((?:tinyface|tests|benchmarks)/[\w/.]+\.py)(?:: ([\w.]+))?`", text_of(page))
    for path, name in mentions:
        if path in added:
            continue
        assert (ROOT / path).is_file(), f"{page}: there is no {path}"
        assert not name or name in names_in(path), f"{page}: there is no {name} in {path}"


def test_the_map_of_the_paper_names_something_in_every_row():
    page = "docs/paper-to-code.md"
    built = text_of(page).split("## Not built yet")[0]
    rows = [
        line
        for line in built.splitlines()
        if line.startswith("| ") and not line.startswith(("| paper", "| question"))
    ]
    assert len(rows) > 40
    for row in rows:
        assert re.search(r"`tinyface/[\w/.]+\.py: [\w.]+`", row), row


@every_page
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    anchors = {
        re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, f"{page}: there is no heading for {target}"
        elif not re.match(r"https?:", target):
            path = (ROOT / page).parent / target.split("#")[0]
            assert path.exists(), f"{page}: the link {target} leads nowhere"
