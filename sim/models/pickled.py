"""Weights of older checkpoints, as ``torch.save`` pickles them; read as tensors alone, so that no code of theirs runs.

``torch.load`` for weights only builds tensors and plain containers and refuses whatever else a pickle asks for.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, shortened
from sim.models.fingerprint import FileState, file_state
from sim.models.pickle_reasons import reason_unread
from sim.models.safetensors_head import Shape, Tensor

if TYPE_CHECKING:
    import torch

PICKLE_FILE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_SUFFIX = ".bin"
_ZIP = b"PK\x03\x04"
# Types of PyTorch by the names that safetensors has for them.
_TYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "bool": "BOOL", "complex64": "C64"}
_TYPES |= {f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)} | {"uint8": "U8"}


def is_pickled(path: Path) -> bool:
    """Whether a file of weights is a pickle, by its name."""
    return path.suffix == _SUFFIX


def load_pickled(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file by name; from the newer format values are read when they are used.

    Raises:
        InputError: It holds, or asks for, anything else, or is damaged.
    """
    import torch

    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_ZIP)) == _ZIP
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The refusal says what matters.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # of a damaged file the unpickler raises many kinds
        raise _cannot_read(path, error) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not tensors by name")
    for name, value in content.items():
        problem = _problem_of(value) if isinstance(name, str) else "has no text as its name"
        if problem is not None:
            raise InputError(f"{path}: {shortened(name)} {problem}")
    return dict(content)


def _problem_of(value: object) -> str | None:
    import torch

    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {type(value).__name__}, not a tensor"
    assert isinstance(value, torch.Tensor)
    if value.device.type != "cpu":
        return f"is a tensor on the device {value.device.type}, without values"
    if value.is_nested:
        return "is a nested tensor, which is not read"
    if value.layout != torch.strided or _type_of(value) not in _TYPES:
        return f"is a tensor of type {value.dtype}, {value.layout}, which is not read"
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        return f"is said to have the shape {list(value.shape)}, for which the file holds too few values"
    return None


def _type_of(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _cannot_read(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} {reason_unread(path, error)}")


def pickled_tensors(path: Path) -> dict[str, Tensor]:
    """Types and shapes of a file's tensors by name; of several that share their values one only has a place.

    Raises:
        InputError: As ``load_pickled``.
    """
    try:
        return _heads(path, file_state(path))
    except OSError as error:
        raise _cannot_read(path, error) from error


@lru_cache(maxsize=64)
def _heads(path: Path, state: FileState) -> dict[str, Tensor]:  # noqa: ARG001 -- part of the cache's key
    heads, stop, seen = {}, 0, set()
    for name, tensor in load_pickled(path).items():
        values = (tensor.data_ptr(), tensor.shape, tensor.stride())
        size = 0 if values in seen else tensor.numel() * tensor.itemsize
        heads[name] = Tensor(_TYPES[_type_of(tensor)], tuple(tensor.shape), stop, stop + size)
        seen.add(values)
        stop += size
    return heads


def first_pickled_not_finite(path: Path) -> str | None:
    """Name of the first tensor that holds infinite values or values that are no numbers, or None."""
    import torch

    tensors = load_pickled(path).items()
    return next((name for name, one in tensors if one.is_floating_point() and not torch.isfinite(one).all()), None)


class PickledFile:
    """A file of pickled tensors with the methods of an open safetensors file.

    Args:
        path: Of the file.

    Raises:
        InputError: As ``load_pickled``.
    """

    def __init__(self, path: Path) -> None:
        self._tensors = load_pickled(path)

    def keys(self) -> list[str]:
        """Names of its tensors."""
        return list(self._tensors)

    def get_tensor(self, name: str) -> torch.Tensor:
        """A tensor, its values one after another."""
        return self._tensors[name].detach().resolve_neg().contiguous()

    def get_slice(self, name: str) -> Any:
        """What tells a tensor's shape."""
        return _Shaped(tuple(self._tensors[name].shape))


class _Shaped:
    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def get_shape(self) -> Shape:
        """The shape."""
        return self._shape
