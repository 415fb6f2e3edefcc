"""Load over a window: throughput, utilisation and queues against the closed forms of queueing theory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.core.errors import RunError
from sim.decoding.core.steps import Location
from sim.nodes.monitor import QueueMonitor
from sim.report.warnings import run_warnings
from sim.results.output import RunOutput
from sim.runs.world import World
from sim.scenario.schema import Scenario
from tests.worlds import drawn_inputs, recorded_inputs, simulate_drawn, small_scenario

_NO_AIR = {"kind": "fixed", "uplink_mbps": 1e6, "downlink_mbps": 1e6, "one_way_delay_s": 0.0}
SERVICE_S = 0.1


def one_token_requests(devices: dict[str, Any], **edge: Any) -> Scenario:
    """Requests of one token at an edge that computes them one by one, each in a tenth of a second."""
    fixed = {"kind": "fixed", "per_forward_s": SERVICE_S, "per_token_s": 0.0}
    return small_scenario(
        devices=devices,
        workload={"max_new_tokens": 1, "distinct_requests": 1},
        protocol={"name": "edge_only"},
        link=_NO_AIR,
        edge={"engine": "fcfs", "max_batch": 1, **edge},
        compute=dict.fromkeys(("device", "edge", "cloud"), fixed),
    )


def poisson(rho: float, duration_s: float, count: int = 1000, **keys: Any) -> dict[str, Any]:
    """Devices that together offer a share of what one server computes."""
    rate_hz = rho / SERVICE_S
    window = {"duration_s": duration_s, "warmup_s": 20.0, **keys}
    return {"count": count, "arrivals": "poisson", "arrival_rate_hz": rate_hz / count, **window}


def output_of(scenario: Scenario) -> RunOutput:
    return World(scenario, recorded_inputs(scenario)).run()


def test_a_thousand_devices_at_half_load_are_m_d_1() -> None:
    """Queue rho / (2 (1 - rho)) service times, 50 ms; 15,000 requests put its standard error at 2.4 %."""
    summary = simulate_drawn(one_token_requests(poisson(0.5, 3000.0)))
    assert summary["edge_queue_mean_s"] == pytest.approx(0.05, rel=0.05)
    assert summary["edge_utilisation"] == pytest.approx(0.5, rel=0.01)
    assert summary["tokens_per_s"] == pytest.approx(5.0, rel=0.02)
    assert summary["in_flight_mean"] == pytest.approx(summary["offered_rps"] * summary["e2e_mean_s"], rel=0.01)
    assert summary["overload"] == 0 and not any("overload" in text for text in run_warnings(summary, {}))


@pytest.mark.parametrize("arrivals", ["per device", "together"])
def test_beyond_capacity_the_window_shows_it_and_the_overload_is_told(arrivals: str) -> None:
    devices = poisson(1.34, 200.0, 500, in_flight="cut")
    if arrivals == "together":
        devices = {**devices, "arrival_rate_hz": None, "total_rate_hz": 1.34 / SERVICE_S}
    summary = simulate_drawn(one_token_requests(devices))
    assert summary["tokens_per_s"] == pytest.approx(1 / SERVICE_S, rel=0.02)
    assert summary["offered_rps"] == pytest.approx(1.34 / SERVICE_S, rel=0.05)
    assert summary["edge_utilisation"] == pytest.approx(1.0, abs=1e-6)
    assert summary["overload"] == 1 and summary["in_flight_end"] > 300
    (text,) = [text for text in run_warnings(summary, {}) if text.startswith("overload")]
    assert text.startswith(f"overload: offered {summary['offered_rps']:.3g} requests/s, capacity 10")


def test_draining_and_cutting_measure_the_same_window() -> None:
    drained, cut = (output_of(one_token_requests(poisson(0.9, 60.0, 50, in_flight=way))) for way in ("drain", "cut"))
    assert str(drained.figures) == str(cut.figures)
    late = [row for row in drained.requests if row["issued_s"] + row["e2e_s"] > 80.0]
    assert late and len(cut.requests) == len(drained.requests) - len(late)
    assert cut.simulated_s == 80.0 < drained.simulated_s


def test_only_requests_of_the_window_are_measured() -> None:
    output = output_of(one_token_requests(poisson(0.5, 30.0, 10)))
    measured = [row for row in output.requests if row["measured"]]
    assert measured == [row for row in output.requests if row["issued_s"] >= 20.0]
    assert 0 < len(measured) < len(output.requests) and max(row["issued_s"] for row in output.requests) < 50.0
    ended = sum(20.0 <= row["issued_s"] + row["e2e_s"] < 50.0 for row in output.requests)
    assert output.figures["tokens_per_s"] == output.figures["completed_rps"] == ended / 30.0
    assert output.figures["offered_rps"] == len(measured) / 30.0


def test_a_closed_loop_runs_over_a_window() -> None:
    """Mean value analysis of ten devices that think for a second: exact to the servers' constant times."""
    summary = simulate_drawn(
        one_token_requests({"count": 3, "think_time_s": 1.0, "duration_s": 400.0, "warmup_s": 10.0})
    )
    assert summary["completed_rps"] == pytest.approx(3 / (1.0 + summary["e2e_mean_s"]), rel=0.05)
    assert summary["window_s"] == 400.0 and summary["overload"] == 0


def test_times_of_a_file_are_looped_over_the_devices_and_sped_up(tmp_path: Path) -> None:
    path = tmp_path / "times.csv"
    path.write_text("time_s,device\n" + "".join(f"{0.5 * number},\n" for number in range(20)))
    keys = {"count": 4, "arrivals": str(path), "duration_s": 8.0}
    rows = output_of(one_token_requests(keys)).requests
    assert [(row["device"], row["issued_s"]) for row in rows[:2]] == [(0, 0.0), (0, 2.0)] and len(rows) == 16
    faster = output_of(one_token_requests({**keys, "trace_speedup": 2.0})).requests
    assert len(faster) == 20 and faster[1]["issued_s"] == 1.0


def test_somebody_lost_breaks_littles_law() -> None:
    queue = QueueMonitor("a queue")
    queue.enter(10)
    queue.enter(20)
    queue.leave(50)
    queue.check(60, (50 - 10) + (60 - 20))
    with pytest.raises(RunError, match="Little's law does not hold of a queue: the number inside adds up to 90 ns"):
        queue.check(70, 50 - 10)


@pytest.mark.parametrize(("queue", "name"), [("queue", "requests at their devices"), ("requests", "requests")])
def test_a_run_checks_littles_law(queue: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = one_token_requests(poisson(0.5, 5.0, 10, in_flight="cut"))
    world = World(scenario, recorded_inputs(scenario))
    world.run()
    world = World(scenario, recorded_inputs(scenario))
    monkeypatch.setattr(getattr(world, queue), "leave", lambda *_: None)
    with pytest.raises(RunError, match=f"Little's law does not hold of {name}"):
        world.run()


def test_a_run_checks_littles_law_of_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = one_token_requests(poisson(0.5, 5.0, 10))
    world = World(scenario, recorded_inputs(scenario))
    monkeypatch.setattr(world.sites[Location.EDGE].replicas[0].jobs, "leave", lambda *_: None)
    with pytest.raises(RunError, match="Little's law does not hold of edge"):
        world.run()


def test_requests_that_never_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = one_token_requests({"count": 3, "requests": 2})
    world = World(scenario, recorded_inputs(scenario))
    engine = world.sites[Location.EDGE].replicas[0].engine
    monkeypatch.setattr(type(engine), "has_work", False)
    with pytest.raises(RunError, match="3 requests never ended"):
        world.run()


def test_replicas_share_the_load() -> None:
    scenario = one_token_requests(poisson(1.6, 300.0, 100), replicas=2)
    summary = simulate_drawn(scenario)
    assert summary["edge_utilisation"] == pytest.approx(0.8, rel=0.05)
    assert summary["tokens_per_s"] == pytest.approx(16.0, rel=0.05)


def test_many_requests_of_a_window_share_few_recordings() -> None:
    scenario = one_token_requests(poisson(0.5, 20.0, 10))
    inputs = drawn_inputs(scenario)
    assert len(inputs.planned) == 1
    assert inputs.source is not None
    asked = [inputs.source.request(device, index, 0) for device in range(3) for index in range(2)]
    assert {one.id for one in asked if one} == {0} and len({one.unique_id for one in asked if one}) == 6
    alone = scenario.replace("workload.distinct_requests", None)
    assert len(drawn_inputs(alone).planned) == len(output_of(alone).requests)
    assert str(output_of(alone).figures) == str(output_of(scenario).figures)
