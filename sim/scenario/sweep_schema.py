"""The schema of a sweep: axes, zipped axes, named variants, replications."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from sim.core.errors import shortened
from sim.core.settings import Settings, problems_error

# Replications that are always run: an interval from two values says little, Student's t is 12.7 there.
MIN_REPLICATIONS = 3

# Seeds of replications lie this far apart: further than anyone counts seeds by hand.
SEED_STRIDE = 1_000_003
MAX_REPLICATIONS = 10_000
MAX_AXIS_VALUES = 10_000
# Of all axes together: a sweep that is written out must be read again.
MAX_VALUES = 20_000
MAX_VARIANTS = 1_000
# Ends of a range, and the inverse of the smallest one on a log scale.
_MAX_END = 1e15

_RANGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["from", "to", "points"],
    "properties": {
        "from": {"type": "number"},
        "to": {"type": "number"},
        "points": {"type": "integer", "minimum": 1, "maximum": MAX_AXIS_VALUES},
        "scale": {"enum": ["linear", "log"]},
    },
}
_AXIS_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "array", "minItems": 1, "maxItems": MAX_AXIS_VALUES}, _RANGE]}


def _values(axis: Any) -> list[Any]:
    """The values of one axis: a list, or a range spelled out.

    Raises:
        ValueError: Neither, nothing in it, or a range that makes no sense.
    """
    values = _range(axis) if isinstance(axis, dict) else axis
    if isinstance(values, np.ndarray | tuple | range):
        values = list(values)  # As scenarios that are built in code have them.
    if not isinstance(values, list):
        raise ValueError(f"an axis must be a list of values or a range, got {shortened(axis)}")
    if not values:
        raise ValueError("the axis is empty")
    if len(values) > MAX_AXIS_VALUES:
        raise ValueError(f"the axis has {len(values)} values; valid: at most {MAX_AXIS_VALUES}")
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _different_values(axis: Any) -> list[Any]:
    values = _values(axis)
    _refuse_twice(values)
    return values


Axis = Annotated[list[Any], BeforeValidator(_different_values), WithJsonSchema(_AXIS_SCHEMA)]
ZippedAxis = Annotated[list[Any], BeforeValidator(_values), WithJsonSchema(_AXIS_SCHEMA)]


class SweepSettings(Settings):
    """What `specran sweep` varies; points are the product of axes, zipped groups and variants.

    Axes may stand in the sweep itself: `sweep: {link.uplink_mbps: [1, 2, 5]}` is short for an axis among `axes`.
    """

    model_config = ConfigDict(json_schema_extra={"patternProperties": {r"\.": _AXIS_SCHEMA}})

    # Their values are those of other keys.
    unbounded_fields: ClassVar[frozenset[str]] = frozenset({"axes", "zip", "variants"})

    axes: dict[str, Axis] = Field(default={})
    """Values by dotted key, such as `link.uplink_mbps: [1, 2, 5]`, or a range: {from: 1, to: 100, points: 5, scale:
    log}."""
    zip: dict[str, ZippedAxis] = Field(default={})
    """Lists or ranges of equal length by dotted key that are varied together."""
    variants: dict[Annotated[str, Field(min_length=1, max_length=100)], dict[str, Any]] = Field(
        default={}, max_length=MAX_VARIANTS
    )
    """Named sets of changes by dotted key, one curve each."""
    replications: int = Field(default=1, ge=1, le=MAX_REPLICATIONS)
    """Runs per point with different seeds."""
    precision: str | float | None = None
    """Stop the replications of a point early when the 95 % interval of its mean latency is within this fraction,
    such as 2%; `replications` are then the most that are run."""

    keep: Literal["summary", "requests", "rounds"] = "requests"
    """Tables written for each point beside its summary: none, one row per request, or one row per round too."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        short = {key: values for key, values in data.items() if is_short_axis(key)}
        axes = data.get("axes", {})
        if not short or not isinstance(axes, Mapping):
            return data
        twice = next((key for key in short if key in axes), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is given here and among the axes")
        return {**{key: value for key, value in data.items() if key not in short}, "axes": {**axes, **short}}

    @field_validator("precision")
    @classmethod
    def _precision(cls, precision: str | float | None, info: ValidationInfo) -> float | None:
        if precision is None:
            return None
        text = str(precision).strip()
        try:
            fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            fraction = 0.0
        if not 0 < fraction < 1:
            raise ValueError(f"expected a fraction such as 2% or 0.02, got {precision!r}")
        if info.data.get("replications", MIN_REPLICATIONS + 1) <= MIN_REPLICATIONS:
            raise ValueError(
                f"the first {MIN_REPLICATIONS} replications are always run; ask for more, up to the most you want"
            )
        return fraction

    @field_validator("zip")
    @classmethod
    def _zipped(cls, zipped: dict[str, list[Any]], info: ValidationInfo) -> dict[str, list[Any]]:
        if len({len(values) for values in zipped.values()}) > 1:
            lengths = ", ".join(f"{len(values)} of {key}" for key, values in zipped.items())
            raise ValueError(f"zipped axes must have equal lengths, got {lengths}")
        total = sum(len(values) for values in [*zipped.values(), *info.data.get("axes", {}).values()])
        if total > MAX_VALUES:
            raise ValueError(f"the axes have {total} values; valid: at most {MAX_VALUES} in all")
        twice = next((key for key in info.data.get("axes", {}) if key in zipped), None)
        if twice is not None:
            raise problems_error([((twice,), f"{twice!r} is both an axis and a zipped axis", None)])
        return zipped


def is_short_axis(key: object) -> bool:
    """Whether a key of a sweep is an axis that stands in the sweep itself: dotted, as no other key of a sweep is."""
    return isinstance(key, str) and "." in key


def _refuse_twice(values: list[Any]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        # Booleans equal numbers and are none.
        mark = value if isinstance(value, Hashable) and not isinstance(value, bool) else repr(value)
        if mark in seen:
            raise ValueError(f"the axis has the value {shortened(value)} twice")
        seen.add(mark)


def _range(spec: dict[str, Any]) -> list[Any]:
    valid = {"from", "to", "points", "scale"}
    if set(spec) - valid or not {"from", "to", "points"} <= set(spec):
        raise ValueError(f"a range has the keys from, to, points and scale (linear or log), got {shortened(spec)}")
    first, last, points = spec["from"], spec["to"], spec["points"]
    scale = spec.get("scale", "linear")
    whole = isinstance(points, int) and not isinstance(points, bool)
    if not whole or not 1 <= points <= MAX_AXIS_VALUES or scale not in ("linear", "log"):
        wanted = f"points of a range must be 1 to {MAX_AXIS_VALUES} and scale linear or log"
        raise ValueError(f"{wanted}, got {shortened(spec)}")
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (first, last))
    if not numbers or not all(abs(end) <= _MAX_END for end in (first, last)):
        raise ValueError(f"from and to of a range must be finite numbers up to {_MAX_END:g}, got {shortened(spec)}")
    if scale == "log" and min(first, last) < 1 / _MAX_END:
        raise ValueError(f"from and to of a range on a log scale are at least {1 / _MAX_END:g}, got {shortened(spec)}")
    if points == 1:
        return [first]
    steps = [i / (points - 1) for i in range(points)]
    if scale == "log":
        values = [float(f"{first * (last / first) ** step:.6g}") for step in steps]
    else:
        values = [float(f"{first + (last - first) * step:.12g}") for step in steps]
    integral = all(isinstance(end, int) for end in (first, last)) and all(value.is_integer() for value in values)
    return [int(value) for value in values] if integral else values
