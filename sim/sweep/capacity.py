"""Capacity: the largest load under which a share of the requests still meets the objectives, found by bracketing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, RunError
from sim.runs.prepare import Progress, no_progress
from sim.scenario.schema import Scenario
from sim.sweep.cluster import Cluster
from sim.sweep.kinds_load import kinds_of, load_of_kinds, scaled_kinds
from sim.sweep.precision import half_width
from sim.sweep.run import evaluate

if TYPE_CHECKING:
    import pandas as pd

# What is held against the share: columns whose ratio it is, or one alone.
METRICS: dict[str, tuple[str, ...]] = {
    "goodput": ("goodput_rps", "offered_rps"),
    "ttft": ("ttft_attainment",),
    "tpot": ("tpot_attainment",),
    "e2e": ("e2e_attainment",),
    "completed": ("completed_rps", "offered_rps"),
}
# Doublings or halvings before the search gives up.
_MAX_DOUBLINGS = 24


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        key: Dotted key that sets the load.
        metric: One of ``METRICS``.
        share: What the metric must reach.
        tolerance: How near the loads that bracket the capacity must come, relative to the lower one.
        replications: Runs at each load.
        low: Load to begin with; None for the scenario's own.
        high: Load to begin with above it; None to look for one.
    """

    key: str
    metric: str = "goodput"
    share: float = 0.95
    tolerance: float = 0.05
    replications: int = 3
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class LoadPoint:
    """What was found at one load.

    Attributes:
        load: The load.
        mean: Mean of the metric over replications.
        half: Half of its 95 % interval; infinite for a single replication.
    """

    load: float
    mean: float
    half: float


@dataclass
class Capacity:
    """The capacity.

    Attributes:
        load: Where the metric crosses the share, between the loads that bracket it.
        bracket: The loads between which the search ended: the mean reaches the share at the lower one and not at
            the upper one.
        low: Up to here the metric reaches the share, its interval included; 0 if no such load was run.
        high: From here on it does not, its interval included; infinite if no such load was run.
        points: All loads that were run, ascending.
        runs: All runs, one row each.
    """

    load: float
    bracket: tuple[float, float]
    low: float
    high: float
    points: list[LoadPoint]
    runs: pd.DataFrame = field(repr=False)

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval, from ``low`` to ``high``; a single replication gives none."""
        return all(math.isfinite(point.half) for point in self.points)


def find_capacity(
    scenario: Scenario,
    search: Search,
    out: Path | str = "results",
    *,
    jobs: int | None = None,
    scheduler: Cluster | str | None = None,
    progress: Progress = no_progress,
) -> Capacity:
    """Find the largest load that holds the objectives.

    The load is doubled or halved until two loads bracket the share, and the bracket is cut at its geometric mean until
    it is narrow enough. All loads see the same random numbers.

    Args:
        scenario: What is loaded, with ``slo`` set.
        search: What is varied, and what must hold.
        out: Folder of results; finished runs are kept there and found again.
        jobs: Worker processes, all cores by default.
        scheduler: A Dask scheduler to run on instead, or its address.
        progress: Called with what is going on.

    Raises:
        InputError: The key is no number, the metric needs an objective, or no load holds or breaks the share.
        RunError: A run failed.
    """
    return _Bracketing(scenario, search, Path(out), jobs, scheduler, progress).run()


class _Bracketing:
    """One search."""

    def __init__(
        self,
        scenario: Scenario,
        search: Search,
        out: Path,
        jobs: int | None,
        scheduler: Cluster | str | None,
        progress: Progress,
    ) -> None:
        self.scenario, self.search = scenario, search
        self._how: dict[str, Any] = {"out": out, "jobs": jobs, "scheduler": scheduler, "progress": progress}
        self._tables: list[pd.DataFrame] = []
        self._known: dict[float, LoadPoint] = {}
        self._kinds = kinds_of(scenario, search.key)
        _check(scenario, search)
        self._is_whole = isinstance(own_value(scenario, search.key), int) or search.key.endswith("count")

    def run(self) -> Capacity:
        """Bracket, bisect, and report."""
        import pandas as pd

        low, high = self._bracket()
        while not self._is_narrow(low, high):
            middle = self._rounded(math.sqrt(low * high))
            if self._holds(middle):
                low = middle
            else:
                high = middle
        points = [self._known[load] for load in sorted(self._known)]
        share = self.search.share
        sure = [point.load for point in points if point.mean - point.half >= share]
        broken = [point.load for point in points if point.mean + point.half < share]
        load = _crossing(self._known[low], self._known[high], share)
        surely_low = max((value for value in sure if value <= load), default=0.0)
        surely_high = min((value for value in broken if value >= load), default=math.inf)
        runs = pd.concat(self._tables, ignore_index=True)
        return Capacity(load, (low, high), surely_low, surely_high, points, runs)

    def _bracket(self) -> tuple[float, float]:
        search = self.search
        start = search.low if search.low is not None else own_value(self.scenario, search.key)
        load = self._rounded(float(start))
        if self._holds(load):
            for _ in range(_MAX_DOUBLINGS):
                beyond = self._rounded(search.high if search.high is not None and search.high > load else 2 * load)
                if not self._holds(beyond):
                    return load, beyond
                load = beyond
            raise InputError(f"a load of {load:g} still holds the share of {search.share:g}", search.key)
        for _ in range(_MAX_DOUBLINGS):
            below = self._rounded(load / 2)
            if below == load:
                break
            if self._holds(below):
                return below, load
            load = below
        raise InputError(
            f"no load holds {search.metric} at {search.share:g}: at {load:g} it is {self._known[load].mean:.3g}",
            search.key,
        )

    def _is_narrow(self, low: float, high: float) -> bool:
        return high - low <= 1 if self._is_whole else high <= low * (1 + self.search.tolerance)

    def _rounded(self, load: float) -> float:
        return max(len(self._kinds), 1, round(load)) if self._is_whole else float(f"{load:.4g}")

    def _holds(self, load: float) -> bool:
        if load not in self._known:
            self._known[load] = self._evaluate(load)
        return self._known[load].mean >= self.search.share

    def _evaluate(self, load: float) -> LoadPoint:
        search = self.search
        values = scaled_kinds(self._kinds, search.key, load) if self._kinds else {search.key: load}
        varied = {key: [value] for key, value in values.items()}
        sweep = {"zip": varied, "replications": search.replications, "keep": "summary"}
        if not self._kinds:
            sweep["axes"] = sweep.pop("zip")
        table, failed = evaluate(Scenario.from_dict({**self.scenario.dump(), "sweep": sweep}), **self._how)
        if failed:
            raise RunError(f"{search.key}={load:g}: {failed[0]}")
        column, *over = METRICS[search.metric]
        values = (table[column] / table[over[0]] if over else table[column]).astype(float).tolist()
        self._tables.append(table if search.key in table else table.assign(**{search.key: load}))
        return LoadPoint(load, math.fsum(values) / len(values), half_width(values))


def own_value(scenario: Scenario, key: str) -> Any:
    """The value that a scenario has for a dotted key, of all kinds together where it stands for them; None if none."""
    from sim.scenario.points import value_of

    if kinds := kinds_of(scenario, key):
        return load_of_kinds(kinds, key)
    try:
        return value_of(scenario, key)
    except (AttributeError, KeyError, StopIteration):
        return None


def _check(scenario: Scenario, search: Search) -> None:
    value = own_value(scenario, search.key)
    if search.low is None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InputError(f"expected a key with a number to begin with, or KEY=LOW,HIGH; got {value!r}", search.key)
    limits = {"ttft": "ttft_s", "tpot": "tpot_s", "e2e": "e2e_s"}
    kinds = [kind.scenario.slo for kind in scenario.by_kind()]
    wanted = [limits[search.metric]] if search.metric in limits else list(limits.values())
    if search.metric != "completed" and not any(getattr(slo, name) is not None for slo in kinds for name in wanted):
        raise InputError(
            f"{search.metric} needs an objective; set {', '.join(f'slo.{name}' for name in wanted)}", "slo"
        )
    if scenario.devices.duration_s is None:
        raise InputError("a load is one over a window; set devices.duration_s", "devices.duration_s")


def _crossing(low: LoadPoint, high: LoadPoint, share: float) -> float:
    """Where the share is crossed between two loads, by a straight line over the logarithm of the load."""
    if low.mean <= high.mean:
        return low.load
    part = (low.mean - share) / (low.mean - high.mean)
    return low.load * math.pow(high.load / low.load, min(max(part, 0.0), 1.0))


def draw_capacity(capacity: Capacity, search: Search, folder: Path, style: str = "one_column") -> Sequence[Path]:
    """Draw the metric over the load with its intervals, the share, and where it is crossed."""
    from sim.figures.labels import name_of
    from sim.figures.style import COLOURS, new_figure, save_all, styled

    loads = [point.load for point in capacity.points]
    with styled():
        figure = new_figure(style, 2.2)
        axes = figure.add_subplot()
        halves = [point.half for point in capacity.points] if capacity.has_interval else None
        means = [point.mean for point in capacity.points]
        axes.errorbar(loads, means, yerr=halves, marker="o", ms=3, color=COLOURS[0], capsize=2)
        axes.axhline(search.share, color="0.4", lw=0.8, ls=":")
        axes.axvline(capacity.load, color=COLOURS[1], lw=1.0, ls="--")
        if max(loads) > 4 * min(loads):
            axes.set_xscale("log")
        axes.set_xlabel(name_of(search.key))
        axes.set_ylabel(f"Share ({search.metric})")
        axes.set_ylim(bottom=0)
        return save_all(figure, folder, "capacity")
