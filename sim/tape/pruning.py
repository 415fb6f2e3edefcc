"""Keeping the tape within its bound: the least recently used entries go, but none that a running sweep needs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sim.core.errors import InputError
from sim.core.files import locked
from sim.core.unfinished import create_locked, is_abandoned
from sim.tape.store import TapeStore

SIZE_VARIABLE = "SPECRAN_TAPE_MAX_GB"
DEFAULT_MAX_GB = 20.0

_PREFIX, _SUFFIX = "needed-", ".txt"
# What another host has left behind is believed no longer than this.
_FORGOTTEN_S = 30 * 24 * 3600.0


@dataclass(frozen=True)
class PruneResult:
    """What pruning did: entries removed and kept, the bytes that are left, and how many entries are needed now."""

    removed: int
    kept: int
    kept_bytes: int
    needed: int = 0


def max_tape_bytes() -> float:
    """Largest size of the tape in bytes, from the environment variable ``SPECRAN_TAPE_MAX_GB`` (20 by default).

    Raises:
        InputError: The variable is no positive number.
    """
    text = os.environ.get(SIZE_VARIABLE, str(DEFAULT_MAX_GB))
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = 0.0
    if not gigabytes > 0:
        raise InputError(f"{SIZE_VARIABLE}: expected a positive number of gigabytes, got {text!r}")
    return gigabytes * 1e9


@contextmanager
def needed(store: TapeStore, keys: Iterable[str]) -> Iterator[None]:
    """Let nobody prune these entries while the block runs.

    Entries that are on tape when the block begins are there until it ends. Where the tape cannot be written, nothing
    is done: nobody can prune it from here either.

    Args:
        store: Which tape.
        keys: Addresses of the entries, whether they are on tape already or not.
    """
    try:
        with locked(store.folder / "entries"):
            path, descriptor = create_locked(store.folder, _PREFIX, _SUFFIX)
            with open(descriptor, "wb", closefd=False) as file:
                file.write("\n".join(keys).encode())
    except OSError:
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _needed_keys(store: TapeStore) -> set[str]:
    keys: set[str] = set()
    for path in store.folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if is_abandoned(path, _PREFIX, _SUFFIX):
                path.unlink(missing_ok=True)
            elif time.time() - path.stat().st_mtime < _FORGOTTEN_S:
                keys.update(path.read_text(encoding="ascii").split())
    return keys


def prune(store: TapeStore, max_bytes: float) -> PruneResult:
    """Remove the least recently used entries until the rest fits; those that are needed stay in any case.

    Args:
        store: Which tape.
        max_bytes: What may be left.

    Raises:
        OSError: The tape cannot be written.
        RunError: Another process holds the tape's lock and does not let go.
    """
    if not store.folder.is_dir():
        return PruneResult(0, 0, 0)
    store.clean()
    with locked(store.folder / "entries"):
        keys = _needed_keys(store)
        found = sorted(_ages(store, keys), key=lambda entry: (entry.is_needed, entry.used_ns), reverse=True)
        total = kept = 0
        for place, entry in enumerate(found):
            if total + entry.size > max_bytes and not entry.is_needed:
                for old in found[place:]:
                    old.path.unlink(missing_ok=True)
                break
            total += entry.size
            kept += 1
    return PruneResult(len(found) - kept, kept, total, sum(entry.is_needed for entry in found))


@dataclass(frozen=True, slots=True)
class _Age:
    path: Path
    used_ns: int
    size: int
    is_needed: bool


def _ages(store: TapeStore, keys: set[str]) -> Iterator[_Age]:
    for path in store.files():
        with suppress(OSError):  # Another process may have removed it.
            status = path.stat()
            yield _Age(path, status.st_mtime_ns, status.st_size, path.stem in keys)
