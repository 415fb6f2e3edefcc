"""Remembering what came out last time: points of a sweep mostly differ in one part, the others are the same objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def last_result(function: Callable[..., T]) -> Callable[..., T]:
    """Decorator for functions of what never changes: the last result serves while arguments are the same objects.

    Callers must not change a result: the next call with the same arguments returns the same object.
    """
    last: tuple[tuple[Any, ...], T] | None = None

    @wraps(function)
    def remembered(*arguments: Any) -> T:
        nonlocal last
        known = last
        if known is not None and len(known[0]) == len(arguments) and all(map(_is, known[0], arguments)):
            return known[1]
        found = function(*arguments)
        last = (arguments, found)
        return found

    return remembered


def _is(one: object, other: object) -> bool:
    return one is other
