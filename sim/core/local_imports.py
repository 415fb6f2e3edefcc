"""Which files of a folder a Python module is made of: its own, and those that it imports, found without running any."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

# This program's own packages, which have identities of their own even if a user works in their folder.
_NOT_LOCAL = ("sim", "channels")


def local_files(module: str, path: Path, folder: Path) -> dict[str, Path]:
    """Files by module: the module's own and, of what it imports anywhere and so on, those that lie in the folder.

    Args:
        module: Dotted name of the module.
        path: Its file.
        folder: Where top-level names are looked for.
    """
    found = {module: path}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        for inner in _imported_names(name, found[name]):
            file = None if inner in found or inner.partition(".")[0] in _NOT_LOCAL else _file_of(folder, inner)
            if file is not None:
                found[inner] = file
                waiting.append(inner)
    return found


def _imported_names(module: str, path: Path) -> Iterator[str]:
    """Whatever a module's import statements may mean, packages before what lies in them."""
    try:
        imports = _imports(path.read_bytes())
    except OSError:
        return
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for level, name in imports:
        start = package[: len(package) - level + 1] if level else []
        parts = [*start, *filter(None, name.split("."))]
        for count in range(1, len(parts) + 1):
            yield ".".join(parts[:count])


def _file_of(folder: Path, module: str) -> Path | None:
    place = folder.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=256)
def _imports(source: bytes) -> tuple[tuple[int, str], ...]:
    """The names that a source imports, each with the number of dots before it.

    Of ``from a import b`` it is ``a.b``, as ``b`` may be a module.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found: dict[tuple[int, str], None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys((0, alias.name) for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            found.update(dict.fromkeys((node.level, f"{node.module or ''}.{alias.name}") for alias in node.names))
    return tuple(found)
