"""What no test does: reach around the public names of what it tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def _forced(tree: ast.AST) -> Iterator[str]:
    """Calls that set a frozen, or a private, attribute of something."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "__setattr__":
            yield f"line {node.lineno}: __setattr__"
        if node.func.attr in ("setattr", "delattr", "setitem"):
            names = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if names and names[0].rpartition(".")[2].startswith("_"):
                yield f"line {node.lineno}: {names[0]}"


def test_no_test_forces_an_attribute_that_is_frozen_or_private():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(TESTS.rglob("*.py"))}
    assert not [f"{path.relative_to(TESTS)}: {line}" for path, tree in trees.items() for line in _forced(tree)]


@pytest.mark.parametrize(
    "line", ['object.__setattr__(deps, "receiver", x)', 'patch.setattr(store, "_lock", x)', 'patch.setattr("a._b", x)']
)
def test_the_check_finds_such_a_line(line: str):
    assert list(_forced(ast.parse(line)))
