"""What is on disk for good: contents of files, and the names that folders hold."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# What a file system answers that cannot exchange two names, or whose folders need no synchronising.
UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF, errno.EXDEV}


def sync_file(path: Path) -> None:
    """Have a file's content on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have a folder's names on disk, where the file system can be asked to."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except (PermissionError, IsADirectoryError):
        return  # Folders cannot be opened everywhere.
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, and have their names on disk.

    Raises:
        OSError: One cannot be made.
    """
    missing = []
    above = folder
    while not above.exists():
        missing.append(above)
        above = above.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)
