"""The tapes that ship with the scenarios: what SmolLM2 decodes for them and for their sweeps, in one archive."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

from sim.cli.output import ProgressBars, say
from sim.inputs.tokenised_requests import planned_by_kind
from sim.runs.prepare import must_be_live, tape_store
from sim.scenario.loading import bundled_scenarios, load_scenario, scenario_folders
from sim.scenario.points import expand
from sim.scenario.schema import Scenario
from sim.tape.transfer import export_archive

PAIR = "smollm2/"
NAME = "smollm2.zip"


def shipped_scenarios() -> list[str]:
    """Names of the bundled scenarios whose target is SmolLM2."""
    return [name for name in bundled_scenarios() if load_scenario(name).models.target.startswith(PAIR)]


def replayed(name: str) -> Iterator[Scenario]:
    """A bundled scenario and the points of its sweep that a tape can stand in for, once for all that decode alike."""
    scenario, known = load_scenario(name), set()
    for one in (scenario, *(point.scenario for point in expand(scenario))):
        keys = one.dump()
        decoding = repr([keys[part] for part in ("seed", "devices", "workload", "models", "protocol", "controller")])
        if decoding not in known and not must_be_live(one):
            known.add(decoding)
            yield one


def make_tapes(names: Sequence[str] = (), folder: Path | None = None) -> Path:
    """Record what is not on this machine's tape yet, and write the archive.

    Args:
        names: Bundled scenarios; all that use SmolLM2 if empty.
        folder: Where the archive goes; ``tapes`` beside the scenarios by default.

    Returns:
        The archive.
    """
    from sim.sweep.executors import make_executor
    from sim.sweep.recording import record_missing

    start, workers, store = perf_counter(), os.cpu_count() or 1, tape_store(with_shipped=False)
    scenarios = [scenario for name in names or shipped_scenarios() for scenario in replayed(name)]
    wanted = [one for scenario in scenarios for one in planned_by_kind(scenario)]
    with ProgressBars() as progress, make_executor(workers, None, workers) as executor:
        decoded = record_missing(wanted, store, executor, progress)
    path = (folder or scenario_folders()[-1] / "tapes") / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    count = export_archive(scenarios, store, path)
    took = f"{perf_counter() - start:.0f} s"
    say(f"{count} requests, {decoded} of them decoded now, {path.stat().st_size / 1e6:.2f} MB, {took}")
    return path
