"""How long each operation is: code lines of its reference and of its kernels, comments and docstrings not counted.

    python benchmarks/code_lines.py

Prints a table in Markdown (docs/kernels.md), and the lines of core, ops, nn, optim and gradcheck, all of them counted.
"""

import ast
import io
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "tinyface"
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
# Files that kernels of several operations share.
PARTS = {
    "cpu": {"conv2d": ("im2col", "winograd", "shift_and_add")},
    "cuda": {"conv2d": ("winograd", "tf32", "matmul")},
}


def code_lines(path):
    """Lines of a Python file that hold code."""
    text = path.read_text(encoding="utf-8")
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            docstrings.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def operations():
    """{operation: lines of its reference}."""
    files = sorted((PACKAGE / "ops").glob("*.py"))
    return {f.stem: code_lines(f) for f in files if f.stem not in ("__init__", "windows")}


def framework_lines():
    """Lines of core, ops, nn, optim and gradcheck, comments and docstrings included."""
    files = [PACKAGE / f"{name}.py" for name in ("core", "optim", "gradcheck")]
    files += [f for folder in ("ops", "nn") for f in (PACKAGE / folder).glob("*.py")]
    return sum(len(f.read_text(encoding="utf-8").splitlines()) for f in files)


def main():
    print("| operation | reference | CPU kernel | CUDA kernel |\n|---|---|---|---|")
    for op, lines in operations().items():
        kernels = []
        for device in ("cpu", "cuda"):
            files = [PACKAGE / "kernels" / device / f"{name}.py" for name in (op, *PARTS[device].get(op, ()))]
            kernels.append(sum(code_lines(f) for f in files if f.is_file()) or "")
        print(f"| {op} | {lines} | {kernels[0]} | {kernels[1]} |")
    print(f"\ncore, ops, nn, optim, gradcheck: {framework_lines()} lines with comments and docstrings")


if __name__ == "__main__":
    main()
