"""From a sweep's axes, zipped groups, variants and replications to its points, all checked before anything runs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sim.core.addresses import run_id
from sim.core.selection import Selection
from sim.scenario.kinds import MixedDevices
from sim.scenario.problems import Problem, ScenarioProblems
from sim.scenario.schema import MAX_SEED, Scenario
from sim.scenario.shared_parts import SharedParts, part_of
from sim.scenario.sweep_schema import SEED_STRIDE, SweepSettings

# Runs of one sweep, replications included.
MAX_POINTS = 100_000


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        index: Its place in the table.
        changes: Values by dotted key, those of the axes.
        variant: Name of its variant, empty if there are none.
        replication: Number of the replication.
        scenario: What is run, without the sweep.
        address: Content address of the run; empty until models and cost models are known.
    """

    index: int
    changes: dict[str, Any]
    variant: str
    replication: int
    scenario: Scenario
    address: str = ""

    @property
    def labels(self) -> dict[str, Any]:
        """Columns that say which point this is."""
        return {
            **{key: _label(value) for key, value in self.changes.items()},
            "variant": self.variant,
            "replication": self.replication,
            "seed": self.scenario.seed,
            "run_id": run_id(self.address),
        }


def _label(value: Any) -> Any:
    """A value as a table's column can hold it: lists and mappings as text."""
    return json.dumps(value) if isinstance(value, list | dict) else value


# The scenario that was expanded last and its points: a sweep that is checked before it runs is expanded once.
_last: tuple[Scenario, list[Point]] | None = None


def expand(scenario: Scenario) -> list[Point]:
    """All points, in the order of the table: axes outermost in their order, replications innermost.

    Replication r has the same seed at every point, so that points are compared under the same random numbers.

    Raises:
        ScenarioProblems: An axis or variant names a key that is none, or a value that the key cannot have, or one
            twice, or the sweep has too many runs; the problem names the sweep's key.
    """
    global _last  # noqa: PLW0603 -- of this one object, which cannot change
    if _last is None or _last[0] is not scenario:
        _last = (scenario, _expand(scenario))
    return list(_last[1])


def _expand(scenario: Scenario) -> list[Point]:
    sweep = scenario.sweep if scenario.sweep is not None else SweepSettings()
    _refuse_sweeps_of_sweeps(sweep)
    _refuse_variants_of_axes(sweep)
    _refuse_too_many(sweep)
    parts = SharedParts(scenario)
    points: list[Point] = []
    seen: dict[tuple[str, Any], int] = {}
    for changes, places in _combinations(sweep):
        for variant, variant_changes in (sweep.variants or {"": {}}).items():
            changed = _scenario_at(parts, sweep, changes, variant, variant_changes)
            _refuse_seeds_beyond_bounds(changed.seed, sweep, variant)
            checked = {key: _checked_value(changed, key, given) for key, given in changes.items()}
            _refuse_same_value(checked, places, seen)
            for replication in range(sweep.replications):
                seed = changed.seed + replication * SEED_STRIDE
                seeded = changed.model_copy(update={"seed": seed}) if replication else changed
                points.append(Point(len(points), checked, variant, replication, seeded))
    return points


def _checked_value(scenario: Scenario, key: str, given: Any) -> Any:
    """The value that a key has after checking, of the key's type; a part with keys of its own stays as it was given."""
    value = value_of(scenario, key)
    return given if isinstance(value, Selection | BaseModel | Mapping) else _plain(value)


def value_of(scenario: Scenario, key: str) -> Any:
    """The value behind a dotted key.

    Raises:
        AttributeError: There is none, or likewise ``KeyError`` and ``StopIteration``.
    """
    value: Any = scenario
    for part in key.split("."):
        if isinstance(value, Selection):
            value = value.name if part == value.selector else getattr(value.settings, part)
        elif isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, list):
            value = value[int(part)]
        elif isinstance(value, MixedDevices):
            value = next(kind for kind in value.kinds if kind.name == part)
        else:
            value = getattr(value, part)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _refuse_seeds_beyond_bounds(seed: int, sweep: SweepSettings, variant: str) -> None:
    """A seed that the sweep sets must leave room for those of the replications."""
    largest = MAX_SEED - (sweep.replications - 1) * SEED_STRIDE
    if seed > largest:
        part = next((part for part in ("axes", "zip") if "seed" in getattr(sweep, part)), None)
        where = ("sweep", "variants", variant, "seed") if part is None else ("sweep", part, "seed")
        message = f"leaves no room for the seeds of {sweep.replications} replications, got {seed}"
        raise ScenarioProblems([Problem(where, f"{message}; valid: 0 to {largest}")])


def _refuse_too_many(sweep: SweepSettings) -> None:
    zipped = [len(values) for values in sweep.zip.values()][:1]
    count = prod([*map(len, sweep.axes.values()), *zipped, len(sweep.variants) or 1, sweep.replications])
    if count > MAX_POINTS:
        raise ScenarioProblems([Problem(("sweep",), f"makes {count} runs; valid: at most {MAX_POINTS}")])


def _refuse_same_value(checked: Mapping[str, Any], places: Mapping[str, int], seen: dict[tuple[str, Any], int]) -> None:
    """Values of an axis that are written differently and mean the same, such as 5 and "5.0", are one point twice."""
    for axis, place in places.items():
        label = _label(checked[axis])
        if seen.setdefault((axis, label), place) != place:
            raise ScenarioProblems([Problem(("sweep", "axes", axis), f"the axis has the value {label!r} twice")])


def _refuse_sweeps_of_sweeps(sweep: SweepSettings) -> None:
    parts: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [(("axes",), sweep.axes), (("zip",), sweep.zip)]
    parts += [(("variants", name), changes) for name, changes in sweep.variants.items()]
    for where, changes in parts:
        for key in changes:
            if part_of(key) == "sweep":
                raise ScenarioProblems([Problem(("sweep", *where, key), "a sweep cannot vary itself")])


def _refuse_variants_of_axes(sweep: SweepSettings) -> None:
    """A variant that sets what an axis sets too would say nothing: the axis has the last word."""
    for variant, changes in sweep.variants.items():
        for key in changes:
            if key in sweep.axes or key in sweep.zip:
                part = "axes" if key in sweep.axes else "zip"
                raise ScenarioProblems([Problem(("sweep", part, key), f"variant {variant!r} sets this key, too")])


def _combinations(sweep: SweepSettings) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """Changes of each point, and which value of each axis it has; of those that are varied together there is none."""
    zipped_length = len(next(iter(sweep.zip.values()))) if sweep.zip else 1
    for values in itertools.product(*(enumerate(axis) for axis in sweep.axes.values())):
        places = {axis: place for axis, (place, _) in zip(sweep.axes, values, strict=True)}
        changes = {axis: value for axis, (_, value) in zip(sweep.axes, values, strict=True)}
        for place in range(zipped_length):
            yield {**changes, **{key: column[place] for key, column in sweep.zip.items()}}, places


def _scenario_at(
    parts: SharedParts,
    sweep: SweepSettings,
    changes: Mapping[str, Any],
    variant: str,
    variant_changes: Mapping[str, Any],
) -> Scenario:
    every = {**variant_changes, **changes}
    try:
        return parts.changed(every)
    except ScenarioProblems as error:
        problem = error.problems[0]
        # The change that is to blame: the one whose key the problem lies at or below, else all of them together.
        blamed = next((key for key in every if f"{problem.key}.".startswith(f"{key}.")), None)
        if blamed is None:
            blamed = next((key for key in every if f"{key}.".startswith(f"{problem.key}.")), None)
        if blamed in changes:
            part: tuple[str, ...] = ("axes" if blamed in sweep.axes else "zip", str(blamed))
        elif blamed is not None:
            part = ("variants", variant, blamed)
        else:
            part = ("variants", variant) if variant else ()
        text = problem.message if problem.key == blamed else f"{problem.key}: {problem.message}"
        # Other changes that may have a share in it: those of the same part, such as the protocol's name.
        involved = [key for key in every if key != blamed and (blamed is None or part_of(key) == part_of(problem.key))]
        at = [f"{key}={changes[key]}" for key in involved if key in changes]
        if part[:1] != ("variants",) and any(key in variant_changes for key in involved):
            at.append(f"variant {variant!r}")
        raise ScenarioProblems([Problem(("sweep", *part), f"{text} (at {', '.join(at)})" if at else text)]) from error
