"""Which lines of a protocol's file its proof has reached: what no branch of it ran, no enumeration has proved.

While a block is watched, the file's functions run with a mark before each statement. Tracing would serve as well and
takes as long as the proof itself.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

_MARK = "__line_reached__"


class ReachedLines:
    """Lines of the functions of one module that are run within the blocks of ``watching``.

    Args:
        make: A function of that module. It counts even if it never runs, others of the module once they have begun.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        own = inspect.unwrap(make)
        module = sys.modules.get(getattr(own, "__module__", ""))
        self._names: dict[str, Any] = vars(module) if module is not None else {}
        self._reached: set[int] = set()
        self.path = Path(inspect.getfile(own))
        self._functions = {
            function.__code__.co_firstlineno: function
            for function in (own, *self._names.values())
            if isinstance(function, FunctionType) and function.__code__.co_filename == str(self.path)
        }
        self._own = own.__code__.co_firstlineno if isinstance(own, FunctionType) else 0
        self._lines: dict[int, list[int]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of the lines that are reached within the block."""
        try:
            tree = ast.parse(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, SyntaxError):
            yield  # What cannot be read now says nothing, and proves as much as ever.
            return
        self._lines = {first: _mark_statements(node) for first, node in _functions_in(tree)}
        codes = _codes_in(compile(tree, str(self.path), "exec", dont_inherit=True))
        before = {first: function.__code__ for first, function in self._functions.items()}
        self._names[_MARK] = self._reached.add
        try:
            for first, function in self._functions.items():
                # One that closes over names of another function is left as it is.
                if first in codes and codes[first].co_freevars == before[first].co_freevars:
                    function.__code__ = codes[first]
            yield
        finally:
            for first, function in self._functions.items():
                function.__code__ = before[first]
            del self._names[_MARK]

    @property
    def missed(self) -> list[int]:
        """Lines at which a statement begins that no path has reached, ascending."""
        begun = [
            lines for first, lines in self._lines.items() if first == self._own or not self._reached.isdisjoint(lines)
        ]
        return sorted({line for lines in begun for line in lines} - self._reached)


def _functions_in(tree: ast.Module) -> Iterator[tuple[int, ast.FunctionDef]]:
    """Functions of a module with the line at which each begins, decorators included."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield min([node.lineno, *(one.lineno for one in node.decorator_list)]), node


def _mark_statements(function: ast.FunctionDef) -> list[int]:
    """Put a mark before each statement of a function, and return their lines."""
    lines = []
    for node in list(ast.walk(function)):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if not isinstance(block, list):
                continue
            is_documented = isinstance(node, ast.FunctionDef) and name == "body" and ast.get_docstring(node) is not None
            marked = block[:1] if is_documented else []
            for statement in block[len(marked) :]:
                lines.append(statement.lineno)
                mark = ast.Call(ast.Name(_MARK, ast.Load()), [ast.Constant(statement.lineno)], [])
                marked += [ast.fix_missing_locations(ast.copy_location(ast.Expr(mark), statement)), statement]
            setattr(node, name, marked)
    return lines


def _codes_in(module: CodeType) -> Mapping[int, CodeType]:
    """Code of the functions of a module, by the line at which each begins."""
    return {code.co_firstlineno: code for code in module.co_consts if isinstance(code, CodeType)}


def in_words(lines: list[int]) -> str:
    """Line numbers as ``line 7`` or ``lines 7, 9 to 11``."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"{'line' if len(lines) == 1 else 'lines'} {', '.join(texts)}"
