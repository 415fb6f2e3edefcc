"""Running a sweep: record what is to be decoded, then simulate every point in worker processes, then gather."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError
from sim.core.files import cannot_write, clean_cache, no_empty_folders_of, unfinished_folder
from sim.results.manifest import host, versions
from sim.runs.inputs import SimulationInputs
from sim.runs.prepare import (
    Progress,
    bare_inputs,
    must_be_live,
    no_progress,
    tape_store,
    wanted_of,
)
from sim.scenario.schema import Scenario
from sim.scenario.user_code import user_code_hashes
from sim.sweep.cluster import Cluster
from sim.sweep.executors import make_executor
from sim.sweep.gather import drawn_axes, gather, kinds_table, sweep_id, table_of
from sim.sweep.points import Point, expand
from sim.sweep.precision import Replications
from sim.sweep.recording import record_missing
from sim.sweep.saved import SavedPoints
from sim.sweep.tasks import Executor, Task
from sim.sweep.work import TABLES_OF, PointDone, PointTask, SharedInputs, entries_of, simulate_points
from sim.tape.key import Addresses, simulator_version
from sim.tape.store import max_tape_bytes, prune

if TYPE_CHECKING:
    import pandas as pd

_OVERVIEW = ("e2e_mean_s", "ttft_mean_s", "tpot_mean_s", "acceptance_rate", "uplink_bits_per_token", "tokens_per_s")


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
        told = [*self.axes, *self.together, "variant"]
        groups = [column for column in told if self.table[column].nunique() > 1] or ["variant"]
        shown = [column for column in _OVERVIEW if column in self.table]
        if any(name in self.table for name in ("ttft_attainment", "tpot_attainment", "e2e_attainment")):
            shown += ["slo_attainment", "goodput_rps"]
        means = self.table.groupby(groups, sort=False, dropna=False)[shown].mean().reset_index()
        return list(means.columns), [list(row) for row in means.itertuples(index=False)]


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
    run = _Sweep(scenario, Path(out), jobs or os.cpu_count() or 1, scheduler, True, progress)
    run.run_points()
    return table_of(run.points, run.summaries), list(run.failures.values())


@dataclass
class _PreparedInputs:
    """Shared inputs as they are sent to workers, and what it was made from."""

    inputs: SimulationInputs
    live: bool
    describes: str
    keys: list[str]
    packed: bytes = b""
    inputs_id: str = ""


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
        self.place = out / scenario.name / sweep_id(scenario)
        self.saved = SavedPoints(self.place / "points")
        self.jobs = jobs
        self.scheduler = scheduler
        self.resume = resume
        self.progress = progress
        self.store = tape_store()
        self.summaries: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, str] = {}
        self.resumed = 0
        self.recorded = 0
        self.forwards_run = 0
        self.forwards_remembered = 0
        self._shared: dict[str, _PreparedInputs] = {}
        self._shared_inputs_of: dict[int, _PreparedInputs] = {}

    @property
    def keep(self) -> Any:
        """Which tables of each point are written."""
        return self.scenario.sweep.keep if self.scenario.sweep is not None else "requests"

    def run(self) -> SweepResult:
        """Record, simulate, gather."""
        with no_empty_folders_of(self.saved.folder, self.place, self.place.parent, self.place.parent.parent):
            return self._run()

    def _run(self) -> SweepResult:
        start = perf_counter()
        self.run_points()
        table = table_of(self.points, self.summaries)
        self.progress("writing", 0, 1)
        kinds, manifest = kinds_table(self.points, self.summaries), self._manifest(perf_counter() - start)
        gather(self.place, self.scenario, self.points, table, self.failures, manifest, kinds)
        self.progress("writing", 1, 1)
        failed = [f"{_named(self.points[i])}: {text}" for i, text in sorted(self.failures.items())]
        axes = drawn_axes(self.scenario, self.points)
        together = [key for key in self.points[0].changes if key not in axes and key in table]
        return SweepResult(table, self.place, axes, failed, together, self.resumed)

    def run_points(self) -> None:
        """Record and simulate what is not finished."""
        self._check_folder()
        for point in self.points:
            self._shared_inputs(point)
        precision = self.scenario.sweep.precision if self.scenario.sweep is not None else None
        waves = Replications(self.points, precision if isinstance(precision, float) else None)
        with make_executor(self.jobs, self.scheduler, len(self.points)) as executor:
            while wave := waves.next_wave({i: s["e2e_mean_s"] for i, s in self.summaries.items()}):
                self._run_points(wave, executor)
        prune(self.store, max_tape_bytes())

    def _check_folder(self) -> None:
        max_tape_bytes()
        clean_cache()
        try:
            with unfinished_folder(self.place):
                self.saved.clean()
        except OSError as error:
            raise InputError(str(cannot_write("results", self.place, error))) from error

    def _shared_inputs(self, point: Point) -> _PreparedInputs:
        """What the point shares with others: planned requests, facts, prices."""
        known = self._shared_inputs_of.get(point.index)
        if known is not None:
            return known
        keys = point.scenario.dump()
        parts = ("seed", "devices", "workload", "models", "protocol", "controller", "compute")
        name = json.dumps([keys[part] for part in parts], sort_keys=True)
        ready = self._shared.get(name)
        if ready is None:
            inputs = bare_inputs(point.scenario)
            described, keys_of_tape = _described(point.scenario, inputs)
            live = must_be_live(point.scenario)
            ready = self._shared[name] = _PreparedInputs(inputs, live, _hash(described), keys_of_tape)
        self._shared_inputs_of[point.index] = ready
        return ready

    def _content_hash(self, point: Point) -> str:
        """Hash of all that a point's result depends on: scenario, code, the user's own too, models, prompts, prices."""
        shared = self._shared_inputs(point)
        keys = point.scenario.dump()
        return _hash([keys, shared.describes, user_code_hashes(keys)])

    def _run_points(self, wave: Sequence[Point], executor: Executor) -> None:
        hashes = {point.index: self._content_hash(point) for point in wave}
        todo = self._unfinished(wave, hashes)
        self._record([point for point in todo if not self._shared_inputs(point).live], executor)
        tasks = self._tasks(todo, executor)
        done = len(wave) - sum(len(task.task.places) for task in tasks)
        by_key: dict[str, list[Point]] = {}
        for point in wave:
            by_key.setdefault(point.key, []).append(point)
        self.progress("simulating", done, len(wave))
        for number, results, failure in executor.run(tasks):
            places = tasks[number].task.places
            for result in results or [PointDone(place, None, {}, failure) for place in places]:
                duplicates = by_key[self.points[result.place].key]
                self.forwards_run += result.forwards_run
                self.forwards_remembered += result.forwards_remembered
                if result.summary is not None:
                    self.saved.save(duplicates[0].key, hashes[result.place], result)
                for twin in duplicates:
                    self._take(twin, result)
                done += 1
            self.progress("simulating", done, len(wave))

    def _take(self, point: Point, result: PointDone) -> None:
        if result.summary is not None:
            self.summaries[point.index] = result.summary
        else:
            self.failures[point.index] = result.failure

    def _unfinished(self, wave: Sequence[Point], hashes: Mapping[int, str]) -> list[Point]:
        """Points that are to be run, each scenario once; the finished ones are taken over.

        Points that decode while they simulate remember each other's forwards in their order, and so are finished
        all together or not at all.
        """
        found: dict[int, dict[str, Any]] = {}
        if self.resume:
            for point in wave:
                summary = self._finished(point.key, hashes[point.index])
                if summary is not None:
                    found[point.index] = summary
        redone = {
            id(self._shared_inputs(point))
            for point in wave
            if self._shared_inputs(point).live and point.index not in found
        }
        todo: dict[str, Point] = {}
        for point in wave:
            if point.index in found and id(self._shared_inputs(point)) not in redone:
                self.summaries[point.index] = found[point.index]
                self.resumed += 1
            else:
                todo.setdefault(point.key, point)
        return list(todo.values())

    def _finished(self, key: str, content_hash: str) -> dict[str, Any] | None:
        """A point's summary, if this sweep has finished it, or another one of the same scenario with other axes."""
        summary = self.saved.load(key, content_hash)
        if summary is not None:
            return summary
        return self.saved.take_over(key, content_hash, self._others, TABLES_OF[self.keep])

    @cached_property
    def _others(self) -> list[SavedPoints]:
        folders = sorted(self.place.parent.glob("sweep-*/points"))
        return [SavedPoints(folder) for folder in folders if folder.parent != self.place]

    def _record(self, points: Sequence[Point], executor: Executor) -> None:
        """Put on tape what these points will replay, in groups that are decoded side by side."""
        by_inputs = {id(self._shared_inputs(point)): point for point in points}
        wanted = [
            one for point in by_inputs.values() for one in wanted_of(point.scenario, self._shared_inputs(point).inputs)
        ]
        self.recorded += record_missing(wanted, self.store, executor, self.progress)

    def _tasks(self, points: Sequence[Point], executor: Executor) -> list[Task]:
        """One task per replayed point, ordered by shared inputs; one per group of points that decode."""
        by_inputs: dict[int, list[Point]] = {}
        for point in points:
            by_inputs.setdefault(id(self._shared_inputs(point)), []).append(point)
        tasks = []
        for group in by_inputs.values():
            ready = self._shared_inputs(group[0])
            if not ready.packed:
                entries = None if ready.live or executor.shares_files else entries_of(self.store, ready.keys)
                ready.packed = SharedInputs(ready.inputs, None if ready.live else self.store.folder, entries).pack()
                ready.inputs_id = hashlib.sha256(ready.packed).hexdigest()
            for part in [group] if ready.live else [[point] for point in group]:
                task = PointTask(
                    tuple(point.index for point in part),
                    tuple(point.scenario.dump() for point in part),
                    ready.inputs_id,
                    self.keep,
                )
                tasks.append(Task(simulate_points, task, ready.packed))
        return tasks

    def _manifest(self, wall_s: float) -> dict[str, Any]:
        return {
            "seed": self.scenario.seed,
            "points": len(self.points),
            "run": len(self.summaries),
            "resumed": self.resumed,
            "requests_decoded": self.recorded,
            "forwards_run": self.forwards_run,
            "forwards_remembered": self.forwards_remembered,
            "failed": {self.points[index].key: text for index, text in sorted(self.failures.items())},
            "code": simulator_version(),
            "versions": versions(),
            "host": host(),
            "wall_s": wall_s,
        }


def _described(scenario: Scenario, inputs: SimulationInputs) -> tuple[list[Any], list[str]]:
    """What the results depend on beside the scenario: code, models, prices and recordings; and the recordings alone."""
    described: list[Any] = [simulator_version()]
    keys: list[str] = []
    for kind, own in zip(scenario.by_kind(), inputs.kinds, strict=True):
        addresses = Addresses(kind.scenario, own.models_info)
        keys_of_kind = [addresses.of(planned) for planned in own.planned]
        priced = {site: {r: p.describe() for r, p in by.items()} for site, by in own.cost_models.items()}
        described += [{role: info.fingerprint for role, info in own.models_info.items()}, priced, keys_of_kind]
        keys += keys_of_kind
    return described, keys


def _named(point: Point) -> str:
    """Which point it is, for people."""
    parts = [f"{key}={value}" for key, value in point.changes.items()]
    if point.variant:
        parts.append(point.variant)
    return ", ".join([*parts, f"replication {point.replication}"])


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
