"""Cells of a city as worlds of their own beside the same as one world: ``python -m tests.bench.city_agreement``.

Both are this simulator's, so that it is no row of the validation table.
"""

from __future__ import annotations

from statistics import mean
from typing import Any

from sim.runs.city.layout import explicit_city
from sim.runs.prepare import prepare
from sim.runs.run import simulate
from sim.scenario.loading import load_scenario
from sim.sweep.city import run_city

SEEDS = (1, 2, 3)
"""The page on cities has eight of them, and nineteen sites."""
BUSY: dict[str, Any] = {
    "models": "embedded",
    "devices.duration_s": 5,
    "devices.count": 42,
    "devices.think_time_s": 0.5,
    "protocol.top_k": 512,
    "link.num_sites": 7,
    "link.bandwidth_mhz": 20,
}
"""Two fifths of the uplink's PRBs are in use."""


def deviations_percent(changes: dict[str, Any], seed: int) -> list[tuple[float, float]]:
    """By how much throughput and 95th percentile of the latency are off after each of four rounds."""
    whole = load_scenario("city", {**changes, "seed": seed})
    city = run_city(whole, None, max_rounds=4, tolerance=0)
    places = [list(place) for cell in explicit_city(whole) for place in cell.positions_m or ()]
    explicit = whole.replace("link.positions_m", places).replace("edge.sites", {})
    one = simulate(explicit, prepare(explicit), keep="summary").summary
    names = ("tokens_per_s", "e2e_p95_s")
    return [
        (100 * (figures[a] / one[a] - 1), 100 * (figures[b] / one[b] - 1))
        for a, b in [names]
        for figures in city.rounds
    ]


def main() -> None:
    """Print by how much seven busy cells are off after four rounds."""
    found = [deviations_percent(BUSY, seed)[-1] for seed in SEEDS]
    for what, place in (("throughput", 0), ("95th percentile of the latency", 1)):
        print(f"{what}: {mean(one[place] for one in found):+.2f} %, mean of seeds {', '.join(map(str, SEEDS))}")


if __name__ == "__main__":
    main()
