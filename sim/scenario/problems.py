"""What is wrong with a scenario, as paths and sentences: pydantic's findings in the words of scenario files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sim.core.errors import InputError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: Keys from the scenario's root down to the value.
        message: What was expected and what was got.
    """

    where: Path
    message: str

    @property
    def key(self) -> str:
        """The path as a dotted key."""
        return ".".join(str(part) for part in self.where)


class ScenarioProblems(InputError):
    """A scenario that cannot be used; the first problem is the message.

    Args:
        problems: At least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        first = self.problems[0]
        super().__init__(f"{first.key}: {first.message}" if first.key else first.message)


def problems_of(error: Exception, schema: type[BaseModel], where: Path = ()) -> list[Problem]:
    """Turn a validation error into problems; any other error is raised again.

    Args:
        error: What validation raised.
        schema: The model that was validated, for the nearest valid key.
        where: Path of that model in the scenario.
    """
    if isinstance(error, ScenarioProblems):
        return [Problem((*where, *problem.where), problem.message) for problem in error.problems]
    if isinstance(error, InputError):
        return [Problem(where, str(error))]
    if not isinstance(error, ValidationError):
        raise error
    found = []
    for detail in error.errors():
        path = _real_path(tuple(detail["loc"]))
        if detail["type"] == "extra_forbidden":
            message = _unknown_key(str(path[-1]), _fields_at(schema, path[:-1]))
        elif detail["type"] in ("model_type", "dict_type"):
            message = f"expected a mapping of keys, got {_short(detail['input'])}"
        elif detail["type"] == "string_pattern_mismatch" and path[-1:] == ("name",):
            message = f"a name has letters, digits and, not first, '.', '_' and '-'; got {_short(detail['input'])}"
        elif detail["type"] == "missing":
            message = "this key is required"
        else:
            message = f"{_sentence(detail['msg'])}, got {_short(detail['input'])}"
            if detail["type"] == "value_error":
                message = _sentence(detail["msg"].removeprefix("Value error, "))
        found.append(Problem((*where, *path), message))
    return found


def _real_path(loc: Path) -> Path:
    """Drop what pydantic adds for the members of a union, such as ``int`` or ``list[int]``."""
    noise = {"int", "float", "str", "bool", "none", "dict"}
    return tuple(
        part
        for part in loc
        if not (isinstance(part, str) and (part in noise or "[" in part or "-" in part or part[:1].isupper()))
    )


def _fields_at(schema: type[BaseModel], path: Path) -> list[str] | None:
    """Keys of the part at a path, None if the schema does not tell."""
    current: type[BaseModel] | None = schema
    for part in path:
        if current is None or part not in current.model_fields:
            return None
        current = _model_in(current.model_fields[str(part)].annotation)
    return None if current is None else sorted(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, if only sometimes."""
    alternatives = (annotation, *get_args(annotation))
    return next((one for one in alternatives if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _unknown_key(key: str, valid: list[str] | None) -> str:
    if not valid:
        return f"unknown key {key!r}" + ("; there are no keys here" if valid == [] else "")
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown key {key!r}{hint}; valid: {', '.join(valid)}"


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
