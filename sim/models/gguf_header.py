"""The head of a GGUF file: its metadata and the shapes of its tensors, read in a fraction of a second.

The gguf package reads whole files and takes seconds over vocabularies of 100,000 tokens; to identify a file, the
head is enough. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sim.core.errors import InputError

_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
# struct codes of the fixed-width types, by number.
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# More of anything is no model's head but a damaged file.
_MAX_COUNT = 10_000_000


@dataclass(frozen=True)
class GgufHead:
    """What stands at the beginning of a GGUF file.

    Attributes:
        metadata: Values by key.
        shapes: Shapes of the tensors by name, as PyTorch orders them.
    """

    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    def of_architecture(self, key: str, default: Any = None) -> Any:
        """The value of a key that is prefixed by the architecture's name."""
        return self.metadata.get(f"{self.metadata.get('general.architecture')}.{key}", default)


def read_head(path: Path, name: str) -> GgufHead:
    """Read the head of a file.

    Args:
        path: The file.
        name: What the user called the model, for messages.

    Raises:
        InputError: It is no GGUF file, or is cut off.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"cannot load model {name!r}: it is no GGUF file, or a damaged one: {error}") from error


def _read(file: BinaryIO) -> GgufHead:
    magic, version, num_tensors, num_values = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in _VERSIONS or max(num_tensors, num_values) > _MAX_COUNT:
        raise ValueError(f"it begins with {magic!r}, version {version}")
    metadata = {}
    for _ in range(num_values):
        key = _string(file)
        metadata[key] = _value(file, *struct.unpack("<I", file.read(4)))
    shapes = {}
    for _ in range(num_tensors):
        name = _string(file)
        (num_dims,) = struct.unpack("<I", file.read(4))
        dims = struct.unpack(f"<{num_dims}Q", file.read(8 * num_dims))
        file.read(12)  # type of the packing and place in the file
        shapes[name] = tuple(reversed(dims))
    return GgufHead(metadata, shapes)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > _MAX_COUNT:
            raise ValueError(f"an array of {count} values")
        if inner in _FIXED:
            layout = f"<{count}{_FIXED[inner]}"
            return list(struct.unpack(layout, file.read(struct.calcsize(layout))))
        return [_value(file, inner) for _ in range(count)]
    layout = f"<{_FIXED[kind]}"
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MAX_COUNT:
        raise ValueError(f"a text of {length} bytes")
    data = file.read(length)
    if len(data) < length:
        raise ValueError("the file is cut off")
    return data.decode("utf-8", errors="replace")
