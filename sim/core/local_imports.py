"""Which files of a folder a Python module is made of and which it reads, as far as its source shows, running none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache
from importlib.machinery import all_suffixes
from pathlib import Path

# This program's own packages, which have identities of their own even if a user works in their folder.
_NOT_LOCAL = ("sim", "channels")
_IMPORTERS = ("import_module", "__import__")
# Calls that write to the file that they name or that they are called on, and those that make such names.
_WRITERS = {"mkdir", "save", "savefig", "savetxt", "savez", "savez_compressed", "touch", "unlink", "write_bytes"}
_WRITERS |= {"write_text", "to_csv", "to_feather", "to_json", "to_parquet", "to_pickle"}
_NAMERS = {"Path", "absolute", "fspath", "join", "joinpath", "resolve", "str", "with_name", "with_stem", "with_suffix"}
_OPENERS = ("bz2", "codecs", "gzip", "io", "lzma")


def local_files(module: str, path: Path, folder: Path) -> dict[str, Path]:
    """Files by module: the module's own, and those in the folder of its packages and of what it imports, and so on.

    Imports are statements anywhere, and calls of ``import_module`` and ``__import__`` with a name that is written out.

    Args:
        module: Dotted name of the module.
        path: Its file.
        folder: Where top-level names are looked for.
    """
    found = {module: path}
    parts = module.split(".")
    packages = [".".join(parts[:count]) for count in range(1, len(parts))]
    found.update({name: file for name in packages if (file := file_of(folder, name)) is not None})
    waiting = [*found]
    while waiting:
        name = waiting.pop()
        for inner in _imported_names(name, found[name]):
            file = None if inner in found or inner.partition(".")[0] in _NOT_LOCAL else file_of(folder, inner)
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


def file_of(folder: Path, module: str) -> Path | None:
    """The file of a module, None if it is not in the folder."""
    place = folder.joinpath(*module.split("."))
    for path in (place / "__init__", place):
        for suffix in all_suffixes():
            file = path.with_name(path.name + suffix)
            if file.is_file():
                return file
    return None


def files_named(path: Path) -> dict[str, Path]:
    """Files that constants of a module name and that lie where the names say, seen from the module's own file.

    A constant that the code visibly writes to is left out: ``open(name, "w")``, ``Path(name).write_text``.
    """
    try:
        names = _names(path.read_bytes())
    except OSError:
        return {}
    return {name: place for name in names if (place := path.parent / name).is_file() and place != path}


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
        elif isinstance(node, ast.Call) and _name_of(node.func) in _IMPORTERS:
            given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
            texts = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            found.update(dict.fromkeys((len(text) - len(text.lstrip(".")), text.lstrip(".")) for text in texts))
    return tuple(found)


@lru_cache(maxsize=256)
def _names(source: bytes) -> tuple[str, ...]:
    """What may be names of files in a source: its texts, and those that are joined to one path."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found = dict.fromkeys(_texts(tree, False, _only_written(tree)))
    return tuple(name for name in found if name.strip("./") and len(name) < 256 and name.isprintable())


def _texts(node: ast.AST, is_written: bool, outputs: AbstractSet[str]) -> Iterator[str]:
    """Texts below a node.

    Args:
        node: Where to look.
        is_written: Whether the node is the name of a file that is written.
        outputs: Variables that hold such names.
    """
    if isinstance(node, ast.Call):
        is_written = _writes(node, is_written)
    elif isinstance(node, ast.Assign) and all(getattr(target, "id", "") in outputs for target in node.targets):
        is_written = True
    if not is_written:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.BinOp | ast.Call | ast.JoinedStr):
            yield from _joined(node)
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, is_written, outputs)


def _only_written(tree: ast.AST) -> set[str]:
    """Variables that a source uses as names of files to write, and in no other way."""
    uses: dict[str, bool] = {}

    def visit(node: ast.AST, is_written: bool) -> None:
        if isinstance(node, ast.Call):
            is_written = _writes(node, is_written)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            uses[node.id] = uses.get(node.id, True) and is_written
        for child in ast.iter_child_nodes(node):
            visit(child, is_written)

    visit(tree, False)
    return {name for name, is_written in uses.items() if is_written}


def _joined(node: ast.BinOp | ast.Call | ast.JoinedStr) -> Iterator[str]:
    """The path that texts make at the end of ``folder / "a" / "b"``, ``join(folder, "a", "b")``, ``f"{folder}/a"``."""
    parts: list[ast.expr] = []
    inner: ast.expr = node
    while isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Div):
        parts, inner = [inner.right, *parts], inner.left
    if isinstance(node, ast.Call):
        parts = node.args
    elif isinstance(node, ast.JoinedStr):
        parts = node.values
    texts: list[str] = []
    for part in reversed(parts):
        if not (isinstance(part, ast.Constant) and isinstance(part.value, str)):
            break
        texts.insert(0, part.value.lstrip("/"))
    if texts:
        yield "/".join(texts)


def _writes(call: ast.Call, is_written: bool) -> bool:
    """Whether a call writes to what it names, as far as the source shows.

    Args:
        call: The call.
        is_written: Whether what it gives is a name that is written to.
    """
    name = _name_of(call.func)
    if name != "open":
        return name in _WRITERS or (is_written and name in _NAMERS)
    of_path = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") not in _OPENERS
    place = 0 if of_path else 1
    given = [*call.args[place : place + 1], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return bool(modes) and modes[0][:1] in ("w", "a", "x")


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
