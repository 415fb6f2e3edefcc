"""Cells of a city as worlds of their own, against the same cells and devices as one explicit world."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean
from typing import Any

from sim.runs.city.layout import explicit_city
from sim.runs.prepare import prepare
from sim.runs.run import simulate
from sim.scenario.loading import load_scenario
from sim.sweep.city import run_city
from tests.validation.registry import Row, near, section

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


@section("link-level chain", fast=False)
def city_and_one_world() -> Iterable[Row]:
    """Seven busy cells after four rounds."""
    found = [deviations_percent(BUSY, seed)[-1] for seed in SEEDS]
    source = "the same cells and devices as one world with explicit interference"
    note = f"mean of seeds {', '.join(map(str, SEEDS))}; percent"
    for what, place, within in (("throughput", 0, 5.0), ("95th percentile of the latency", 1, 10.0)):
        value = mean(one[place] for one in found)
        yield near(
            f"seven cells as worlds of their own: deviation of the {what} (%)",
            source,
            0.0,
            value,
            abs=within,
            note=note,
        )
