"""A load of devices of several kinds is one number, by which all kinds are scaled alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sim.core.errors import InputError
from sim.scenario.kinds import MixedDevices
from sim.scenario.loading import load_scenario
from sim.sweep import capacity as module
from sim.sweep.capacity import Search, find_capacity
from sim.sweep.kinds_load import COUNT, RATE, kinds_of, load_of_kinds, scaled_kinds

SCENARIO = load_scenario("phones_and_jetsons")  # 12 phones at .05 and 4 Jetsons at .2 requests per second


def kinds() -> Any:
    assert isinstance(SCENARIO.devices, MixedDevices)
    return SCENARIO.devices.kinds


def test_the_load_is_that_of_all() -> None:
    assert load_of_kinds(kinds(), COUNT) == 16
    assert load_of_kinds(kinds(), RATE) == pytest.approx(12 * 0.05 + 4 * 0.2)


def test_counts_keep_their_ratio_and_their_sum() -> None:
    assert scaled_kinds(kinds(), COUNT, 32) == {"devices.phones.count": 24, "devices.jetsons.count": 8}
    for total in range(2, 60):
        counts = scaled_kinds(kinds(), COUNT, total)
        assert sum(counts.values()) == total and min(counts.values()) >= 1
        assert abs(counts["devices.phones.count"] - 0.75 * total) < 1
    assert scaled_kinds(kinds(), COUNT, 2) == {"devices.phones.count": 1, "devices.jetsons.count": 1}


def test_rates_are_scaled_by_one_factor() -> None:
    rates = scaled_kinds(kinds(), RATE, 2.8)
    assert rates == pytest.approx({"devices.phones.arrival_rate_hz": 0.1, "devices.jetsons.arrival_rate_hz": 0.4})


def test_a_kinds_own_key_is_its_own_and_others_are_refused() -> None:
    assert kinds_of(SCENARIO, "devices.phones.count") == () and kinds_of(SCENARIO, "edge.max_batch") == ()
    for key in ("devices", "devices.think_time_s"):
        with pytest.raises(InputError, match=r"several kinds; valid: devices\.count and devices\.total_rate_hz"):
            kinds_of(SCENARIO, key)
    rate = "devices.phones.arrival_rate_hz"
    closed = load_scenario("phones_and_jetsons", {"devices.phones.arrivals": "closed", rate: None})
    with pytest.raises(InputError, match="requests of phones come without a rate"):
        load_of_kinds(kinds_of(closed, RATE), RATE)


def test_capacity_of_all_kinds_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(one: Any, out: Path, **_: Any) -> tuple[pd.DataFrame, list[str]]:
        load = one.sweep.zip["devices.phones.count"][0] + one.sweep.zip["devices.jetsons.count"][0]
        share = max(0.0, 1 - load / 80)
        return pd.DataFrame([{"goodput_rps": share, "offered_rps": 1.0}] * one.sweep.replications), []

    monkeypatch.setattr(module, "evaluate", evaluate)
    found = find_capacity(SCENARIO, Search(COUNT, share=0.5))
    assert found.bracket == (40, 41)
    assert COUNT in found.runs
