"""The head of a GGUF file: its metadata and the shapes of its tensors, read in a fraction of a second.

The gguf package reads whole files and takes seconds over vocabularies of 100,000 tokens; to identify a file, the
head is enough. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sim.core.errors import InputError, shortened

_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
# struct codes of the fixed-width types, by number.
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# More of anything is no model's head but a damaged file.
_MAX_COUNT, _MAX_DIMS, _MAX_DEPTH = 10_000_000, 8, 4
_ALIGNMENT = 32  # bytes, unless the file says otherwise


@dataclass(frozen=True)
class GgufHead:
    """What stands at the beginning of a GGUF file.

    Attributes:
        metadata: Values by key.
        shapes: Shapes of the tensors by name, as PyTorch orders them.
        places: Type and first byte of each tensor, the latter counted from the end of the head.
        num_bytes: How long the head is.
    """

    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    places: dict[str, tuple[int, int]]
    num_bytes: int

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
    except (OSError, EOFError, struct.error, ValueError, UnicodeDecodeError, MemoryError) as error:
        reason = "the file is cut off" if isinstance(error, struct.error | EOFError) else error
        raise InputError(f"cannot load model {name!r}: it is no GGUF file, or a damaged one: {reason}") from error


def check_head(head: GgufHead, path: Path, name: str) -> None:
    """Look whether a file's head makes sense and the file holds all values of its tensors.

    Raises:
        InputError: It does not.
    """
    problem = _problem_with_metadata(head) or _problem_with_places(head, path.stat().st_size)
    if problem is not None:
        raise InputError(f"cannot load model {name!r}: {problem}")


def _problem_with_metadata(head: GgufHead) -> str | None:
    """What is wrong with the keys that every model needs."""
    if not isinstance(head.metadata.get("general.architecture"), str):
        return "the file names no architecture (general.architecture)"
    tokens = head.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        return "the file holds no vocabulary (tokenizer.ggml.tokens)"
    for role in ("bos", "eos", "padding", "unknown"):
        key = f"tokenizer.ggml.{role}_token_id"
        token = head.metadata.get(key)
        if token is not None and not (type(token) is int and 0 <= token < len(tokens)):
            return f"{key} must be a token id, got {shortened(token)}; valid: 0 to {len(tokens) - 1}"
    for key in ("context_length", "block_count", "embedding_length"):
        value = head.of_architecture(key)
        if value is not None and not (type(value) is int and 1 <= value < 1 << 31):
            return (
                f"{head.metadata['general.architecture']}.{key} must be a whole number above 0, got {shortened(value)}"
            )
    if len(head.shapes.get("token_embd.weight", ())) != 2:
        return "the file holds no embedding (token_embd.weight)"
    return None


def _problem_with_places(head: GgufHead, num_bytes: int) -> str | None:
    """A tensor of an unknown type, or one that ends beyond the file's end."""
    from gguf.constants import GGML_QUANT_SIZES

    alignment = head.metadata.get("general.alignment", _ALIGNMENT)
    if type(alignment) is not int or not 1 <= alignment <= _MAX_COUNT:
        return f"general.alignment must be a whole number above 0, got {shortened(alignment)}"
    first_byte = -(-head.num_bytes // alignment) * alignment
    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    for tensor, (kind, start) in head.places.items():
        if kind not in sizes:
            return f"tensor {tensor} is of type {kind}, which is not known"
        block, block_bytes = sizes[kind]
        stop = first_byte + start + math.prod(head.shapes[tensor]) // block * block_bytes
        if stop > num_bytes:
            return f"it is cut off: tensor {tensor} ends at byte {stop}, and the file is {num_bytes} bytes long"
    return None


def _read(file: BinaryIO) -> GgufHead:
    magic, version, num_tensors, num_values = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in _VERSIONS:
        raise ValueError(f"it begins with {magic!r}, version {version}; valid: GGUF, versions 2 and 3")
    if max(num_tensors, num_values) > _MAX_COUNT:
        raise ValueError(f"it is said to hold {num_tensors} tensors and {num_values} keys")
    metadata = {}
    for _ in range(num_values):
        key = _string(file)
        metadata[key] = _value(file, *struct.unpack("<I", file.read(4)))
    shapes, places = {}, {}
    for _ in range(num_tensors):
        name = _string(file)
        (num_dims,) = struct.unpack("<I", file.read(4))
        if num_dims > _MAX_DIMS:
            raise ValueError(f"tensor {name[:80]!r} has {num_dims} dimensions")
        dims = struct.unpack(f"<{num_dims}Q", file.read(8 * num_dims))
        shapes[name] = tuple(reversed(dims))
        places[name] = struct.unpack("<IQ", file.read(12))
    return GgufHead(metadata, shapes, places, file.tell())


def _value(file: BinaryIO, kind: int, depth: int = 0) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > _MAX_COUNT or depth >= _MAX_DEPTH:
            raise ValueError(f"an array of {count} values, in {depth} others")
        if inner in _FIXED:
            layout = f"<{count}{_FIXED[inner]}"
            return list(struct.unpack(layout, file.read(struct.calcsize(layout))))
        return [_value(file, inner, depth + 1) for _ in range(count)]
    if kind not in _FIXED:
        raise ValueError(f"a value of type {kind}, which is not known")
    layout = f"<{_FIXED[kind]}"
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MAX_COUNT:
        raise ValueError(f"a text of {length} bytes")
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return data.decode("utf-8", errors="replace")
