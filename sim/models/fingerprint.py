"""Content hashes of model files, so that a result names the weights it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

BLOCK = 1 << 22


FileState = tuple[int, int, int, int]
"""Size, times of modification and of change, inode."""


def file_state(path: Path) -> FileState:
    """Another one as soon as a file's content may have changed.

    Time of modification and size can be those of before, as after ``cp -p`` or ``touch -r``; the time of change cannot
    be set, and where a file has taken another's place the inode differs.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def file_digest(path: Path) -> str:
    """SHA-256 of a file; computed once per path and state."""
    return _file_digest(str(path.resolve()), file_state(path))


@lru_cache(maxsize=1024)
def _file_digest(path: str, state: FileState) -> str:  # noqa: ARG001
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def combine(parts: Iterable[Any]) -> str:
    """One hash of several parts."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


@lru_cache(maxsize=8)
def library_versions(*packages: str) -> str:
    """Names and versions of those packages that are installed."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
