"""Background traffic in whole runs: it costs time and never words, runs end, and the same seed gives the same bytes."""

from __future__ import annotations

import pytest

from sim.runs.world import World
from sim.scenario.overrides import apply_overrides
from sim.scenario.schema import Scenario
from tests.worlds import drawn_inputs, inputs, small_scenario

BUSY = [{"kind": "ftp", "users": 3, "rate_hz": 20, "file_bytes": 12_000}, {"kind": "voip", "users": 0}]


def ran(background, **changes):
    """All that a run puts out, and its link."""
    link = {"kind": "nr", "bandwidth_mhz": 5, "snr_db": 10.0, "background": background}
    scenario = Scenario.from_dict(apply_overrides(small_scenario().dump(), {"link": link, **changes}))
    world = World(scenario, inputs(scenario))
    return world.run(), world.link


CLOSED = {"devices.requests": 3}
OPEN = {"devices.arrivals": "poisson", "devices.arrival_rate_hz": 20, "devices.think_time_s": 0, "devices.requests": 3}


@pytest.mark.parametrize("arrivals", [CLOSED, OPEN], ids=["closed", "open"])
def test_a_run_ends_with_its_requests_and_says_the_same(arrivals):
    (idle, _), (busy, link), (again, _) = (ran(flows, **arrivals) for flows in ([], BUSY, BUSY))
    assert repr((busy.requests, busy.rounds, busy.link)) == repr((again.requests, again.rounds, again.link))
    assert [row["tokens"] for row in busy.rounds] == [row["tokens"] for row in idle.rounds]
    took_s = [sum(row["e2e_s"] for row in output.requests) for output in (idle, busy)]
    assert took_s[1] > took_s[0]
    assert len(busy.requests) == len(idle.requests) > 0
    assert busy.link["downlink_background_packets"] > 0
    assert busy.link["uplink_messages"] == idle.link["uplink_messages"]
    assert [row["flow"] for row in link.flows()] == [0, 1]


def test_a_run_does_not_end_while_somebody_thinks_between_two_turns():
    """Only who issues requests keeps such a run going: the link never comes to rest."""
    link = {"kind": "nr", "bandwidth_mhz": 5, "snr_db": 10.0, "background": BUSY[:1]}
    changes = {"link": link, **OPEN, "devices.count": 1, "devices.think_time_s": 0.5, "workload.turns": 3}
    scenario = Scenario.from_dict(apply_overrides(small_scenario().dump(), changes))
    output = World(scenario, drawn_inputs(scenario)).run()
    assert [row["request"] for row in output.requests] == [0, 1, 2]


@pytest.mark.parametrize("in_flight", ["drain", "cut"])
def test_a_window_is_kept_and_drained(in_flight):
    window = {"devices.requests": None, "devices.duration_s": 0.3, "devices.warmup_s": 0.1}
    output, _ = ran(BUSY, **window, **{"devices.in_flight": in_flight})
    assert output.figures["window_s"] == pytest.approx(0.3)
    assert output.simulated_s >= 0.4 if in_flight == "drain" else output.simulated_s == pytest.approx(0.4)
    assert output.requests
