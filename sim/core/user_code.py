"""Code of a user's own, which scenarios name as ``module:Name``: where it is looked for, and whether it may run.

A module is looked for beside the scenario's file, then in the working folder, then among installed packages. Its code
runs when something of it is asked for by a run, never when a scenario is only checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from sim.core.errors import InputError, RunError, shortened
from sim.core.local_imports import file_of, local_files
from sim.core.own_imports import data_files_of_module, module_in_use, nothing_watched, watch

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_beside: ContextVar[Path | None] = ContextVar("beside", default=None)
_may_run: ContextVar[bool] = ContextVar("may_run", default=True)


@dataclass(frozen=True)
class UserModule:
    """A top-level module or package that was loaded from a user's folder.

    Attributes:
        path: Its file.
        content_hash: SHA-256 of the file, of what it imports from the same folder and of what these read, when it was
            loaded.
        inner: Dotted names of modules within the package that were asked for, whose files count likewise.
    """

    path: Path
    content_hash: str
    inner: tuple[str, ...] = ()


_loaded: dict[str, UserModule] = {}
_trusted = False


def is_user_name(text: str) -> bool:
    """Whether a text is the name of something of a user's own, ``package.module:Name``."""
    return _NAME.fullmatch(text) is not None


class UserCodeError(Exception):
    """A user's module that cannot be found or loaded; the text says why."""


@contextmanager
def modules_beside(folder: Path) -> Iterator[None]:
    """Look for modules in this folder first."""
    token = _beside.set(folder.resolve())
    try:
        yield
    finally:
        _beside.reset(token)


@contextmanager
def user_code_not_run() -> Iterator[None]:
    """Import nothing of a user's own within the block."""
    token = _may_run.set(False)
    try:
        yield
    finally:
        _may_run.reset(token)


def user_code_may_run() -> bool:
    """Whether a user's own modules are imported when something of them is asked for."""
    return _may_run.get()


@contextmanager
def exits_are_failures() -> Iterator[None]:
    """A user's own code that ends the program within the block, by ``sys.exit``, has failed, whatever code it gives.

    Raises:
        RunError: It did.
    """
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None  # The command line's own exit, whose reader has gone.
        raise RunError(_exit_message(error)) from error


def trust_remote_code(trusted: bool) -> None:
    """Say whether checkpoints may bring code of their own, for this process and the workers that it starts.

    No scenario can say so: a file that someone else has written must not make a checkpoint's code run.
    """
    global _trusted  # noqa: PLW0603 -- one decision of the user, for the whole process
    _trusted = trusted


def remote_code_is_trusted() -> bool:
    """Whether checkpoints may bring code of their own."""
    return _trusted


@contextmanager
def user_code_forgotten() -> Iterator[None]:
    """Begin the block without a user's own modules and without trust; what was known before counts again afterwards."""
    global _trusted  # noqa: PLW0603 -- see ``trust_remote_code``
    before, trusted = dict(_loaded), _trusted
    _loaded.clear()
    _trusted = False
    try:
        with nothing_watched():
            yield
    finally:
        _loaded.clear()
        _loaded.update(before)
        _trusted = trusted


def find_module(name: str) -> Path | None:
    """The file that a module's top-level package would be loaded from, without loading it; None if it has no file.

    Args:
        name: Dotted name of the module.

    Raises:
        UserCodeError: There is no such module.
    """
    _check_name(name)
    top = name.partition(".")[0]
    spec = _spec_in_folders(top)
    if spec is None:
        known = _loaded.get(top)
        if known is not None:
            return known.path
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)
    if spec is None:
        raise UserCodeError(f"no module {top!r} in {' or '.join(str(folder) for folder in _folders())}")
    return _file_of(spec)


def load_module(name: str) -> ModuleType:
    """Import a module of a user's own; one whose file has changed since is loaded anew.

    Args:
        name: Dotted name of the module.

    Raises:
        UserCodeError: It cannot be found, fails when it is imported, or another file of its name is in use.
    """
    _check_name(name)
    top = name.partition(".")[0]
    spec = _spec_in_folders(top)
    known = _loaded.get(top)
    if spec is not None and not (known is not None and _beside.get() is None):
        path = _file_of(spec)
        if path is not None and not _is_in_use(top, path, known):
            _load(top, spec, path)
    if (own := _loaded.get(top)) is not None and name not in (top, *own.inner):
        watch(name, None, _folder_of(own.path))
        _loaded[top] = replace(own, inner=(*own.inner, name))
        _loaded[top] = replace(_loaded[top], content_hash=_hash_of(top, own.path))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserCodeError(_failure(error)) from error


def data_files_of(module: str) -> dict[str, Path]:
    """Files that a module of a user's, and those that it imports, read, by module and name.

    Those beside it that it names by constants are seen; others it lists as ``DATA_FILES``, names beside its own file.

    Args:
        module: Dotted name of a loaded module.

    Raises:
        InputError: One is not there.
    """
    found = {}
    for name, path in files_of(module).items():
        for file, place in data_files_of_module(name, path).items():
            found[f"{name}/{Path(file).name if os.path.isabs(file) else file}"] = place
            if not place.is_file():
                raise InputError(f"{path}: DATA_FILES names {file!r}, and there is no such file beside it")
    return found


def files_of(module: str) -> dict[str, Path]:
    """Files of a loaded module by module: its own, and those that it imports from the same folder of a user's.

    Args:
        module: Dotted name.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return {}
    known = _loaded.get(module.partition(".")[0])
    path = Path(file)
    return {module: path} if known is None else local_files(module, path, _folder_of(known.path))


def user_modules() -> dict[str, UserModule]:
    """What was loaded from users' folders so far, by top-level name."""
    return dict(_loaded)


def adopt_module(name: str, origin: Path) -> None:
    """Take a module for the user's that a cluster has brought here, whatever lies in this process's folder.

    Args:
        name: Dotted name of the module, which can be imported.
        origin: Its file where it was brought from.
    """
    top = name.partition(".")[0]
    file = importlib.import_module(top).__file__
    assert file is not None
    path = Path(file).absolute()
    watch(top, path, _folder_of(path), _folder_of(origin))
    _loaded[top] = UserModule(path, _hash_of(top, path))


def restore_user_modules(modules: Mapping[str, UserModule]) -> None:
    """Load in this process, from the same files, what another one has loaded.

    Raises:
        UserCodeError: One cannot be loaded here.
    """
    for top, module in modules.items():
        spec = PathFinder.find_spec(top, [str(_folder_of(module.path))])
        if spec is None:
            raise UserCodeError(f"no module {top!r} in {_folder_of(module.path)}")
        _load(top, spec, module.path)


def _check_name(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserCodeError(
            f"{name!r} is no name of a module: that of my_protocols.py is my_protocols, and it stands beside the "
            "scenario or in the working folder"
        )


def _folders() -> list[Path]:
    beside, here = _beside.get(), Path(os.getcwd())
    return [here] if beside is None or beside == here else [beside, here]


def _spec_in_folders(top: str) -> ModuleSpec | None:
    if not top.isidentifier():
        return None
    for folder in _folders():
        spec = PathFinder.find_spec(top, [str(folder)])
        # A folder without __init__.py is no package of the user's, such as one of results.
        if spec is not None and spec.origin is not None:
            return spec
    return None


def _file_of(spec: ModuleSpec) -> Path | None:
    return Path(spec.origin).absolute() if spec.origin and spec.has_location else None


def _folder_of(path: Path) -> Path:
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _is_in_use(top: str, path: Path, known: UserModule | None) -> bool:
    """Whether the module is loaded from this file, as the file is now.

    Raises:
        UserCodeError: It is loaded from another file.
    """
    if known is None:
        present = sys.modules.get(top)
        if present is None:
            return False
        file = getattr(present, "__file__", None)
        if file is not None and Path(file).resolve() == path.resolve():
            watch(top, path, _folder_of(path))
            _loaded[top] = UserModule(path, _hash_of(top, path))
            return True
        raise UserCodeError(f"{path} has the name of {file or 'a built-in module'}, which is in use; rename it")
    if known.path != path:
        raise UserCodeError(f"module {top!r} is in use from {known.path}, so {path} cannot be; rename one of them")
    return known.content_hash == _hash_of(top, path)


def _load(top: str, spec: ModuleSpec, path: Path) -> None:
    _forget(top, path)
    if (other := module_in_use(_files_in_use(top, path))) is not None:
        raise UserCodeError("module {!r} is in use from {}, so {} cannot be; rename one of them".format(*other))
    watch(top, path, _folder_of(path))
    folder = str(_folder_of(path))
    if folder not in sys.path:
        # Last: what it imports in turn may stand beside it, but shadows nothing that is installed.
        sys.path.append(folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[top] = module
    before, data = _hash_of(top, path), _data_of(top, path)
    try:
        assert spec.loader is not None
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[top]
        raise UserCodeError(_failure(error, path)) from error
    # All data files are known now; else what was hashed before a file could change is what was loaded.
    loaded = before if _data_of(top, path) == data else _hash_of(top, path)
    _loaded[top] = replace(_loaded.get(top, UserModule(path, "")), content_hash=loaded)


def _forget(top: str, path: Path) -> None:
    """Have a module, what lies in it and what it imports from its folder imported anew at the next use."""
    if top not in sys.modules:
        return  # What another module has imported of them stays as it is.
    files = _files_in_use(top, path)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        is_local = name in files and file is not None and Path(file).resolve() == files[name].resolve()
        if is_local or name == top or name.startswith(f"{top}."):
            del sys.modules[name]


def _files_in_use(top: str, path: Path) -> dict[str, Path]:
    """Files by module of a top-level module, and of those modules within it that were asked for."""
    folder = _folder_of(path)
    found = local_files(top, path, folder)
    known = _loaded.get(top)
    for name in () if known is None else known.inner:
        file = file_of(folder, name)
        found.update({} if file is None else local_files(name, file, folder))
    return found


def _hash_of(top: str, path: Path) -> str:
    """Hash of a module's files, and of the data that they read."""
    files = [file for _, file in sorted(_files_in_use(top, path).items())]
    parts = [content_hash(file) for file in [*files, *_data_of(top, path)] if file.is_file()]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def content_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _data_of(top: str, path: Path) -> list[Path]:
    """Data files of a module and of those that it imports, as far as they are known."""
    files = sorted(_files_in_use(top, path).items())
    return [place for name, file in files for place in data_files_of_module(name, file).values()]


def _failure(error: BaseException, path: Path | None = None) -> str:
    """What went wrong, with the line of the user's file at which it did."""
    if isinstance(error, InputError):
        return str(error)
    where = "" if path is None else f"{path}: "
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}:{error.lineno}: "
    elif path is not None:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(path):
                where = f"{path}:{trace.tb_lineno}: "
            trace = trace.tb_next
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    return f"{where}{kind}{getattr(error, 'msg', None) or error}"


def _exit_message(error: SystemExit) -> str:
    """Where a user's own code has ended the program."""
    folders, place = [_folder_of(module.path) for module in _loaded.values()], ""
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if any(folder in file.parents for folder in folders):
            place = f"{file}:{trace.tb_lineno}: "
        trace = trace.tb_next
    code = "" if error.code is None else shortened(error.code)
    return f"{place}own code ends the program by sys.exit({code}); raise an error that says what is wrong"
