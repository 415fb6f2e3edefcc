"""Imports that users' own code makes while it runs, of files that its source does not show: they are refused."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

from typing_extensions import override

from sim.core.errors import InputError
from sim.core.local_imports import file_of, files_named, local_files

# By dotted name: file, and the folder where its top-level name was looked for.
_watched: dict[str, tuple[Path, Path]] = {}
# Where the same modules lie on the machine that has brought them here.
_origins: set[Path] = set()
_installed: list[Path] = []
_LIBRARIES = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def watch(module: str, path: Path | None, folder: Path, origin: Path | None = None) -> None:
    """Refuse from now on what a module, and what it imports from its folder, imports of that folder unseen.

    Args:
        module: Dotted name.
        path: Its file, None to look for it in the folder.
        folder: Where top-level names are looked for.
        origin: Folder that the module was brought from; what lies there is the user's, too.
    """
    path = path or file_of(folder, module)
    if path is None:
        return
    if _FINDER not in sys.meta_path:
        _installed[:] = [Path(place).resolve() for place in sys.path]
        sys.meta_path.insert(0, _FINDER)
    _watched[module] = path, folder
    if origin is not None:
        _origins.add(origin)


@contextmanager
def nothing_watched() -> Iterator[None]:
    """Begin the block without any module; those of before are watched again afterwards."""
    before = dict(_watched)
    _watched.clear()
    try:
        yield
    finally:
        _watched.clear()
        _watched.update(before)


def data_files_of_module(module: str, path: Path) -> dict[str, Path]:
    """Files that a module reads, by what it calls them: its constants, and ``DATA_FILES`` once it is loaded."""
    listed = getattr(sys.modules.get(module), "DATA_FILES", ())
    names = [listed] if isinstance(listed, str) else listed
    return {**files_named(path), **{str(file): path.parent / str(file) for file in names}}


def module_in_use(own: Mapping[str, Path]) -> tuple[str, Path, Path] | None:
    """A module that is loaded from another file than it would be for own code: name, its file, own code's file.

    Args:
        own: Files of own code by module.
    """
    for name, path in own.items():
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and not _is_installed(Path(file)) and not _is_same(path, Path(file)):
            return name, Path(file), path
    return None


class _Finder(MetaPathFinder):
    """Finds nothing itself; the others on ``sys.meta_path`` do."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folders = {folder for _, folder in _watched.values()} | _origins
        places = list(sys.path if path is None else path)
        if any(_is_local(_spots(str(place), os.getcwd()), folder) for place in places for folder in folders):
            spec = PathFinder.find_spec(fullname, places)
            file = None if spec is None or not spec.has_location else Path(spec.origin or "")
            if file is not None and not _is_installed(file):
                spots = _spots(str(file), os.getcwd())
                _refuse_unseen(fullname, file, [folder for folder in folders if _is_local(spots, folder)])
        return None


_FINDER = _Finder()


@lru_cache(maxsize=4096)
def _spots(place: str, here: str) -> tuple[Path, Path]:
    """Where a file or folder lies by its name, and where what it may be a link to does."""
    path = Path(os.path.abspath(os.path.join(here, place)))
    return path, path.resolve()


def _is_local(spots: Sequence[Path], folder: Path) -> bool:
    """Whether a place lies in a user's folder, and not in one within it where modules are installed."""
    inner = [one for one in _installed if one != folder and one.is_relative_to(folder)]
    return any(one.is_relative_to(folder) and not any(map(one.is_relative_to, inner)) for one in spots)


def _is_installed(file: Path) -> bool:
    path = file.resolve()
    return any(map(path.is_relative_to, _LIBRARIES)) or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _refuse_unseen(name: str, file: Path, folders: list[Path]) -> None:
    """Refuse an import by own code of a file that does not count.

    Args:
        name: Dotted name.
        file: What would be imported.
        folders: Those of a user's that it lies in.

    Raises:
        InputError: It is one.
    """
    own: dict[str, Path] = {}
    for module, (path, folder) in _watched.items():
        own.update(local_files(module, path, folder))
    known = own.get(name)
    if known is None and not folders:
        return
    read = [place for one, path in own.items() for place in data_files_of_module(one, path).values()]
    frame = _frame_in(own)
    if frame is None or any(_is_same(place, file) for place in [*read, *filter(None, [known])]):
        return
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    if known is not None:
        raise InputError(f"{where}: {name!r} is imported from {file}, not from {known}; rename one of them")
    beside, folder = Path(frame.f_code.co_filename).parent, max(folders, key=lambda one: len(one.parts))
    listed = os.path.relpath(file, beside if beside.is_relative_to(folder) else folder)
    raise InputError(
        f"{where}: {name!r} is imported from {listed} in a way that the source does not show, so that a change of it "
        f"would go unseen: write an import statement, or list {listed!r} in DATA_FILES"
    )


def _is_same(known: Path, file: Path) -> bool:
    """Whether a file is the one that is known, or a copy of it."""
    return known.is_file() and (known.resolve() == file.resolve() or known.read_bytes() == file.read_bytes())


def _frame_in(own: dict[str, Path]) -> FrameType | None:
    """The innermost call of own code that is under way, None if it is others that import."""
    files = {str(path) for path in own.values()} | {getattr(sys.modules.get(name), "__file__", None) for name in own}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in files:
        frame = frame.f_back
    return frame
