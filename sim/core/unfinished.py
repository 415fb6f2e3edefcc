"""Files and folders that are still being written: recognised by their names, locked by the process that writes them.

A writer holds a lock for as long as its file or folder is unfinished, and the system frees the lock when the process
ends, however it ends. A leftover is what nobody holds. Locks are only trusted where they must work: among processes of
one kernel, containers included. What another host may be writing on a shared file system is never removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from sim.core.syncing import make_folder

_PREFIX = ".unfinished-"
_UNKNOWN_BOOT = "0" * 8
_WRITER = r"(?P<host>.+)-(?P<boot>[0-9a-f]{8})-[0-9a-f]{12}"
_NAME = re.compile(rf"^{re.escape(_PREFIX)}{_WRITER}(?P<lock>\.lock)?$")


@contextmanager
def unfinished_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A temporary file that vanishes with the block unless it was renamed.

    Args:
        folder: Where it lies; made if it is missing.

    Yields:
        Its path, and the file, open for writing.

    Raises:
        OSError: The folder cannot be written to.
    """
    make_folder(folder)
    path, descriptor = create_locked(folder, _PREFIX, "")
    with os.fdopen(descriptor, "wb") as file:
        try:
            yield path, file
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder that vanishes with the block unless it was renamed.

    Args:
        parent: Where it lies; made if it is missing.

    Raises:
        OSError: The parent cannot be written to.
    """
    make_folder(parent)
    lock, descriptor = create_locked(parent, _PREFIX, ".lock")
    temporary = lock.with_suffix("")
    try:
        temporary.mkdir()
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def remove_leftovers(folder: Path) -> int:
    """Remove what processes that have ended left half written; returns how many things.

    Left alone is what a living process of this kernel holds, and whatever may belong to another host.
    """
    removed = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        named = _NAME.match(entry.name)
        if named and _may_be_judged(named["host"], named["boot"], Path(entry.path)):
            removed += _remove_unless_held(Path(entry.path), is_lock=named["lock"] is not None)
    return removed


def create_locked(folder: Path, prefix: str, suffix: str) -> tuple[Path, int]:
    """A new file whose lock is held for as long as its descriptor is open.

    Args:
        folder: Where it lies.
        prefix: Start of its name.
        suffix: End of its name; between them it says who writes it.

    Returns:
        Its path and its descriptor, open for reading and writing.

    Raises:
        OSError: The folder cannot be written to.
    """
    while True:
        path = folder / f"{prefix}{socket.gethostname()}-{_boot()}-{secrets.token_hex(6)}{suffix}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            # A process that removes leftovers may have locked the file before this one did.
            if take_lock(descriptor) and os.fstat(descriptor).st_nlink:
                return path, descriptor
        except OSError:
            return path, descriptor  # No locks here, so that nobody can take this one either.
        except BaseException:
            path.unlink(missing_ok=True)  # An interrupt, while the library of locks is imported.
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_abandoned(path: Path, prefix: str, suffix: str) -> bool:
    """Whether the process that made a file by ``create_locked`` has ended; False if that is unknown.

    Args:
        path: The file.
        prefix: Start of its name.
        suffix: End of its name.
    """
    named = re.fullmatch(f"{re.escape(prefix)}{_WRITER}{re.escape(suffix)}", path.name)
    if named is None or not _may_be_judged(named["host"], named["boot"], path):
        return False
    try:
        with path.open("rb+") as file:
            return take_lock(file.fileno())
    except OSError:
        return False


def take_lock(descriptor: int) -> bool:
    """Take a file's lock, unless somebody holds it.

    Raises:
        OSError: The file system has no locks.
    """
    from filelock import lock_descriptor

    return lock_descriptor(descriptor, blocking=False)


def _remove_unless_held(path: Path, is_lock: bool) -> int:
    is_folder = path.is_dir() and not path.is_symlink()
    if is_lock and path.with_suffix("").exists():
        return 0  # Removed along with its folder.
    lock = path.with_name(f"{path.name}.lock") if is_folder else path
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_folder else 0), 0o666)
    except OSError:
        return 0
    try:
        if not take_lock(descriptor) or not os.fstat(descriptor).st_nlink:
            return 0
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        lock.unlink(missing_ok=True)
        return 0 if is_lock else 1
    except OSError:
        return 0
    finally:
        os.close(descriptor)


def _may_be_judged(host: str, boot: str, path: Path) -> bool:
    """Whether a free lock proves that the writer is gone."""
    if boot == _boot() and (boot != _UNKNOWN_BOOT or host == socket.gethostname()):
        return True
    # From before this machine was started; a namesake on a shared file system would have written since.
    return host == socket.gethostname() and _last_change_s(path) < _booted_s()


def _last_change_s(path: Path) -> float:
    latest = float("-inf")
    for found in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(OSError):
            latest = max(latest, found.lstat().st_mtime)
    return latest


@lru_cache(maxsize=1)
def _boot() -> str:
    """Identifies this run of this kernel."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return _UNKNOWN_BOOT
    return text.replace("-", "")[:8]


@lru_cache(maxsize=1)
def _booted_s() -> float:
    """When this kernel was started, in seconds of the file system's clock; minus infinity if it does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return float("-inf")
