"""Files and folders that appear whole or not at all, whatever kills the process that writes them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sim.core.errors import InputError, RunError

_UNFINISHED = re.compile(r"^\.unfinished-(?P<host>.+)-(?P<pid>\d+)-[A-Za-z0-9_]+$")


def cache_folder() -> Path:
    """Where tapes, calibrations and model facts are kept: ``SPECRAN_CACHE`` or the user's cache folder."""
    from platformdirs import user_cache_path

    path = Path(os.environ.get("SPECRAN_CACHE") or user_cache_path("specran"))
    if path.exists() and not path.is_dir():
        raise InputError(f"SPECRAN_CACHE: {path} is a file; it names the folder of tapes and timings")
    return path


def models_folder() -> Path:
    """Where fetched and converted models are kept: ``SPECRAN_MODELS``, or ``models`` in the cache."""
    path = Path(os.environ.get("SPECRAN_MODELS") or cache_folder() / "models")
    if path.exists() and not path.is_dir():
        raise InputError(f"SPECRAN_MODELS: {path} is a file; it names the folder of fetched models")
    return path


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


def _prefix() -> str:
    """Start of a temporary name; says whose it is, so that what a killed process left can be told."""
    return f".unfinished-{socket.gethostname()}-{os.getpid()}-"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name beside it and rename it when it is complete.

    Raises:
        OSError: The folder cannot be written to, or the disk is full; the old file, if any, is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix())
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files that only their owner may read.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder that vanishes with the block unless it was renamed."""
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=parent, prefix=_prefix()))
    temporary.chmod(0o755)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def take_place(temporary: Path, place: Path) -> None:
    """Rename a folder to its place; an older one there gives way, also to several writers at once."""
    while True:
        try:
            os.rename(temporary, place)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        with unfinished_folder(place.parent) as aside:
            try:
                os.rename(place, aside / "old")
            except FileNotFoundError:
                continue  # Another writer moved it first.


def remove_leftovers(folder: Path) -> int:
    """Remove what processes of this host that are dead by now have left half written; returns how many things."""
    removed = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        owner = _UNFINISHED.match(entry.name)
        if owner and owner["host"] == socket.gethostname() and not _is_alive(int(owner["pid"])):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)
            removed += 1
    return removed


def clean_cache() -> int:
    """Remove what killed processes have left half written in the cache, beside the tape; returns how many things."""
    cache = cache_folder()
    return sum(remove_leftovers(folder) for folder in (cache, *(path for path in cache.glob("*") if path.is_dir())))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def cannot_write(what: str, place: Path, error: OSError) -> RunError:
    """One clear sentence for a full disk, a read-only folder, or whatever else kept a result from being written."""
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.ENOTDIR: "part of that path is a file, not a folder",
        errno.EEXIST: "part of that path is a file, not a folder",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    named = os.environ.get("SPECRAN_CACHE")
    if named and Path(named) in (place, *place.parents):
        reason += "; SPECRAN_CACHE names the folder of tapes and timings"
    return RunError(f"cannot write {what} to {place}: {reason}")
