"""Tensors of files of weights by name, cast to one dtype; those of eight bits have a scale per output channel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sim.core.errors import InputError
from sim.models.checkpoint import SCALE_SUFFIX, refuse_wrong_tensors
from sim.models.pickled import PickledFile, is_pickled
from sim.models.safetensors_head import Shape


class TensorFiles:
    """Tensors of several files, safetensors or pickled.

    A weight [out, in] of type int8 stands for ``weight * weight_scale[:, None]``, where ``weight_scale`` [out] is
    stored beside it under the weight's name and ``_scale``; it is read as floating-point numbers.

    Args:
        files: Where the tensors are; a file may be given with the names that are taken from it, else all are.
        dtype: What they are cast to.

    Attributes:
        dtype: The same.

    Raises:
        InputError: A file that is none of these, or damaged.
    """

    def __init__(self, files: Iterable[Path | tuple[Path, Collection[str]]], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._file_of_name: dict[str, Any] = {}
        for entry in files:
            path, wanted = entry if isinstance(entry, tuple) else (entry, None)
            file = _open(path)
            names = [name for name in file.keys() if wanted is None or name in wanted]  # noqa: SIM118 (no mapping)
            self._file_of_name.update(dict.fromkeys(names, file))

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._file_of_name.clear()

    @property
    def names(self) -> list[str]:
        """Tensors that are there; scales belong to their weights and are not listed."""
        return [name for name in self._file_of_name if not self._is_scale(name)]

    def shape(self, name: str) -> Shape:
        """Shape of a tensor; nothing else of it is read."""
        return tuple(self._file_of_name[name].get_slice(name).get_shape())

    def __contains__(self, name: object) -> bool:
        return name in self._file_of_name

    def __call__(self, name: str) -> torch.Tensor:
        """A tensor, in the dtype asked for.

        Raises:
            InputError: It is of eight bits, and its scales are missing.
        """
        tensor: torch.Tensor = self._file_of_name[name].get_tensor(name)
        if tensor.dtype is not torch.int8:
            return tensor.to(self.dtype)
        if name + SCALE_SUFFIX not in self:
            raise InputError(f"tensor {name} is of int8, and {name + SCALE_SUFFIX} with its scales is missing")
        scale = self._file_of_name[name + SCALE_SUFFIX].get_tensor(name + SCALE_SUFFIX).to(torch.float32)
        value: torch.Tensor = (tensor.to(torch.float32) * scale.view(-1, 1)).to(self.dtype)
        return value

    def _is_scale(self, name: str) -> bool:
        return name.endswith(SCALE_SUFFIX) and name.removesuffix(SCALE_SUFFIX) in self._file_of_name


def _open(path: Path) -> Any:
    if is_pickled(path):
        return PickledFile(path)
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file or is damaged: {error}") from error


def refuse_unless_as_asked(
    files: TensorFiles, asked: Mapping[str, Shape], optional: Collection[str], name: str
) -> None:
    """Compare what files hold with the names and shapes that a configuration asks for.

    Args:
        files: What is there.
        asked: Shapes by name.
        optional: Names of ``asked`` that need not be there.
        name: What the user called the model.

    Raises:
        InputError: They differ.
    """
    present = set(files.names)
    missing = [one for one in asked if one not in present and one not in optional]
    unexpected = {one: files.shape(one) for one in present - set(asked)}
    mismatched = [
        (one, files.shape(one), shape) for one, shape in asked.items() if one in present and files.shape(one) != shape
    ]
    refuse_wrong_tensors(missing, unexpected, mismatched, name)


def first_unusable(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Name of the first tensor that holds infinite values or values that are no numbers, or None."""
    return next((name for name, tensor in tensors if not bool(torch.isfinite(tensor).all())), None)


Reader = Callable[[str], torch.Tensor]
"""A tensor by name."""
