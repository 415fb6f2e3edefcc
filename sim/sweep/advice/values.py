"""The values that a field of a settings class may have, by its bounds, as a distribution that Optuna draws from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from sim.core.settings import Settings

if TYPE_CHECKING:
    import optuna

# Ranges whose ends are at least this far apart are searched on a logarithmic scale.
_LOG_RATIO = 16
# Open bounds of real numbers are kept away from by this share of the range.
_INSIDE = 1e-3


@dataclass(frozen=True)
class Values:
    """What a key may be.

    Attributes:
        choices: Names, beside the range or in place of it.
        is_whole: Whether the range is of whole numbers.
        low: Least number; not-a-number where there is no range.
        high: Greatest.
    """

    choices: tuple[Any, ...] = ()
    is_whole: bool = False
    low: float = math.nan
    high: float = math.nan

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A value, as the trial has it."""
        if self.choices:
            places = list(range(len(self.choices) + (not math.isnan(self.low))))
            place = int(trial.suggest_categorical(f"{name}?", places))
            if place < len(self.choices):
                return self.choices[place]
        is_log = self.low > 0 and self.high >= _LOG_RATIO * self.low
        if self.is_whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=is_log)
        return float(f"{trial.suggest_float(name, self.low, self.high, log=is_log):.4g}")


def values_of_field(settings: type[Settings], name: str, limit: float | None = None) -> Values | None:
    """What a field may be; None if its class does not say.

    Args:
        settings: The class.
        name: Of the field.
        limit: Greatest number where the class states none.
    """
    field = settings.model_fields.get(name)
    if field is None:
        return None
    choices: list[Any] = []
    numbers: list[Values] = []
    for kind, metadata in _alternatives(field.annotation, tuple(field.metadata)):
        if get_origin(kind) is Literal:
            choices += get_args(kind)
        elif kind is bool:
            choices += [False, True]
        elif kind is NoneType:
            choices.append(None)
        elif kind in (int, float):
            numbers.append(_range(metadata, kind is int, limit))
    found = numbers[0] if numbers else None
    if found is not None and not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    if found is None and len(choices) < 2:
        return None
    return Values(tuple(choices)) if found is None else Values(tuple(choices), found.is_whole, found.low, found.high)


def _alternatives(annotation: Any, metadata: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The types that a field may be of, each with what is stated of it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *stated = get_args(annotation)
        for item in stated:
            metadata = (*metadata, *(item.metadata if isinstance(item, FieldInfo) else (item,)))
        yield from _alternatives(inner, metadata)
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part, metadata)
    else:
        yield annotation, metadata


def _range(metadata: tuple[Any, ...], is_whole: bool, limit: float | None) -> Values:
    low, high = _bound(metadata, "ge", "gt"), _bound(metadata, "le", "lt")
    smallest = low[0] if low is not None else 1.0 if limit is not None else -math.inf
    greatest = high[0] if high is not None else limit if limit is not None else math.inf
    if limit is not None:
        greatest = min(greatest, limit)
    if is_whole:
        # Whole numbers beside an open bound.
        smallest += low is not None and low[1]
        greatest -= high is not None and high[1]
    elif math.isfinite(smallest) and math.isfinite(greatest):
        inside = _INSIDE * (greatest - smallest)
        smallest += inside if low is not None and low[1] else 0.0
        greatest -= inside if high is not None and high[1] else 0.0
    return Values((), is_whole, smallest, greatest)


def _bound(metadata: tuple[Any, ...], closed: str, opened: str) -> tuple[float, bool] | None:
    """A bound and whether it is open; None where there is none."""
    for item in metadata:
        for name, is_open in ((closed, False), (opened, True)):
            value = getattr(item, name, None)
            if value is not None:
                return float(value), is_open
    return None
