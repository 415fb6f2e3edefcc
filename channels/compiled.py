"""Functions compiled by numba, which takes a while to be imported: import modules that use it where they are needed.

Compiled arithmetic is that of IEEE 754, operation by operation: nothing is reordered or fused, so that results are
those of the same steps in NumPy or plain Python. Where NumPy has its own way (sines, complex and matrix products),
NumPy does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile at the first call, or read what another process has compiled from numba's cache."""
    try:
        return cast(_Function, numba.njit(cache=True)(function))
    except RuntimeError:  # neither a folder beside this file nor one of the user's may be written
        return cast(_Function, numba.njit(function))
