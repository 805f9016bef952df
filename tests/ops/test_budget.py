"""References stay short and plain: what makes an operation fast is in tinyface/kernels."""

import re

import pytest
from code_lines import PACKAGE, framework_lines, operations

MOST = {"conv2d": 60, "locally_shared_conv2d": 60}  # lines of code; 40 for all others
FILES = [PACKAGE / "core.py", *(f for folder in ("ops", "nn") for f in (PACKAGE / folder).glob("*.py"))]


@pytest.mark.parametrize(("op", "lines"), operations().items())
def test_code_lines(op, lines):
    assert lines <= MOST.get(op, 40)


def test_lines_of_what_is_read_to_understand_the_framework():
    assert framework_lines() <= 2600


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_nothing_of_how_it_is_made_fast(file):
    words = r"\b(parallel_for|scratch|on_gpu|as_hwnc|load_kernels)\b"
    assert not re.findall(words, file.read_text(encoding="utf-8"))
