"""Functions compiled by numba, which takes a while to be imported: import modules that use it where they are needed.

Compiled arithmetic is that of IEEE 754, operation by operation: nothing is reordered or fused, so that results are
those of the same steps in NumPy or plain Python, but for the sums of a function that says otherwise. Where NumPy has
its own way (sines, complex and matrix products), NumPy does it.

Compiled code is kept on disk for other processes, and used only if it is whole and right. Numba alone would take code
whose callees in other files or whose constants have changed since, end at a file that a loss of power has cut off or at
a full disk, and, after two processes that began together, find code for arguments of other types.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache
from typing_extensions import override

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile at the first call, or read what another process has compiled."""
    return _kept_on_disk(function, numba.njit(function))


def compiled_reordering(function: _Function) -> _Function:
    """The same for a function whose sums may be taken in another order, in which this processor is fast."""
    return _kept_on_disk(function, numba.njit(function, fastmath={"reassoc", "nsz"}))


def _kept_on_disk(function: _Function, dispatcher: Any) -> _Function:
    if hasattr(dispatcher, "_cache"):  # What is not to be compiled at all (NUMBA_DISABLE_JIT) is the function itself.
        # Neither a folder beside the file nor one of the user's may be written: then it is compiled in each process.
        with suppress(RuntimeError, OSError):
            dispatcher._cache = _CheckedCache(function)  # type: ignore[no-untyped-call]
    return cast(_Function, dispatcher)


class _CheckedCache(FunctionCache):
    """Numba's cache of one function, without which everything is compiled and nothing is wrong."""

    @override
    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code for arguments of these types, None if there is none that can be used."""
        try:
            self._cache_file._source_stamp = stamp_of(self._py_func)
            found = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # whatever unpickling half a file may raise
            return None
        wanted = sig if isinstance(sig, tuple) else sig.args
        return found if found is not None and tuple(found.signature.args) == tuple(wanted) else None

    @override
    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code, if it can be kept."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError:
            return  # A disk that is full, a folder that may not be written any more.
        except Exception:  # Of an index that cannot be read a new one is begun.
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        with suppress(OSError):
            for path in Path(self.cache_path).glob(f"{Path(self._cache_file._index_path).stem}.*"):
                with path.open("rb") as file:
                    os.fsync(file.fileno())


def stamp_of(function: Callable[..., Any]) -> str:
    """Hash of all that compiled code is made of: sources of the function and of those it calls, values of constants."""
    sources: dict[str, None] = {}
    values = sorted(set(_frozen(function, sources, set())))
    files = [_content_hash(path, Path(path).stat().st_mtime_ns) for path in sorted(sources)]
    return hashlib.sha256(repr([files, values]).encode()).hexdigest()


def _frozen(function: Callable[..., Any], sources: dict[str, None], seen: set[int]) -> Iterator[str]:
    """Constants that a function and its callees refer to, as text; their files are put among the sources."""
    code = function.__code__
    sources[code.co_filename] = None
    seen.add(id(function))
    for name in _names(code):
        value = function.__globals__.get(name)
        callee = getattr(value, "py_func", None)
        if callee is not None:
            yield from () if id(callee) in seen else _frozen(callee, sources, seen)
        elif isinstance(value, bool | int | float | complex | str | tuple):
            yield f"{name} {value!r}"
        elif isinstance(value, np.ndarray):
            yield f"{name} {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@lru_cache(maxsize=64)
def _content_hash(path: str, _: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
