"""Running a sweep: record what is to be decoded, then simulate every point in worker processes, then gather."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError
from sim.core.files import cannot_write, clean_cache, no_empty_folders_of, remove_leftovers, unfinished_folder
from sim.results.columns import INCIDENT_COLUMNS
from sim.results.point_log import SavedPoint
from sim.results.saved_points import SavedPoints
from sim.results.tables import Keep
from sim.runs.manifest import run_facts
from sim.runs.prepare import Progress, no_progress, tape_store, wanted_of
from sim.scenario.points import Point, expand
from sim.scenario.schema import Scenario
from sim.sweep.cluster import Cluster
from sim.sweep.executors import make_executor
from sim.sweep.gather import Gathered, drawn_axes, gather, kinds_table, sweep_id, table_of
from sim.sweep.precision import Replications
from sim.sweep.presence import announced
from sim.sweep.recording import record_missing
from sim.sweep.shared_inputs import Preparation, PreparedInputs
from sim.sweep.tasks import Executor, Task
from sim.sweep.work import TABLES_OF, PointDone, PointTask, get_ready, simulate_points
from sim.tape.pruning import max_tape_bytes, needed, prune

if TYPE_CHECKING:
    import pandas as pd

# Points that a worker is given at once, at most; and shares that each worker's points are cut into, at least.
_MAX_TOGETHER, _SHARES = 8, 32
_OVERVIEW = (
    "e2e_mean_s",
    "ttft_mean_s",
    "tpot_mean_s",
    "acceptance_rate",
    "overlap",
    "uplink_bits_per_token",
    "tokens_per_s",
)
# Of an NR cell, where columns that do not vary leave room for them.
_CELL_OVERVIEW = ("uplink_prb_utilisation", "uplink_jain_index", "downlink_prb_utilisation", "downlink_jain_index")
# Means that differ by less, relative to the largest, are the same.
_SAME = 1e-9


@dataclass
class SweepResult:
    """What a sweep produced.

    Attributes:
        table: One row per point and replication.
        folder: Where its files lie.
        axes: Dotted keys that were varied; of those that were varied together, the first.
        together: The others of those.
        failed: One message per point that failed.
        resumed: How many points were finished before and not run again.
    """

    table: pd.DataFrame
    folder: Path
    axes: list[str]
    failed: list[str] = field(default_factory=list)
    together: list[str] = field(default_factory=list)
    resumed: int = 0

    def overview(self) -> tuple[list[str], list[list[Any]]]:
        """Means over replications, for people: columns and rows."""
        distinguishing = [*self.axes, *self.together, "variant"]
        groups = [column for column in distinguishing if self.table[column].nunique() > 1] or ["variant"]
        shown = [column for column in _OVERVIEW if column in self.table]
        shown = self._differing(groups, shown) or shown
        cell = [column for column in _CELL_OVERVIEW if column in self.table]
        shown += self._differing(groups, cell)[: max(0, len(_OVERVIEW) - len(shown))]
        if any(name in self.table for name in ("ttft_attainment", "tpot_attainment", "e2e_attainment")):
            shown += ["slo_attainment", "goodput_rps"]
        shown += [name for name in INCIDENT_COLUMNS if name in self.table and self.table[name].any()]
        means = self.table.groupby(groups, sort=False, dropna=False)[shown].mean().reset_index()
        return list(means.columns), [list(row) for row in means.itertuples(index=False)]

    def _differing(self, groups: list[str], columns: list[str]) -> list[str]:
        """Those of the columns whose means are not the same in all rows."""
        means = self.table.groupby(groups, sort=False, dropna=False)[columns].mean()
        spans = means.max() - means.min()
        return [column for column in columns if spans[column] > _SAME * means[column].abs().max()]


def sweep(
    scenario: Scenario,
    out: Path | str = "results",
    *,
    jobs: int | None = None,
    scheduler: Cluster | str | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
) -> SweepResult:
    """Run all points of a sweep; the table does not depend on who runs them, nor on interruptions.

    Args:
        scenario: With its ``sweep``.
        out: Folder of results; the sweep lands in ``out/<scenario>/<sweep id>``.
        jobs: Worker processes, all cores by default; 1 runs in this process.
        scheduler: A Dask scheduler to run on instead, or its address.
        resume: Skip points that are finished already.
        progress: Called with what is going on, how much is done, and of how much.

    Raises:
        InputError: Something the sweep names cannot be used; nothing has run then.
        RunError: Results cannot be written.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    return _Sweep(scenario, Path(out), jobs or os.cpu_count() or 1, scheduler, resume, progress).run()


def evaluate(
    scenario: Scenario,
    out: Path | str = "results",
    *,
    jobs: int | None = None,
    scheduler: Cluster | str | None = None,
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, list[str]]:
    """The table of a sweep and messages of what failed, without figures or a report; finished points are found again.

    Args:
        scenario: With its ``sweep``.
        out: Folder of results, where the points are kept.
        jobs: Worker processes, all cores by default.
        scheduler: A Dask scheduler to run on instead, or its address.
        progress: Called with what is going on.
    """
    return _Sweep(scenario, Path(out), jobs or os.cpu_count() or 1, scheduler, True, progress).evaluate()


class _Sweep:
    """One call of ``sweep``."""

    def __init__(
        self,
        scenario: Scenario,
        out: Path,
        jobs: int,
        scheduler: Cluster | str | None,
        resume: bool,
        progress: Progress,
    ) -> None:
        self.scenario = scenario
        self.points = expand(scenario)
        self.out = out
        self.jobs = jobs
        self.scheduler = scheduler
        self.resume = resume
        self.progress = progress
        self.store = tape_store()
        self.preparation = Preparation()
        self.summaries: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, str] = {}
        self.resumed = 0
        self.recorded = 0
        self.forwards_run = 0
        self.forwards_remembered = 0

    @property
    def keep(self) -> Keep:
        """Which tables of each point are written."""
        return self.scenario.sweep.keep if self.scenario.sweep is not None else "requests"

    def run(self) -> SweepResult:
        """Record, simulate, gather."""
        start = perf_counter()
        with make_executor(self.jobs, self.scheduler, len(self.points)) as executor:
            if not self.resume:
                # All points are to be run: workers import what they need while addresses and inputs are found here.
                executor.get_ready(Task(get_ready, self.points[0].scenario.dump()))
            with self._placed():
                self._run_points_of_all_waves(executor)
                return self._gather(start, executor)

    def evaluate(self) -> tuple[pd.DataFrame, list[str]]:
        """Record and simulate; the points are kept, and that is all that is written."""
        with make_executor(self.jobs, self.scheduler, len(self.points)) as executor, self._placed():
            self._run_points_of_all_waves(executor)
            self._finish()
        return table_of(self.points, self.summaries), list(self.failures.values())

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Find the addresses of the points, and with them where the sweep lies."""
        max_tape_bytes()
        parent = self.out / self.scenario.name
        with no_empty_folders_of(parent, self.out):
            self._check_folder(parent)
            self.points = [replace(point, address=self.preparation.address(point)) for point in self.points]
            self.place = parent / sweep_id(self.points, self.keep)
            self.saved = SavedPoints(self.place / "points")
            with no_empty_folders_of(self.saved.folder, self.place), announced(self.place):
                yield

    def _gather(self, start: float, executor: Executor) -> SweepResult:
        table = table_of(self.points, self.summaries)
        self.progress("writing", 0, 1)
        finished = self._finish()
        kinds, tables = kinds_table(self.points, self.summaries), TABLES_OF[self.keep]
        gathered = Gathered(self.scenario, self.points, table, self.failures, finished, tables, kinds)
        gather(self.place, gathered, self._run_facts(perf_counter() - start), executor)
        self.progress("writing", 1, 1)
        failed = [f"{_named(self.points[i])}: {text}" for i, text in sorted(self.failures.items())]
        axes = drawn_axes(self.scenario, self.points)
        together = [key for key in self.points[0].changes if key not in axes and key in table]
        return SweepResult(table, self.place, axes, failed, together, self.resumed)

    def _finish(self) -> list[SavedPoint]:
        return self.saved.finish([point.address for point in self.points if point.index in self.summaries])

    def _run_points_of_all_waves(self, executor: Executor) -> None:
        self._check_folder(self.place)
        self.saved.clean()
        precision = self.scenario.sweep.precision if self.scenario.sweep is not None else None
        waves = Replications(self.points, precision if isinstance(precision, float) else None)
        try:
            while wave := waves.next_wave({i: s["e2e_mean_s"] for i, s in self.summaries.items()}):
                self._run_points(wave, executor)
        finally:
            self.saved.close()
        prune(self.store, max_tape_bytes())

    @staticmethod
    def _check_folder(folder: Path) -> None:
        clean_cache()
        try:
            remove_leftovers(folder)
            with unfinished_folder(folder):
                pass
        except OSError as error:
            raise InputError(str(cannot_write("results", folder, error))) from error

    def _run_points(self, wave: Sequence[Point], executor: Executor) -> None:
        unfinished = self._unfinished(wave)
        prepared = {id(one): one for one in (self.preparation.of(point.scenario) for point in unfinished)}
        keys = [key for one in prepared.values() if not one.is_live for key in one.keys]
        by_address: dict[str, list[Point]] = {}
        for point in wave:
            by_address.setdefault(point.address, []).append(point)
        done = len(wave) - sum(len(by_address[point.address]) for point in unfinished)
        with needed(self.store, keys):
            self._record(list(prepared.values()), executor)
            self.progress("simulating", done, len(wave))
            for results in self._simulate(unfinished, executor):
                for result in results:
                    same = by_address[self.points[result.place].address]
                    self._take(result, same)
                    done += len(same)
                self.progress("simulating", done, len(wave))

    def _simulate(self, points: Sequence[Point], executor: Executor) -> Iterator[list[PointDone]]:
        """Results as they come. Points that shared a worker which crashed again and again are tried one by one."""
        tasks = self._tasks(points, executor, per_task=_points_per_task(len(points), self.jobs))
        alone: list[Point] = []
        for number, results, failure in executor.run(tasks):
            places = tasks[number].task.places
            if results is None and len(places) > 1 and not self.preparation.of(self.points[places[0]].scenario).is_live:
                alone += [self.points[place] for place in places]
            else:
                yield results or [PointDone(place, None, {}, failure) for place in places]
        for number, results, failure in executor.run(tasks := self._tasks(alone, executor, per_task=1)):
            yield results or [PointDone(place, None, {}, failure) for place in tasks[number].task.places]

    def _take(self, result: PointDone, same: Sequence[Point]) -> None:
        """Keep what became of a point, and of others that are the same run."""
        self.forwards_run += result.forwards_run
        self.forwards_remembered += result.forwards_remembered
        if result.summary is not None:
            self.saved.save(same[0].address, result.summary, result.tables)
        for point in same:
            if result.summary is not None:
                self.summaries[point.index] = result.summary
            else:
                self.failures[point.index] = result.failure

    def _unfinished(self, wave: Sequence[Point]) -> list[Point]:
        """Points that are to be run, each run once; the finished ones are taken over.

        Points that decode while they simulate remember each other's forwards in their order, and so are finished
        all together or not at all.
        """
        found = self._finished([point.address for point in wave]) if self.resume else {}
        prepared = [self.preparation.of(point.scenario) for point in wave]
        redone = {
            id(own) for own, point in zip(prepared, wave, strict=True) if own.is_live and point.address not in found
        }
        unfinished: dict[str, Point] = {}
        for own, point in zip(prepared, wave, strict=True):
            if point.address in found and id(own) not in redone:
                self.summaries[point.index] = found[point.address]
                self.resumed += 1
            else:
                unfinished.setdefault(point.address, point)
        return list(unfinished.values())

    def _finished(self, addresses: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Summaries of points that this sweep has finished, or another one of the same scenario with other axes."""
        own = {address: point for address, point in self.saved.load().items() if self._has_tables(point)}
        found = {address: own[address].summary for address in addresses if address in own}
        for folder in sorted(self.place.parent.glob("sweep-*/points")):
            missing = set(addresses) - set(found)
            if not missing or folder == self.saved.folder:
                continue
            for address, point in SavedPoints(folder).load().items():
                if address in missing and self._has_tables(point):
                    self.saved.take_over(point)
                    found[address] = point.summary
        return found

    def _has_tables(self, point: SavedPoint) -> bool:
        return set(TABLES_OF[self.keep]) <= set(point.tables)

    def _record(self, prepared: Sequence[PreparedInputs], executor: Executor) -> None:
        """Put on tape what points will replay, in groups that are decoded side by side."""
        wanted = [part for own in prepared if not own.is_live for part in wanted_of(own.scenario, own.inputs)]
        self.recorded += record_missing(wanted, self.store, executor, self.progress)

    def _tasks(self, points: Sequence[Point], executor: Executor, per_task: int) -> list[Task]:
        """Tasks of a few replayed points each, ordered by shared inputs; one per group of points that decode."""
        by_inputs: dict[int, list[Point]] = {}
        for point in points:
            by_inputs.setdefault(id(self.preparation.of(point.scenario)), []).append(point)
        tasks = []
        for group in by_inputs.values():
            prepared = self.preparation.of(group[0].scenario)
            prepared.pack(self.store, executor.shares_files)
            size = len(group) if prepared.is_live else per_task
            for start in range(0, len(group), size):
                own = group[start : start + size]
                tasks.append(Task(simulate_points, self._task(own, prepared), prepared.packed))
        return tasks

    def _task(self, points: Sequence[Point], prepared: PreparedInputs) -> PointTask:
        return PointTask(
            tuple(point.index for point in points),
            tuple(point.scenario for point in points),
            prepared.packed_id,
            self.keep,
        )

    def _run_facts(self, wall_s: float) -> dict[str, Any]:
        return {
            "resumed": self.resumed,
            "requests_decoded": self.recorded,
            "forwards_run": self.forwards_run,
            "forwards_remembered": self.forwards_remembered,
            **run_facts(wall_s),
        }


def _points_per_task(count: int, jobs: int) -> int:
    """Points that a worker is given at once: few enough that all are busy to the end and little is lost by a kill."""
    return max(1, min(_MAX_TOGETHER, count // (_SHARES * jobs)))


def _named(point: Point) -> str:
    """Which point it is, for people."""
    parts = [f"{key}={value}" for key, value in point.changes.items()]
    if point.variant:
        parts.append(point.variant)
    return ", ".join([*parts, f"replication {point.replication}"])
