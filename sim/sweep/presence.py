"""Who else is at work on a sweep's folder: a file per process while it lasts, and a line for the next one."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sim.core.syncing import make_folder

_PREFIX = ".in-use-"
# After that long the file of a process on another host is one that its process could not take away.
_LONGEST_S = 7 * 86_400.0


@contextmanager
def announced(folder: Path) -> Iterator[None]:
    """Tell other processes within the block that this one works on a folder, and the user which of them do.

    Args:
        folder: The sweep's folder, made if it is not there. One that cannot be written is left to those who write it.
    """
    own = folder / f"{_PREFIX}{socket.gethostname()}-{os.getpid()}"
    try:
        for other in others_in(folder):
            print(f"specran: {other}", file=sys.stderr, flush=True)
        with suppress(OSError):
            make_folder(folder)
            own.touch()
        yield
    finally:
        with suppress(OSError):
            own.unlink(missing_ok=True)


def others_in(folder: Path) -> list[str]:
    """A sentence for each other process that works on a folder; files that dead ones have left are taken away."""
    found = []
    for path in sorted(folder.glob(f"{_PREFIX}*")):
        host, _, pid = path.name.removeprefix(_PREFIX).rpartition("-")
        with suppress(OSError, ValueError):
            since_s = path.stat().st_mtime
            is_own_host = host == socket.gethostname()
            if is_own_host and int(pid) == os.getpid():
                continue
            if _runs(int(pid)) if is_own_host else time.time() - since_s < _LONGEST_S:
                since = time.strftime("%Y-%m-%d %H:%M", time.localtime(since_s))
                found.append(
                    f"process {pid} on {host} has been working on this sweep since {since}, and shares what it decodes "
                    f"but not its points: stop one of them, and --resume takes over what is finished ({folder})"
                )
            else:
                path.unlink(missing_ok=True)
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # Someone else's.
    return True
