"""The whole fuzzer, ``make fuzz``: mutated scenarios and files, tiny runs, killed sweeps, lost power; all seeded."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from sim.tape.archive import SHIPPED_VARIABLE
from tests.fuzz.watch import Outcome, run_watched

_SHOWN = 20


def main() -> int:
    """Run all groups; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    for name, count in (("scenarios", 20_000), ("files", 2_000), ("runs", 500), ("kills", 200), ("power", 100)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # The tapes that ship are not what is fuzzed; `tape verify` would read them all in each case.
        os.environ |= {"SPECRAN_CACHE": f"{folder}/cache", SHIPPED_VARIABLE: ""}
        work = Path(folder) / "work"
        work.mkdir()
        found = [
            fuzz_scenarios(work, chosen.scenarios, chosen.seed),
            fuzz_runs(work, chosen.runs, chosen.seed),
            fuzz_files(work, chosen.files, chosen.seed),
        ]
        without_pictures()
        found += [
            fuzz_kills(Path(folder) / "kills", chosen.kills, chosen.seed),
            fuzz_power(Path(folder) / "power", chosen.power, chosen.seed),
        ]
    return 1 if any(found) else 0


def fuzz_scenarios(folder: Path, count: int, seed: int) -> int:
    """Validate mutated scenarios; returns how many were at fault."""
    from tests.fuzz import scenarios

    sources, keys = scenarios.bases(), scenarios.known_keys()
    cases = [scenarios.scenario_case(index, seed, sources, keys) for index in range(count)]
    return _report("scenarios", cases, lambda case: scenarios.check(case, folder), lambda case: case.text)


def fuzz_runs(folder: Path, count: int, seed: int) -> int:
    """Run mutated tiny scenarios; returns how many were at fault."""
    from tests.fuzz import scenarios

    sources, keys = scenarios.bases(), scenarios.known_keys()
    cases = [scenarios.run_case(index, seed, sources, keys) for index in range(count)]
    return _report("tiny runs", cases, lambda case: scenarios.check(case, folder), lambda case: case.text, hang_s=30.0)


def fuzz_files(folder: Path, count: int, seed: int) -> int:
    """Have mutated files read; returns how many were at fault."""
    from tests.fuzz import files

    kinds = files.prepare_folder(folder)

    def call(case: files.FileCase) -> int:
        files.stop_before_running()
        return files.check(case, folder)

    found, codes = 0, list[int | None]()
    for kind in kinds:
        good = run_watched([files.FileCase(kind, kind.content)], call, 60.0, lambda one: codes.append(one.code))
        if good or codes.pop() not in (0, 1):
            raise AssertionError(f"a good file is not taken: {kind.name}")
        cases = [files.file_case(kind, index, seed) for index in range(count)]
        found += _report(kind.name, cases, call, lambda case: repr(case.content[:2000]))
    return found


def without_pictures() -> None:
    """From here on sweeps draw nothing and report nothing, in this process."""
    import sim.figures.sweep_figures
    import sim.report.results

    sim.figures.sweep_figures.draw_sweep = lambda *_, **__: []  # type: ignore[assignment]
    sim.report.results.report_sweep = lambda place, *_: place  # type: ignore[assignment]


def fuzz_kills(folder: Path, count: int, seed: int) -> int:
    """Kill sweeps at changes of files; raises AssertionError if a table or a tape is another one afterwards."""
    from tests.fuzz.kills import kill_and_resume
    from tests.fuzz.sweeps import small_sweep

    start = perf_counter()
    small = small_sweep(folder)
    killed = kill_and_resume(small.path, folder, small.table, small.recorded, count, seed)
    text = f"{killed.while_recording} while recording, {killed.later} later"
    print(f"{'kills':<24}{count:>8}  all tables equal ({text})  {perf_counter() - start:.0f} s", flush=True)
    return 0


def fuzz_power(folder: Path, count: int, seed: int) -> int:
    """Cut the power of sweeps; raises AssertionError if anything but points that are run again is lost."""
    from tests.fuzz.power import lose_power_and_resume
    from tests.fuzz.sweeps import small_sweep

    start = perf_counter()
    small = small_sweep(folder)
    lost = lose_power_and_resume(small, folder, count, seed)
    text = f"{lost.lost_points} points and {lost.lost_entries} recordings made again"
    print(f"{'losses of power':<24}{count:>8}  all tables equal ({text})  {perf_counter() - start:.0f} s", flush=True)
    return 0


def _report(name: str, cases: Sequence[Any], call: Any, show: Any, hang_s: float = 5.0) -> int:
    start = perf_counter()
    codes: dict[int | None, int] = {}

    def count(outcome: Outcome) -> None:
        codes[outcome.code] = codes.get(outcome.code, 0) + 1

    faults = run_watched(cases, call, hang_s, count)
    told = ", ".join(f"{number} x exit {code}" for code, number in sorted(codes.items(), key=str))
    seconds = perf_counter() - start
    print(f"{name:<24}{len(cases):>8}  {len(faults)} at fault ({told})  {seconds:.0f} s", flush=True)
    for fault in faults[:_SHOWN]:
        print(f"--- case {fault.index}: {fault.fault}\n{show(cases[fault.index])}\n", file=sys.stderr)
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
