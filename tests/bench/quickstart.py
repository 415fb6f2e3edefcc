"""The quickstart sweep as a user runs it first: nothing recorded, nothing calibrated."""

from __future__ import annotations

import tempfile
from time import perf_counter
from typing import Any

from tests.bench.measure import process_s, result


def run() -> list[dict[str, Any]]:
    """Wall seconds of the whole command with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        cpu_s = process_s(
            ["-m", "sim.cli", "sweep", "quickstart", "--out", f"{folder}/results"],
            {"SPECRAN_CACHE": f"{folder}/cache"},
        )
        wall_s = perf_counter() - start
    return [result("quickstart sweep, cold cache", wall_s, "s", at_most=60.0, cpu_s=cpu_s)]
