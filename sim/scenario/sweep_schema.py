"""The schema of a sweep: axes, zipped axes, named variants, replications."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sim.settings import Settings

Values = list[Any]


class SweepSettings(Settings):
    """What `specran sweep` varies; points are the product of axes, zipped groups and variants."""

    axes: dict[str, Any] = Field(default={})
    """Values by dotted key, such as `link.uplink_mbps: [1, 2, 5]`, or a range: {from: 1, to: 100, points: 5, scale:
    log}."""
    zip: dict[str, list[Any]] = Field(default={})
    """Lists of equal length by dotted key that are varied together."""
    variants: dict[str, dict[str, Any]] = Field(default={})
    """Named sets of changes by dotted key, one curve each."""
    replications: int = Field(default=1, ge=1)
    """Runs per point with different seeds."""
    precision: str | float | None = None
    """Stop the replications of a point early when the 95 % interval of its mean latency is within this fraction,
    such as 2%."""

    keep: Literal["summary", "requests", "rounds"] = "requests"
    """Tables written for each point beside its summary: none, one row per request, or one row per round too."""

    @field_validator("axes")
    @classmethod
    def _axes(cls, axes: dict[str, Any]) -> dict[str, Values]:
        return {key: axis_values(key, values) for key, values in axes.items()}

    @field_validator("precision")
    @classmethod
    def _precision(cls, precision: str | float | None) -> float | None:
        if precision is None:
            return None
        text = str(precision).strip()
        try:
            fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            fraction = 0.0
        if not 0 < fraction < 1:
            raise ValueError(f"expected a fraction such as 2% or 0.02, got {precision!r}")
        return fraction

    @model_validator(mode="after")
    def _zipped(self) -> SweepSettings:
        lengths = {len(values) for values in self.zip.values()}
        if len(lengths) > 1:
            raise ValueError(f"zipped axes must have equal lengths, got {sorted(lengths)}")
        if lengths == {0}:
            raise ValueError("zipped axes need at least one value")
        twice = set(self.axes) & set(self.zip)
        if twice:
            raise ValueError(f"{sorted(twice)[0]!r} is both an axis and a zipped axis")
        return self


def axis_values(key: str, values: Any) -> Values:
    """The values of one axis: a list, or a range spelled out.

    Raises:
        ValueError: An empty list or a range that makes no sense.
    """
    if isinstance(values, dict):
        return _range(key, values)
    if not isinstance(values, list):
        raise ValueError(f"axis {key!r} must be a list of values or a range, got {values!r}")
    if not values:
        raise ValueError(f"axis {key!r} is empty")
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise ValueError(f"axis {key!r} has the value {twice[0]!r} twice")
    return values


def _range(key: str, spec: dict[str, Any]) -> Values:
    valid = {"from", "to", "points", "scale"}
    unknown = sorted(set(spec) - valid)
    if unknown or not {"from", "to", "points"} <= set(spec):
        raise ValueError(f"axis {key!r}: a range has the keys from, to, points and scale (linear or log), got {spec}")
    first, last, points = spec["from"], spec["to"], spec["points"]
    scale = spec.get("scale", "linear")
    if not isinstance(points, int) or points < 1 or scale not in ("linear", "log"):
        raise ValueError(f"axis {key!r}: points must be a positive integer and scale linear or log, got {spec}")
    if not all(isinstance(end, int | float) for end in (first, last)) or (scale == "log" and min(first, last) <= 0):
        raise ValueError(f"axis {key!r}: from and to must be numbers, positive on a log scale, got {spec}")
    if points == 1:
        return [first]
    steps = [i / (points - 1) for i in range(points)]
    if scale == "log":
        return [float(f"{first * (last / first) ** step:.6g}") for step in steps]
    numbers = [float(f"{first + (last - first) * step:.12g}") for step in steps]
    integral = all(isinstance(end, int) for end in (first, last)) and all(n.is_integer() for n in numbers)
    return [int(number) for number in numbers] if integral else numbers
