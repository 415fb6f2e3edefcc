"""Running a sweep: record what is to be decoded, then simulate every point in worker processes, then gather."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.prepare import Progress, cache_folder, must_be_live, no_progress, plan, prepare, prices, record_all
from sim.results.folder import complete_folder, write_json, write_table
from sim.runs import simulate
from sim.scenario.schema import Scenario
from sim.sweep.points import Point, expand
from sim.tape.store import TapeStore

if TYPE_CHECKING:
    import pandas as pd

_OVERVIEW = ("e2e_mean_s", "ttft_mean_s", "tpot_mean_s", "acceptance_rate", "uplink_bits_per_token", "tokens_per_s")


@dataclass
class SweepResult:
    """What a sweep produced.

    Attributes:
        table: One row per point and replication.
        folder: Where its files lie.
        failed: One message per point that failed.
    """

    table: pd.DataFrame
    folder: Path
    axes: list[str]
    failed: list[str] = field(default_factory=list)

    def overview(self) -> tuple[list[str], list[list[Any]]]:
        """Means over replications, for people: columns and rows."""
        groups = [column for column in [*self.axes, "variant"] if self.table[column].nunique() > 1] or ["variant"]
        shown = [column for column in _OVERVIEW if column in self.table]
        means = self.table.groupby(groups, sort=False, dropna=False)[shown].mean().reset_index()
        return list(means.columns), [list(row) for row in means.itertuples(index=False)]


def simulate_point(scenario: Scenario) -> dict[str, Any]:
    """Run one point in this process; returns its summary."""
    return simulate(scenario, prepare(scenario)).summary


def _simulate_dumped(keys: dict[str, Any]) -> dict[str, Any]:
    return simulate_point(Scenario.from_dict(keys))


def sweep(
    scenario: Scenario,
    out: Path | str = "results",
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
) -> SweepResult:
    """Run all points of a sweep.

    Args:
        scenario: With its ``sweep``.
        out: Folder of results; the sweep lands in ``out/<scenario>/<sweep id>``.
        jobs: Worker processes, all cores by default.
        scheduler: Address of a Dask scheduler to run on instead.
        resume: Skip points that are finished already.
        progress: Told what is going on.

    Raises:
        InputError: Something the sweep names cannot be used; nothing has run then.
    """
    points = expand(scenario)
    _record(points, progress)
    summaries, failures = _simulate_all(points, jobs or os.cpu_count() or 1, progress)
    return _gather(scenario, points, summaries, failures, Path(out))


def _record(points: list[Point], progress: Progress) -> None:
    """Put everything on tape, and time this host once, before the workers start."""
    replayed = [point.scenario for point in points if not must_be_live(point.scenario)]
    store = TapeStore(cache_folder() / "tape")
    seen: dict[str, Scenario] = {}
    for one in replayed:
        keys = one.dump()
        seen.setdefault(json.dumps([keys[part] for part in ("seed", "devices", "workload", "models", "protocol")]), one)
    record_all([(one, plan(one)) for one in seen.values()], store, progress)
    for one in seen.values():
        from sim.prepare import facts_of

        prices(one, facts_of(one))


def _simulate_all(
    points: list[Point], jobs: int, progress: Progress
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    summaries: dict[int, dict[str, Any]] = {}
    failures: dict[int, str] = {}
    with ProcessPoolExecutor(min(jobs, len(points)), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_simulate_dumped, point.scenario.dump()): point for point in points}
        for done, future in enumerate(as_completed(futures), 1):
            index = futures[future].index
            try:
                summaries[index] = future.result()
            except Exception as error:
                failures[index] = f"{type(error).__name__}: {error}"
            progress("simulating", done, len(points))
    return summaries, failures


def _gather(
    scenario: Scenario,
    points: list[Point],
    summaries: dict[int, dict[str, Any]],
    failures: dict[int, str],
    out: Path,
) -> SweepResult:
    import pandas as pd

    table = pd.DataFrame([{**point.labels, **summaries[point.index]} for point in points if point.index in summaries])
    axes = list(points[0].changes)
    place = out / scenario.name / sweep_id(scenario)
    with complete_folder(place) as folder:
        (folder / "scenario.yaml").write_text(scenario.to_yaml(), encoding="utf-8")
        write_table(table, folder, "sweep")
        write_json({"points": len(points), "failed": failures}, folder / "manifest.json")
        from sim.figures.sweep_figures import draw_sweep
        from sim.report.results import report_sweep

        figures = draw_sweep(table, axes, folder / "figures")
        report_sweep(folder, scenario, points, table, failures, figures)
    return SweepResult(table, place, axes, [f"{points[i].labels}: {text}" for i, text in sorted(failures.items())])


def sweep_id(scenario: Scenario) -> str:
    """Content address of a sweep."""
    return "sweep-" + hashlib.sha256(json.dumps(scenario.dump(), sort_keys=True).encode()).hexdigest()[:12]


Executor = Callable[[list[Point]], None]
