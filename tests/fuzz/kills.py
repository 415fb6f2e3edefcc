"""Sweeps killed at their n-th change of a file: the same n kills at the same place, however fast the machine is."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sim.results.point_log import read_points
from sim.tape.inspect import verify_tape
from sim.tape.store import TapeStore

# Imports and loads everything once, then forks a child for each line that it reads: the number of the change of a file
# at which the child is killed, 0 for none. Says the child's exit code and how many changes it has made.
NURSERY = """
import os, signal, sys
from sim.figures import sweep_figures
from sim.report import results
from sim.results import point_log
from sim.inputs.scenario_models import load_models
from sim.scenario.loading import load_scenario
from sim.sweep.run import sweep
sweep_figures.draw_sweep = lambda *_, **__: []
results.report_sweep = lambda folder, *_: folder
scenario = load_scenario(sys.argv[1])
load_models(scenario.models, ("draft", "target"))
changing = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
count = kill_at = 0

def hook(event, arguments):
    global count
    if event in changing or (event == "open" and "/" in str(arguments[0]) and (arguments[2] or 0) & 0o3):
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

add = point_log.PointWriter.add

def counted_add(writer, data):
    hook("os.rename", ())
    add(writer, data)

point_log.PointWriter.add = counted_add
print("ready", flush=True)
for line in sys.stdin:
    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        kill_at = int(line)
        sys.addaudithook(hook)
        result = sweep(scenario, sys.argv[2], jobs=1, resume=True)
        os.write(send, b"%d" % count)
        os._exit(len(result.failed))
    os.close(send)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(code, int(os.read(receive, 20) or 0), flush=True)
    os.close(receive)
"""


class Nursery:
    """Runs the sweep of a scenario file in processes that can be killed.

    Args:
        path: The scenario.
        out: Folder of results.
        cache: Folder of the tape.
    """

    def __init__(self, path: Path, out: Path, cache: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(path), str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "SPECRAN_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, kill_at: int = 0) -> None:
        """Begin a sweep that is killed at its n-th change of a file; 0 for never."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{kill_at}\n")
        self.process.stdin.flush()

    def ended(self) -> tuple[int, int]:
        """Exit code of the sweep that was started, and how many changes it made if it was not killed."""
        code, changes = self._line().split()
        return int(code), int(changes)

    def run(self, kill_at: int = 0) -> tuple[int, int]:
        """Run a sweep to its end or its kill."""
        self.start(kill_at)
        return self.ended()

    def close(self) -> None:
        """End the nursery."""
        self.process.kill()
        self.process.wait()


def unfinished(folder: Path) -> list[Path]:
    """What a killed process left half written."""
    names = (".unfinished-", "journal-", "needed-")
    return [path for path in folder.rglob("*") if path.name.startswith(names)]


@dataclass(frozen=True)
class Killed:
    """How often a sweep was killed: while its requests were recorded, and later."""

    while_recording: int
    later: int


def kill_and_resume(
    path: Path, work: Path, expected: bytes, recorded: dict[str, bytes], kills: int, seed: int
) -> Killed:
    """Kill a sweep over and over, let it go on each time, and hold its table and its tape against undisturbed ones.

    Every other time all requests are on tape already, so that the kills are spread over recording and what follows.

    Args:
        path: The scenario.
        work: Folder to work in.
        expected: The table as Parquet.
        recorded: Tape entries by file name.
        kills: How many kills there are to be.
        seed: Of the places of the kills.
    """
    out, cache = work / "killed", work / "killed-cache"
    store = TapeStore(cache / "tape")
    rng = random.Random(seed)
    nursery = Nursery(path, out, cache)
    code, changes_in_all = nursery.run()
    assert code == 0
    shutil.rmtree(out)
    code, changes_later = nursery.run()
    assert code == 0
    counts = [0, 0]
    while sum(counts) < kills:
        is_recorded = counts[0] > counts[1]
        changes = changes_later if is_recorded else changes_in_all
        shutil.rmtree(out)
        if not is_recorded:
            shutil.rmtree(cache)
        for kill_at in (rng.randint(1, changes), rng.randint(1, changes // 2)):
            code, _ = nursery.run(kill_at)
            if code:
                assert code == -signal.SIGKILL
                counts[len(store.list_keys()) == len(recorded)] += 1
            assert not verify_tape(store).damaged
            whole = [point for file in out.rglob("*.points") for point in read_points(file)]
            assert sum(point.length for point in whole) == sum(file.stat().st_size for file in out.rglob("*.points"))
        assert nursery.run()[0] == 0
        (table,) = out.rglob("sweep.parquet")
        assert table.read_bytes() == expected
        assert not unfinished(out) and not unfinished(cache)
        assert {entry.name: entry.read_bytes() for entry in store.files()} == recorded
    nursery.close()
    return Killed(*counts)
