"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 500, 60

# Its one statement is the text of a model card.
TEXTS = {"sim/models/training/card.py"}


def _sources() -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix() for top in ("sim", "channels", "tests") for path in (ROOT / top).rglob("*.py")
    )


def _long_functions(tree: ast.AST) -> Iterator[str]:
    """Functions of more lines than fit a screen, docstrings aside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            text = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            of_text = text.end_lineno - text.lineno + 1 if text is not None and text.end_lineno is not None else 0
            if (node.end_lineno or 0) - node.lineno + 1 - of_text > MAX_FUNCTION_LINES:
                yield node.name


def test_files_and_their_functions_are_short():
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in _sources()}
    assert not [name for name, text in texts.items() if len(text.splitlines()) > MAX_FILE_LINES]
    long = {name: list(_long_functions(ast.parse(text))) for name, text in texts.items() if name not in TEXTS}
    assert not {name: found for name, found in long.items() if found}
