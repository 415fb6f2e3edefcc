"""Peak memory against simulated time, tables flushed to disk."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.bench.measure import result

_CHILD = """
import resource, sys, tempfile
from pathlib import Path
from sim.results.tables import RunTables
from sim.results.summary import SummaryBuilder
from tests.bench.kernel import LINKS, world
with tempfile.TemporaryDirectory() as folder:
    simulated_s = float(sys.argv[1])
    ready = world(LINKS["fixed"], simulated_s, RunTables(Path(folder), SummaryBuilder().add))
    ready.run(simulated_s)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mib(simulated_s: float) -> float:
    """Peak resident memory of a run of this length in a process of its own."""
    command = [sys.executable, "-c", _CHILD, str(simulated_s)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(printed.split()[-1]) / 1024


def run() -> list[dict[str, Any]]:
    """Six times the simulated time must not cost more than a tenth more memory."""
    short, long = peak_mib(300), peak_mib(1800)
    return [
        result(
            "peak memory, 1800 over 300 simulated seconds",
            long / short,
            "ratio",
            at_most=1.1,
            short_mib=short,
            long_mib=long,
        )
    ]
