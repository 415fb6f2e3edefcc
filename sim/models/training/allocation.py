"""Memory that training frees stays with the process, for the next step to use."""

from __future__ import annotations

import ctypes
import sys

# mallopt(3) of glibc: what to set, and how far.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER, _STEP_BYTES = 2**31 - 1, 1 << 28


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed and take more of it at once; elsewhere nothing happens.

    A training step frees and asks for hundreds of tensors of megabytes each. By default each of them is mapped anew and
    its pages are zeroed at first touch, which was half of a step's time on a virtual machine.

    Returns:
        Whether it does.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _STEP_BYTES))
    return all(mallopt(which, value) == 1 for which, value in settings)
