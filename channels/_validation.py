"""Checks at the door: each raises ValueError naming the argument, what was got and the valid choices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt


def require_choice(name: str, value: Any, valid: Collection[Any]) -> None:
    """Raise ValueError unless `value` is one of `valid`."""
    if value not in valid:
        choices = ", ".join(str(choice) for choice in valid)
        raise ValueError(f"{name}: got {value!r}; valid: {choices}")


def require_between(name: str, value: npt.ArrayLike, low: float, high: float) -> None:
    """Raise ValueError unless every element lies in [low, high]."""
    array = np.asarray(value)
    inside = (array >= low) & (array <= high)
    if not np.all(inside):
        bad = array[~inside].flat[0]
        raise ValueError(f"{name}: got {bad}; valid: {low} to {high}")


def require_whole(name: str, value: npt.ArrayLike, low: int, high: float = np.inf) -> None:
    """Raise ValueError unless every element is a whole number in [low, high]."""
    array = np.asarray(value, dtype=float)
    good = (array >= low) & (array <= high) & (array == np.floor(array))
    if not np.all(good):
        bound = f"{low} or more" if np.isinf(high) else f"{low} to {high:g}"
        raise ValueError(f"{name}: got {array[~good].flat[0]:g}; valid: whole numbers, {bound}")


def require_positive(name: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every element is finite and > 0."""
    array = np.asarray(value, dtype=float)
    good = np.isfinite(array) & (array > 0)
    if not np.all(good):
        raise ValueError(f"{name}: got {array[~good].flat[0]}; valid: finite and > 0")


def require_points(name: str, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`value` as float64 positions [..., 2] in metres; ValueError on another shape or non-finite values."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim < 1 or array.shape[-1] != 2 or not np.all(np.isfinite(array)):
        raise ValueError(f"{name}: got shape {array.shape}; valid: finite positions of shape [..., 2]")
    return array
