"""From a sweep's axes, zipped groups, variants and replications to its points, all checked before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sim.errors import InputError
from sim.results.folder import run_id
from sim.scenario.overrides import apply_overrides
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from sim.scenario.sweep_schema import SweepSettings

# Seeds of replications lie this far apart: further than anyone counts seeds by hand.
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        index: Its place in the table.
        changes: Values by dotted key, those of the axes.
        variant: Name of its variant, empty if there are none.
        replication: Number of the replication.
        scenario: What is run, without the sweep.
    """

    index: int
    changes: dict[str, Any]
    variant: str
    replication: int
    scenario: Scenario

    @property
    def key(self) -> str:
        """Content address of the run."""
        return run_id(self.scenario)

    @property
    def labels(self) -> dict[str, Any]:
        """Columns that say which point this is."""
        return {
            **self.changes,
            "variant": self.variant,
            "replication": self.replication,
            "seed": self.scenario.seed,
            "run_id": self.key,
        }


def expand(scenario: Scenario) -> list[Point]:
    """All points, in the order of the table: axes outermost in their order, replications innermost.

    Replication r has the same seed at every point, so that points are compared under the same luck.

    Raises:
        InputError: An axis or variant names a key that is none, or a value that the key cannot have.
    """
    sweep = scenario.sweep if scenario.sweep is not None else SweepSettings()
    base = scenario.dump()
    base.pop("sweep", None)
    points: list[Point] = []
    for changes in _combinations(sweep):
        for variant, variant_changes in (sweep.variants or {"": {}}).items():
            changed = _scenario_at(base, {**variant_changes, **changes}, variant)
            for replication in range(sweep.replications):
                seeded = changed.model_copy(update={"seed": changed.seed + replication * _SEED_STRIDE})
                points.append(Point(len(points), dict(changes), variant, replication, seeded))
    return points


def _combinations(sweep: SweepSettings) -> Iterator[dict[str, Any]]:
    zipped_length = len(next(iter(sweep.zip.values()))) if sweep.zip else 1
    for values in itertools.product(*sweep.axes.values()):
        for place in range(zipped_length):
            together = {key: column[place] for key, column in sweep.zip.items()}
            yield {**dict(zip(sweep.axes, values, strict=True)), **together}


def _scenario_at(base: Mapping[str, Any], changes: Mapping[str, Any], variant: str) -> Scenario:
    try:
        return Scenario.from_dict(apply_overrides(base, changes))
    except ScenarioProblems as error:
        problem = error.problems[0]
        at = ", ".join(f"{key}={value}" for key, value in changes.items())
        named = f"variant {variant!r}, " if variant else ""
        raise InputError(f"sweep: {named}{at}: {problem.key}: {problem.message}") from error
