"""Sweeps and recordings killed at random moments: resuming gives the table of an undisturbed run, and no half files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.scenario.schema import Scenario
from sim.sweep.run import sweep
from sim.tape.contents import verify_tape
from sim.tape.store import TapeStore

KILLS = 10  # of recordings, and as many of simulations

# The child says when its work begins, so that kills fall into it and not into imports.
CHILD = """
import sys, time
from sim.figures import sweep_figures
from sim.report import results
from sim.scenario.loading import load_scenario
from sim.sweep.run import sweep
import sim.models.loading
sweep_figures.draw_sweep = lambda *_: []
results.report_sweep = lambda folder, *_: folder
scenario = load_scenario(sys.argv[1])
print("ready", flush=True)
result = sweep(scenario, sys.argv[2], jobs=1, resume=True)
print("finished", len(result.failed), flush=True)
"""


def run_child(path: Path, out: Path, cache: Path, kill_after_s: float | None) -> str:
    """Run the sweep in a process of its own; killed so long after it began, unless it was faster."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SPECRAN_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.communicate()[1]
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        child.send_signal(signal.SIGKILL)
    said, errors = child.communicate()
    assert child.returncode in (0, -signal.SIGKILL), errors
    return said


def unfinished(folder: Path) -> list[Path]:
    """What a killed process left half written."""
    return [path for path in folder.rglob("*") if path.name.startswith(".unfinished")]


@pytest.mark.usefixtures("no_pictures")
def test_killed_and_resumed_equals_undisturbed(tiny_keys: dict, cache: Path, tmp_path: Path):
    tiny_keys["devices"] = {"count": 4, "requests": 2}
    tiny_keys["sweep"] = {"axes": {"link.uplink_bandwidth_mhz": [0.1, 0.2, 0.5]}, "replications": 30}
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    start = time.perf_counter()
    undisturbed = sweep(Scenario.from_dict(tiny_keys), tmp_path / "undisturbed", jobs=1)
    whole_s = time.perf_counter() - start
    expected = (undisturbed.folder / "sweep.parquet").read_bytes()
    luck = random.Random(7)
    out, killed_cache = tmp_path / "killed", tmp_path / "killed-cache"
    store = TapeStore(killed_cache / "tape")
    kills = 0
    for attempt in range(2 * KILLS):
        said = run_child(path, out, killed_cache, luck.uniform(0, whole_s / (3 if attempt % 2 else 8)))
        kills += "finished" not in said
        assert not verify_tape(store)
        for summary in out.rglob("summary.json"):
            json.loads(summary.read_text())
        if attempt == KILLS:
            # Half way, so that the second half is spent in simulating, and some of what was done is damaged too.
            for entry in list(store.files())[:3]:
                entry.write_bytes(entry.read_bytes()[:100])
            assert len(verify_tape(store)) <= 3
            for key in verify_tape(store):
                store.path(key).unlink()
    assert kills >= KILLS
    assert "finished 0" in run_child(path, out, killed_cache, None)
    (table,) = out.rglob("sweep.parquet")
    assert table.read_bytes() == expected
    assert not unfinished(out)
    recorded = {entry.name: entry.read_bytes() for entry in TapeStore(cache / "tape").files()}
    assert {entry.name: entry.read_bytes() for entry in store.files()} == recorded


@pytest.mark.usefixtures("no_pictures")
def test_two_sweeps_in_one_folder_do_not_harm_each_other(tiny_keys: dict, cache: Path, tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    alone = sweep(Scenario.from_dict(tiny_keys), tmp_path / "alone", jobs=1)
    environment = {**os.environ, "SPECRAN_CACHE": str(tmp_path / "shared-cache")}
    command = [sys.executable, "-c", CHILD, str(path), str(tmp_path / "shared")]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    for process in both:
        said, errors = process.communicate()
        assert "finished 0" in said, errors
    (table,) = (tmp_path / "shared").rglob("sweep.parquet")
    assert table.read_bytes() == (alone.folder / "sweep.parquet").read_bytes()
    assert not unfinished(tmp_path / "shared")
    assert len(list(table.parent.glob("points/*/summary.json"))) == 8
