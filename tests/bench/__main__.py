"""Run the benchmarks and write ``results/reference/bench.json``; names given on the command line select some."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from sim.core.gc_tuning import relax_gc
from sim.runs.manifest import versions
from tests.bench.measure import yardstick_ms

REFERENCE = Path(__file__).resolve().parent.parent.parent / "results" / "reference" / "bench.json"
BENCHES = (
    "startup",
    "speculation",
    "verification",
    "kernel",
    "cell",
    "sectors",
    "memory",
    "steady",
    "recording",
    "halves",
    "quickstart",
    "study",
    "scale",
)


def processor() -> str:
    """What the operating system calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main(names: list[str]) -> int:
    """Run and record; 1 if a target was missed."""
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; valid: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    try:
        record: dict[str, Any] = json.loads(REFERENCE.read_text())
    except (OSError, ValueError):
        record = {}
    missed = 0
    # As the command line does.
    relax_gc()
    for name in names or BENCHES:
        before_ms, start = yardstick_ms(), perf_counter()
        results = import_module(f"tests.bench.{name}").run()
        for result in results:
            met = "" if result.get("met") is None else ("  met" if result["met"] else "  MISSED")
            print(f"{name:<12} {result['what']:<66} {result['value']:>9.3g} {result['unit']:<22}{met}", flush=True)
            missed += result.get("met") is False
        took_s, yardstick = perf_counter() - start, [before_ms, yardstick_ms()]
        record[name] = {"results": results, "took_s": round(took_s, 1), "yardstick_ms_before_and_after": yardstick}
        record["host"] = {"processor": processor(), "cpus": os.cpu_count(), "versions": versions()}
        REFERENCE.parent.mkdir(parents=True, exist_ok=True)
        REFERENCE.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
