"""Sweeps and recordings killed at random moments: resuming gives the table of an undisturbed run, and no half files."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sim.scenario.schema import Scenario
from sim.sweep.run import sweep
from sim.tape.inspect import verify_tape
from sim.tape.store import TapeStore

KILLS = 20

# Imports and loads everything once, then forks a child for each line that it reads: kills fall into work alone.
NURSERY = """
import os, sys
from sim.figures import sweep_figures
from sim.runs.prepare import load_models
from sim.report import results
from sim.scenario.loading import load_scenario
from sim.sweep.run import sweep
sweep_figures.draw_sweep = lambda *_: []
results.report_sweep = lambda folder, *_: folder
scenario = load_scenario(sys.argv[1])
load_models(scenario.models, ("draft", "target"))
print("ready", flush=True)
for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        result = sweep(scenario, sys.argv[2], jobs=1, resume=True)
        os._exit(len(result.failed))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """Runs the sweep of a scenario file in processes that can be killed."""

    def __init__(self, path: Path, out: Path, cache: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(path), str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "SPECRAN_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        )
        assert self._said() == "ready"

    def _said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self) -> int:
        """Begin a sweep; returns its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return int(self._said())

    def run(self, kill_after_s: float | None = None) -> int:
        """Run a sweep, killed so long after its start unless it was faster; returns its exit code."""
        pid = self.start()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self.ended()

    def timed(self, store: TapeStore, num_entries: int) -> tuple[float, float]:
        """Run a sweep; returns seconds until its requests were recorded, and all of its seconds."""
        start = time.perf_counter()
        self.start()
        while len(store.list_keys()) < num_entries:
            time.sleep(0.001)
        recording_s = time.perf_counter() - start
        assert self.ended() == 0
        return recording_s, time.perf_counter() - start

    def ended(self) -> int:
        """Exit code of the sweep that was started."""
        return int(self._said())

    def close(self) -> None:
        """End the nursery."""
        self.process.kill()
        self.process.wait()


def unfinished(folder: Path) -> list[Path]:
    """What a killed process left half written."""
    return [path for path in folder.rglob("*") if path.name.startswith(".unfinished")]


@pytest.mark.usefixtures("no_pictures")
def test_killed_and_resumed_equals_undisturbed(tiny_keys: dict, cache: Path, tmp_path: Path):
    """Over and over: killed while recording, killed again wherever it has got to, then resumed to the end."""
    tiny_keys["devices"] = {"count": 2, "requests": 2}
    tiny_keys["sweep"] = {"axes": {"link.uplink_bandwidth_mhz": [0.1, 0.2, 0.5]}, "replications": 8}
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    undisturbed = sweep(Scenario.from_dict(tiny_keys), tmp_path / "undisturbed", jobs=1)
    expected = (undisturbed.folder / "sweep.parquet").read_bytes()
    recorded = {entry.name: entry.read_bytes() for entry in TapeStore(cache / "tape").files()}
    out, killed_cache = tmp_path / "killed", tmp_path / "killed-cache"
    store = TapeStore(killed_cache / "tape")
    nursery = Nursery(path, out, killed_cache)
    rng = random.Random(7)
    recording_s, whole_s = nursery.timed(store, len(recorded))
    while_recording = later = 0
    for _ in range(5 * KILLS):
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(killed_cache)
        for max_s in (recording_s, whole_s):
            if nursery.run(rng.uniform(0, max_s)) == -signal.SIGKILL:
                is_recorded = len(store.list_keys()) == len(recorded)
                while_recording, later = while_recording + (not is_recorded), later + is_recorded
            assert not verify_tape(store)
            for summary in out.rglob("summary.json"):
                json.loads(summary.read_text())
        assert nursery.run() == 0
        (table,) = out.rglob("sweep.parquet")
        assert table.read_bytes() == expected
        assert not unfinished(out) and not unfinished(killed_cache)
        assert {entry.name: entry.read_bytes() for entry in store.files()} == recorded
        if while_recording + later >= KILLS and min(while_recording, later) >= KILLS // 5:
            break
    else:
        pytest.fail(f"only {while_recording} kills while recording and {later} later")
    nursery.close()


@pytest.mark.usefixtures("no_pictures")
def test_two_sweeps_in_one_folder_do_not_harm_each_other(tiny_keys: dict, cache: Path, tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    alone = sweep(Scenario.from_dict(tiny_keys), tmp_path / "alone", jobs=1)
    both = [Nursery(path, tmp_path / "shared", tmp_path / "shared-cache") for _ in range(2)]
    for nursery in both:
        nursery.start()
    for nursery in both:
        assert nursery.ended() == 0
        nursery.close()
    (table,) = (tmp_path / "shared").rglob("sweep.parquet")
    assert table.read_bytes() == (alone.folder / "sweep.parquet").read_bytes()
    assert not unfinished(tmp_path / "shared")
    assert len(list(table.parent.glob("points/*/summary.json"))) == 8
