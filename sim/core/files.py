"""Files and folders that appear whole or not at all, and stay, whatever kills the process or the machine."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, RunError
from sim.core.syncing import UNSUPPORTED, make_folder, sync_file, sync_folder
from sim.core.unfinished import remove_leftovers, unfinished_file, unfinished_folder

__all__ = [
    "cache_folder",
    "cannot_write",
    "clean_cache",
    "locked",
    "make_folder",
    "no_empty_folders_of",
    "read_json_object",
    "remove_leftovers",
    "sync_file",
    "sync_folder",
    "take_place",
    "takes_no_files",
    "unfinished_folder",
    "update_json_object",
    "write_atomically",
]

# How long somebody may hold a lock that is only ever held for moments.
LOCK_TIMEOUT_S = 60.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def cache_folder() -> Path:
    """Where tapes, calibrations and model metadata are kept: ``SPECRAN_CACHE`` or the user's cache folder."""
    from platformdirs import user_cache_path

    path = _named_folder("SPECRAN_CACHE") or user_cache_path("specran")
    if path.exists() and not path.is_dir():
        raise InputError(f"SPECRAN_CACHE: {path} is a file; it names the folder of tapes and timings")
    return path


def models_folder() -> Path:
    """Where fetched and converted models are kept: ``SPECRAN_MODELS``, or ``models`` in the cache."""
    path = _named_folder("SPECRAN_MODELS") or cache_folder() / "models"
    if path.exists() and not path.is_dir():
        raise InputError(f"SPECRAN_MODELS: {path} is a file; it names the folder of fetched models")
    return path


def _named_folder(variable: str) -> Path | None:
    """The folder that an environment variable names, ``~`` as shells read it; None where it is not set.

    Raises:
        InputError: It begins with a user who has no home here.
    """
    named = os.environ.get(variable)
    try:
        return Path(named).expanduser() if named else None
    except RuntimeError as error:
        raise InputError(f"{variable}: {named}: there is no such user's home folder") from error


@contextmanager
def no_empty_folders_of(*folders: Path) -> Iterator[None]:
    """Take those of these folders away again that were made inside, if an error leaves them empty; innermost first."""
    made = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


def write_atomically(path: Path, data: bytes, is_durable: bool = True) -> None:
    """Write a file under a temporary name beside it and rename it when it is complete.

    Args:
        path: The file.
        data: Its content.
        is_durable: Whether content and name are on disk when this returns. If not, power loss may leave a file that is
            empty or missing: only for content that carries its own hash, and is synchronised later.

    Raises:
        OSError: The folder cannot be written to, or the disk is full; the old file, if any, is untouched.
    """
    with unfinished_file(path.parent) as (temporary, file):
        file.write(data)
        file.flush()
        if is_durable:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    if is_durable:
        sync_folder(path.parent)


def _sync_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(Path(path) / name)
        sync_folder(Path(path))


def take_place(temporary: Path, place: Path) -> None:
    """Rename a folder to its place; one that stands there is exchanged for it, and lies at ``temporary`` afterwards.

    At every moment there is a whole folder at ``place``, where the file system can exchange two names at once.

    Raises:
        OSError: It cannot be renamed, or is gone.
    """
    _sync_tree(temporary)
    while True:
        try:
            os.rename(temporary, place)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        try:
            if exchange_names(temporary, place):
                break
            with unfinished_folder(place.parent) as aside:
                os.rename(place, aside / "old")
        except FileNotFoundError:
            if not temporary.exists():
                raise
            continue  # Another writer moved it first.
    sync_folder(place.parent)


def exchange_names(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done.

    Raises:
        OSError: One is missing, or may not be renamed.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file while the block runs, against all processes that ask for it in this way.

    Args:
        path: What is locked; the lock is a file beside it, which stays.

    Raises:
        RunError: Another process holds it and does not let go.
        OSError: The lock cannot be written.
    """
    from filelock import FileLock, Timeout

    make_folder(path.parent)
    place = path.with_name(f".{path.name}.lock")
    # Where it cannot be made, the library would wait for it all the same.
    os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
    lock = FileLock(place, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(f"another process has held {path} for a minute; is it suspended?") from error
    try:
        yield
    finally:
        lock.release()


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object on disk; an empty one where there is none that can be read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def update_json_object(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a JSON object on disk; what others change at the same time is not lost.

    Args:
        path: The file; one that is missing or damaged counts as an empty object.
        change: From what is there to what is to be there.

    Raises:
        OSError: It cannot be written.
    """
    with locked(path):
        write_atomically(path, json.dumps(change(read_json_object(path)), sort_keys=True).encode())


def clean_cache() -> int:
    """Remove what killed processes have left half written in the cache, beside the tape; returns how many things."""
    cache = cache_folder()
    return sum(remove_leftovers(folder) for folder in (cache, *(path for path in cache.glob("*") if path.is_dir())))


def takes_no_files(folder: Path) -> bool:
    """Whether no file can be made in a folder, or in the nearest one above it that is there, but for lack of room."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return False
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)


def cannot_write(what: str, place: Path, error: OSError) -> InputError | RunError:
    """One clear sentence for a full disk, a read-only folder, or whatever else kept a result from being written.

    Args:
        what: What was to be written.
        place: Its file or folder.
        error: What the system said.

    Returns:
        What to raise: wrong input where no file can be made at that place, whatever is written.
    """
    is_refused = takes_no_files(place)
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.ENOTDIR: "part of that path is a file, not a folder",
        errno.EEXIST: "part of that path is a file, not a folder",
        errno.ENOENT: "no file can be made there"
        if is_refused
        else "a file or folder of it was removed while it was being written",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    named = _named_folder("SPECRAN_CACHE")
    if named and named in (place, *place.parents):
        reason += "; SPECRAN_CACHE names the folder of tapes and timings"
    return (InputError if is_refused else RunError)(f"cannot write {what} to {place}: {reason}")
