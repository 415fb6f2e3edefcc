"""A study of 480 points over a Shannon cell: with an empty tape, with a recorded one, and what writing it costs."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from tests.bench.measure import process_s, result

STUDY: dict[str, Any] = {
    "name": "study",
    "seed": 1,
    "devices": {"count": 50, "requests": 4, "think_time_s": 0.5},
    "models": "embedded",
    "workload": {"max_new_tokens": 64},
    "protocol": {"name": "tslt", "draft_length": 4, "top_k": 64},
    "link": {"kind": "shannon", "uplink_bandwidth_mhz": 5, "downlink_bandwidth_mhz": 20, "snr_db": 12},
    "edge": {"max_batch": 16, "batch_window_s": 0.002},
    "sweep": {
        "axes": {
            "link.uplink_bandwidth_mhz": {"from": 0.5, "to": 50, "points": 20, "scale": "log"},
            "protocol.top_k": [8, 32, 128],
            "protocol.candidates": [1, 2],
        },
        "replications": 4,
    },
}


def run() -> list[dict[str, Any]]:
    """Wall and CPU seconds of the whole command, twice; then one point live and replayed in this process."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "study.yaml"
        scenario.write_text(json.dumps(STUDY))
        environment = {"SPECRAN_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        command = ["-m", "sim.cli", "sweep", str(scenario), "--jobs", "2", "--out", f"{folder}/results"]
        results = []
        # What the host's models cost is measured once and is no part of the tape.
        process_s(["-m", "sim.cli", "calibrate"], environment)
        for what, at_most, aim in (("cold", 300.0, None), ("warm", 120.0, 90.0)):
            start = perf_counter()
            cpu_s = process_s(command, environment)
            wall_s = perf_counter() - start
            name = f"study of 480 points, {what} tape, 2 processes"
            results.append(result(name, wall_s, "s", at_most=at_most, aim=aim, cpu_s=cpu_s))
        manifest = json.loads(next(Path(folder).rglob("sweep-*/manifest.json")).read_text())
        writing_s = _writing_s(next(Path(folder).rglob("sweep-*/sweep.parquet")), folder)
        share = writing_s / manifest["run_facts"]["wall_s"]
        results.append(result("tables, figures and report of the warm study", share, "of its time", at_most=0.15))
        os.environ.update(environment)
        results.append(_replay_over_live())
    return results


def _writing_s(table: Path, folder: str) -> float:
    """Seconds of writing all that a sweep leaves: the tables of its points, its own, figures and report."""
    import pandas as pd

    from sim.results.point_log import pack_table
    from sim.results.reading import read_point
    from sim.results.saved_points import SavedPoints
    from sim.scenario.points import expand
    from sim.scenario.schema import Scenario
    from sim.sweep.gather import Gathered, gather

    scenario = Scenario.from_dict(STUDY)
    frame = pd.read_parquet(table)
    points = [replace(point, address=f"{point.index:064x}") for point in expand(scenario)]
    rows = read_point(table.parent, frame["run_id"].iloc[0]).to_dict("records")
    summary = {name: value for name, value in frame.iloc[0].to_dict().items() if name.endswith("_s")}
    saved = SavedPoints(Path(folder) / "again" / "points")
    start = perf_counter()
    for point in points:
        saved.save(point.address, summary, {"requests": pack_table(rows)})
    finished = saved.finish([point.address for point in points])
    gather(Path(folder) / "again", Gathered(scenario, points, frame, {}, finished, ("requests",)), {})
    return perf_counter() - start


def _replay_over_live() -> dict[str, Any]:
    """One point of the study: decoded while simulating, and replayed; CPU seconds of this process."""
    from sim.links.shannon import FADING_MEMORY
    from sim.runs.prepare import prepare
    from sim.runs.run import simulate
    from sim.scenario.schema import Scenario

    # As a sweep's workers do; the live run has it, too.
    FADING_MEMORY.keep(60_000)
    scenario = Scenario.from_dict({key: value for key, value in STUDY.items() if key != "sweep"})
    replayed = prepare(scenario)
    simulate(scenario, replayed)
    start = process_time()
    for _ in range(3):
        simulate(scenario, replayed)
    replay_s = (process_time() - start) / 3
    live = prepare(scenario, live=True)
    start = process_time()
    simulate(scenario, live)
    live_s = process_time() - start
    return result(
        "replay over live decoding of the same point",
        live_s / replay_s,
        "times faster",
        at_least=50.0,
        replay_s=replay_s,
    )
