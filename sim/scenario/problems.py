"""What is wrong with a scenario, as paths and sentences: pydantic's findings in the words of scenario files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from sim.core.errors import InputError, Key, dotted, shortened


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: Keys from the scenario's root down to the value.
        message: What was expected and what was got.
        named: The same keys with the name of a kind of devices in place of its number; empty if there is none.
    """

    where: Key
    message: str
    named: Key = ()

    @property
    def key(self) -> str:
        """The path as the dotted key that options and axes take."""
        return dotted(self.named or self.where)


class ScenarioProblems(InputError):
    """A scenario that cannot be used; the first problem is the message.

    Args:
        problems: At least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(self.problems[0].message, self.problems[0].where)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.problems,))


def named_by_kind(problem: Problem, data: Mapping[str, Any]) -> Problem:
    """A problem of a kind of devices, by the name with which options speak of it.

    Args:
        problem: What is wrong.
        data: The scenario's nested mappings.
    """
    devices = data.get("devices")
    section, rest = problem.where[:1], problem.where[1:]
    if section == ("devices",) and isinstance(devices, list) and rest and isinstance(rest[0], int):
        kind = devices[rest[0]] if rest[0] < len(devices) else None
        if isinstance(kind, Mapping) and isinstance(kind.get("name"), str):
            return replace(problem, named=("devices", kind["name"], *rest[1:]))
    return problem


def problems_of(error: ValidationError, data: object, where: Key = ()) -> list[Problem]:
    """Turn a validation error into problems.

    Args:
        error: What validation raised.
        data: What was validated; distinguishes the keys of a path from what pydantic adds to it for members of a union.
        where: Path of what was validated in the scenario.
    """
    found = []
    for detail in error.errors(include_url=False):
        path = _path_in(data, tuple(detail["loc"]), detail["type"])
        found.append(Problem((*where, *path), _message(detail, path)))
    # Of a union's members, the one that fits best is blamed: that whose complaint lies deepest.
    deepest = [
        problem
        for problem in found
        if not any(
            len(other.where) > len(problem.where) and other.where[: len(problem.where)] == problem.where
            for other in found
        )
    ]
    return deepest


def _message(detail: Any, path: Key) -> str:
    kind, given = detail["type"], detail["input"]
    if kind in ("model_type", "dict_type"):
        return f"expected a mapping of keys, got {shortened(given)}"
    if kind == "string_pattern_mismatch" and path[-1:] == ("name",):
        return f"a name has letters, digits and, not first, '.', '_' and '-'; got {shortened(given)}"
    if kind == "missing":
        return "this key is required"
    if kind == "value_error":
        return _sentence(detail["msg"].removeprefix("Value error, "))
    # Errors of this package's own say what was given, where that matters.
    return _sentence(detail["msg"]) + (f", got {shortened(given)}" if detail["type"] in _PYDANTIC_ERRORS else "")


def _pydantic_errors() -> frozenset[str]:
    from typing import get_args

    from pydantic_core.core_schema import ErrorType

    return frozenset(get_args(ErrorType))


_PYDANTIC_ERRORS = _pydantic_errors()
# What tells the forms of a value apart, which no user has written.
_FORMS = ("named-hardware", "described-block", "all-roles", "per-role")


def _path_in(data: object, loc: Key, kind: str) -> Key:
    """The part of pydantic's path that the data has, and the key that it lacks, if that is what is wrong."""
    if kind not in _PYDANTIC_ERRORS:
        return tuple(part for part in loc if part not in _FORMS)  # This package's own errors name keys only.
    path: list[str | int] = []
    current = data
    for place, part in enumerate(loc):
        below = current.keys() if isinstance(current, Mapping) else range(_length(current))
        if part in below:
            current = current[part]  # type: ignore[index]
        elif kind != "missing" or place < len(loc) - 1:
            continue  # The name of a union's member.
        path.append(part)
    return tuple(path)


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | tuple) else 0


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]
