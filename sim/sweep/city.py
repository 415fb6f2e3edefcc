"""A city: rounds of cells as worlds of their own, each hearing what its neighbours sent in the round before."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.core.errors import InputError, RunError
from sim.links.base import Direction
from sim.links.nr.phy.outside import Activity, stacked
from sim.runs.city.cell import CellResult, simulate_cell
from sim.runs.city.layout import Cell, explicit_city, lattice_city, refuse
from sim.runs.inputs import SimulationInputs
from sim.runs.prepare import (
    Progress,
    bare_inputs,
    keys_of,
    must_be_live,
    no_progress,
    record_all,
    tape_store,
    wanted_of,
)
from sim.scenario.schema import Scenario
from sim.sweep.cluster import Cluster
from sim.sweep.executors import make_executor
from sim.sweep.tasks import Executor, Task
from sim.sweep.work import EntryStore, SharedInputs, entries_of, unpacked

MIN_ROUNDS, MAX_ROUNDS = 2, 4


@dataclass(frozen=True)
class CellTask:
    """A cell for a worker.

    Attributes:
        scenario: As nested plain values.
        cell: Which.
        heard: What its neighbours have sent, by direction: number in its layout and activity; None in the first round.
        inputs_id: Names the shared inputs.
    """

    scenario: dict[str, Any]
    cell: Cell
    heard: dict[Direction, list[tuple[int, Activity]]] | None
    inputs_id: str


@dataclass
class CityResult:
    """What became of a city.

    Attributes:
        cells: Its cells as the last round left them.
        rounds: Figures of the whole city after each round.
        cpu_s: Processor time of each round.
    """

    cells: list[CellResult]
    rounds: list[dict[str, float]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """A row per cell; what a cell without any request cannot tell is not a number."""
        return [
            {
                "cell": one.cell.number,
                "devices": one.cell.count,
                **{name: one.summary.get(name, math.nan) for name in COLUMNS},
            }
            for one in self.cells
        ]


COLUMNS = (
    "requests",
    "failed",
    "tokens_per_s",
    "e2e_mean_s",
    "e2e_p95_s",
    "edge_utilisation",
    "uplink_prb_utilisation",
    "downlink_prb_utilisation",
    "uplink_first_transmission_bler",
    "downlink_first_transmission_bler",
)


def run_city(
    scenario: Scenario,
    num_cells: int | None,
    max_rounds: int = 4,
    tolerance: float = 0.01,
    jobs: int = 1,
    scheduler: Cluster | str | None = None,
    progress: Progress | None = None,
    inputs: SimulationInputs | None = None,
) -> CityResult:
    """Simulate a city.

    In the first round no cell hears another one. In each further round it hears what its neighbours have sent in the
    round before, slot by slot. Rounds end when throughput and 95th percentile of the latency of the whole city have
    changed by no more than the tolerance.

    Args:
        scenario: That of a cell: its devices, edge and link, whose layout of sites is the neighbourhood that is heard.
        num_cells: Cells of the city; None for the very cells of the scenario as one world.
        max_rounds: Most rounds, 2 to 4.
        tolerance: Change at which they end.
        jobs: Worker processes.
        scheduler: A Dask scheduler to use instead.
        progress: Called with what is going on, how much is done, and of how much.
        inputs: Requests of all devices, recorded, and prices; made if left out.

    Raises:
        InputError: The scenario has what a city cannot have.
        RunError: A cell could not be simulated.
    """
    refuse(scenario)
    if not MIN_ROUNDS <= max_rounds <= MAX_ROUNDS:
        raise InputError(f"got {max_rounds} rounds; valid: {MIN_ROUNDS} to {MAX_ROUNDS}", place="--rounds")
    if num_cells is not None and num_cells < MIN_CELLS:
        raise InputError(f"got {num_cells} cells; valid: {MIN_CELLS} or more", place="--cells")
    cells = explicit_city(scenario) if num_cells is None else lattice_city(scenario, num_cells)
    cells = [cell for cell in cells if cell.count]
    whole = scenario.replace("devices.count", sum(cell.count for cell in cells))
    inputs = _city_inputs(whole, progress) if inputs is None else inputs
    with make_executor(jobs, scheduler, len(cells)) as executor:
        packed = _packed(whole, inputs, executor)
        inputs_id = hashlib.sha256(packed).hexdigest()
        result = CityResult([])
        for number in range(max_rounds):
            result.cells = _round(scenario, cells, result.cells, executor, packed, inputs_id, number, progress)
            cells = [one.cell for one in result.cells]
            result.rounds.append(city_figures(result.cells))
            result.cpu_s.append(sum(one.cpu_s for one in result.cells))
            if number + 1 >= MIN_ROUNDS and _change(*result.rounds[-2:]) <= tolerance:
                break
    return result


MIN_CELLS = 7


def _city_inputs(whole: Scenario, progress: Progress | None) -> SimulationInputs:
    """Requests of all devices of a city, recorded, and prices."""
    if must_be_live(whole):
        raise InputError(
            "what adapts to the channel decodes while it is simulated, and a city replays recorded requests; valid: "
            "protocols and controllers that do not adapt",
            ("protocol",),
        )
    if whole.workload.turns > 1:
        raise InputError("a city replays recorded requests; valid: 1", ("workload", "turns"))
    if whole.workload.distinct_requests is None:
        raise InputError("a city replays recorded requests; valid: a number", ("workload", "distinct_requests"))
    inputs = bare_inputs(whole)
    store = tape_store()
    record_all(wanted_of(whole, inputs), store, progress if progress is not None else no_progress)
    return inputs.with_tape(store)


def _packed(whole: Scenario, inputs: SimulationInputs, executor: Executor) -> bytes:
    """What all cells share, as workers take it."""
    store = inputs.tape
    assert store is not None
    can_read = executor.shares_files and not isinstance(store, EntryStore)
    entries = None if can_read else entries_of(store, keys_of(whole, inputs))
    return SharedInputs(inputs.with_tape(None), store.folder, entries).pack()


def _round(
    scenario: Scenario,
    cells: Sequence[Cell],
    before: Sequence[CellResult],
    executor: Executor,
    packed: bytes,
    inputs_id: str,
    number: int,
    progress: Progress | None,
) -> list[CellResult]:
    """Simulate all cells once."""
    keys = scenario.dump()
    keys.pop("sweep", None)
    sent = {one.cell.number: one for one in before}
    tasks = [
        Task(simulate_task, CellTask(keys, cell, _heard(cell, sent) if sent else None, inputs_id), packed)
        for cell in cells
    ]
    found: dict[int, CellResult] = {}
    for place, result, failure in executor.run(tasks):
        if result is None:
            raise RunError(f"cell {cells[place].number}: {failure}")
        found[place] = result
        if progress is not None:
            progress(f"round {number + 1}", len(found), len(tasks))
    return [found[place] for place in range(len(tasks))]


def _heard(cell: Cell, sent: Mapping[int, CellResult]) -> dict[Direction, list[tuple[int, Activity]]]:
    """What a cell hears of each neighbour: the downlink of each, and what their devices' uplink brings to it."""
    down: list[tuple[int, Activity]] = []
    up: list[tuple[int, Activity]] = []
    for site, neighbour in cell.neighbours.items():
        other = sent.get(neighbour)
        if other is None:
            continue
        down.append((site, other.sent[Direction.DOWNLINK].of(0)))
    for number, other in sent.items():
        for site, neighbour in other.cell.neighbours.items():
            if neighbour == cell.number and (number != cell.number or site != cell.own):
                up.append((cell.own, other.sent[Direction.UPLINK].of(site)))
    return {Direction.UPLINK: up, Direction.DOWNLINK: down}


def simulate_task(task: CellTask, packed: bytes) -> CellResult:
    """What a worker does with a cell."""
    scenario = Scenario.from_dict(task.scenario)
    inputs = unpacked(task.inputs_id, packed)
    outside: dict[Direction, Activity] | None = None
    if task.heard is not None:
        link: Any = scenario.link.settings
        outside = {}
        for direction, heard in task.heard.items():
            parts: dict[int, list[Activity]] = {}
            for site, activity in heard:
                parts.setdefault(site, []).append(activity)
            groups = max([one.values.shape[-1] for own in parts.values() for one in own], default=1)
            outside[direction] = stacked(parts, link.num_sites, groups)
    return simulate_cell(scenario, task.cell, inputs, outside)


def city_figures(cells: Sequence[CellResult]) -> dict[str, float]:
    """Figures of a whole city; latencies are over the requests of all cells."""
    e2e = np.concatenate([np.array(one.e2e_s) for one in cells])
    sums = {name: sum(one.summary[name] for one in cells) for name in ("requests", "failed", "tokens_per_s")}
    return {
        "cells": len(cells),
        "devices": sum(one.cell.count for one in cells),
        **{name: float(value) for name, value in sums.items()},
        "e2e_mean_s": float(e2e.mean()) if len(e2e) else float("nan"),
        "e2e_p95_s": float(np.percentile(e2e, 95)) if len(e2e) else float("nan"),
        **{
            f"{direction}_prb_utilisation": float(
                np.mean([one.summary[f"{direction}_prb_utilisation"] for one in cells])
            )
            for direction in Direction
        },
    }


def _change(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Largest relative change of throughput and 95th percentile of the latency."""
    names = ("tokens_per_s", "e2e_p95_s")
    return max(abs(after[name] - before[name]) / max(abs(before[name]), 1e-12) for name in names)
