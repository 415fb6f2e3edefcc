"""Many cells under light load: slots per second of one core, 19 sites of three sectors, and the cost of a cell more."""

from __future__ import annotations

import os
import statistics
from typing import Any

from tests.bench.measure import result

_DEVICES_PER_CELL = 20
_REAL_TIME = 2_000.0


def run() -> list[dict[str, Any]]:
    """Medians over repeats; 20 devices per sector, each four messages of 600 bytes and four answers per second."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from sim.links.nr.full_buffer import FullBufferRun, run_light_load
    from sim.links.nr.settings import NrLinkSettings

    def light(num_sites: int) -> FullBufferRun:
        settings = NrLinkSettings(
            num_sites=num_sites,  # type: ignore[arg-type]
            sectors_per_site=3,
            interference="explicit",
            num_rx=2,
        )
        return run_light_load(settings, 3 * num_sites * _DEVICES_PER_CELL, 2000)

    runs = {sites: [light(sites) for _ in range(3)] for sites in (7, 19)}
    per_s, per_cpu_s = (
        {sites: statistics.median(getattr(one, name) for one in some) for sites, some in runs.items()}
        for name in ("slots_per_s", "slots_per_cpu_s")
    )
    growth = per_cpu_s[7] / per_cpu_s[19] / (19 / 7)
    unit = "slots per core second"
    what = "sectors, {} devices, 2 receive antennas, explicit interference, light load"
    return [
        result("21 " + what.format(420), per_cpu_s[7], unit, slots_per_wall_s=per_s[7]),
        result("57 " + what.format(1140), per_cpu_s[19], unit, at_least=_REAL_TIME, slots_per_wall_s=per_s[19]),
        result("cost of a slot per device, 57 over 21 sectors", growth, "ratio", at_most=1.1),
    ]
