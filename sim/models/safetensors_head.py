"""The head of a safetensors file: names, types, shapes and places of its tensors, and whether its values are finite.

Layout: https://huggingface.co/docs/safetensors. Eight bytes of length, so many bytes of JSON, then the values one after
another. A head is checked as the library does it, which reads whole files and needs a framework.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sim.core.errors import InputError, shortened

Shape = tuple[int, ...]

_MAX_HEAD_BYTES = 100_000_000
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_BITS |= dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
_BITS |= dict.fromkeys(("I16", "U16", "F16", "BF16"), 16) | dict.fromkeys(("I32", "U32", "F32"), 32)
_BITS |= dict.fromkeys(("I64", "U64", "F64", "C64"), 64)
# Of the types that have no NumPy type of their own, the exponent's bits tell.
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BFLOAT_EXPONENT = 0x7F80
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Tensor:
    """Where a tensor is.

    Attributes:
        dtype: Its type, as the format names it.
        shape: Its sizes.
        start: Its first byte in the file.
        stop: One past its last.
    """

    dtype: str
    shape: Shape
    start: int
    stop: int


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name.

    Raises:
        InputError: It is no safetensors file, or a damaged one.
    """
    try:
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except (OSError, ValueError, RecursionError) as error:
        reason = "its head is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{path} is no safetensors file or is damaged: {reason}") from error


@lru_cache(maxsize=64)
def _read(path: Path, num_bytes: int, *changed_ns: int) -> dict[str, Tensor]:  # noqa: ARG001 -- part of the cache's key
    with path.open("rb") as file:
        first = file.read(8)
        if len(first) < 8:
            raise ValueError(f"it has {len(first)} bytes")
        (length,) = struct.unpack("<Q", first)
        if length > min(_MAX_HEAD_BYTES, num_bytes - 8):
            raise ValueError(f"its head is said to be {length} bytes long, and the file is {num_bytes}")
        text = file.read(length)
    head = json.loads(text) if text.startswith(b"{") else None
    if not isinstance(head, dict):
        raise ValueError("its head is no object of names")
    first_byte = 8 + length
    tensors = {name: _tensor(name, entry, first_byte) for name, entry in head.items() if name != "__metadata__"}
    stop = first_byte
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if tensor.start != stop:
            raise ValueError(f"tensor {shortened(name)} does not begin where the one before it ends")
        stop = tensor.stop
    if stop != num_bytes:
        raise ValueError(f"its tensors end at byte {stop}, and the file is {num_bytes} bytes long")
    return tensors


def _tensor(name: str, entry: Any, first_byte: int) -> Tensor:
    if not isinstance(entry, Mapping) or entry.get("dtype") not in _BITS:
        raise ValueError(f"tensor {shortened(name)} is of no known type")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {shortened(name)} has no shape or no place")
    if (offsets[1] - offsets[0]) * 8 != math.prod(shape) * _BITS[entry["dtype"]]:
        raise ValueError(f"tensor {shortened(name)} is of another size than its shape says")
    return Tensor(entry["dtype"], tuple(shape), first_byte + offsets[0], first_byte + offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def first_not_finite(path: Path) -> str | None:
    """Name of the first tensor of a file that holds infinite values or values that are no numbers, or None."""
    with path.open("rb") as file:
        for name, tensor in sorted(read_tensors(path).items(), key=lambda item: item[1].start):
            kind = "<u2" if tensor.dtype == "BF16" else _FLOATS.get(tensor.dtype)
            if kind is None:
                continue
            file.seek(tensor.start)
            left = (tensor.stop - tensor.start) // np.dtype(kind).itemsize
            while left:
                values = np.fromfile(file, kind, min(left, _CHUNK))
                is_finite = values & _BFLOAT_EXPONENT != _BFLOAT_EXPONENT if kind == "<u2" else np.isfinite(values)
                if len(values) == 0 or not is_finite.all():
                    return name
                left -= len(values)
    return None
