"""Objectives, goodput, and requests that are given up at their deadline: all are counted, none is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.decoding.core.steps import Location
from sim.results.summary import SummaryBuilder
from sim.results.tables import RunTables
from sim.runs.world import World
from sim.scenario.schema import Scenario
from tests.world.test_steady_load import one_token_requests, poisson
from tests.worlds import inputs, recorded_inputs, simulate, simulate_drawn, small_scenario


def with_slo(scenario: Scenario, **slo: float) -> Scenario:
    """A scenario with objectives."""
    for key, value in slo.items():
        scenario = scenario.replace(f"slo.{key}", value)
    return scenario


def rows_and_summary(scenario: Scenario) -> tuple[list[dict[str, Any]], dict[str, Any], World]:
    builder = SummaryBuilder()
    world = World(scenario, recorded_inputs(scenario), RunTables(on_request=builder.add))
    output = world.run()
    return output.requests, builder.summary(output), world


def test_attainment_is_the_share_that_meets_all_objectives() -> None:
    load = one_token_requests(poisson(0.7, 120.0, 50))
    plain = simulate_drawn(load)
    assert plain["slo_attainment"] == 1 and plain["goodput_rps"] == plain["requests"] / 120 and plain["failed"] == 0
    assert "ttft_attainment" not in plain
    rows, summary, _ = rows_and_summary(with_slo(load, ttft_s=0.15, e2e_s=0.3, tpot_s=0.01))
    measured = [row for row in rows if row["measured"]]
    for name, limit_s in (("ttft", 0.15), ("e2e", 0.3)):
        share = sum(row[f"{name}_s"] <= limit_s for row in measured) / len(measured)
        assert 0 < share < 1 and summary[f"{name}_attainment"] == pytest.approx(share)
    assert summary["tpot_attainment"] == 1  # one token has no gap
    good = [row for row in measured if row["ttft_s"] <= 0.15 and row["e2e_s"] <= 0.3]
    assert summary["slo_attainment"] == len(good) / len(measured)
    assert sum(row["slo_met"] for row in measured) == len(good)
    assert summary["goodput_rps"] == len(good) / 120
    assert summary["e2e_mean_s"] == plain["e2e_mean_s"]


def test_those_given_up_are_counted_and_leave_the_queue() -> None:
    load = one_token_requests(poisson(1.5, 60.0, 200))
    rows, summary, world = rows_and_summary(with_slo(load, deadline_s=1.0))
    measured = [row for row in rows if row["measured"]]
    assert summary["requests"] + summary["failed"] == len(measured) and summary["failed"] > 200
    assert summary["failed"] == sum(row["given_up"] for row in measured)
    assert summary["e2e_p99_s"] <= 1.0
    given_up = [row for row in rows if row["given_up"]]
    assert max(row["e2e_s"] for row in given_up) == pytest.approx(1.0, abs=1e-6) and given_up[0]["tokens"] == 0
    ended = [row for row in rows if 20.0 <= row["issued_s"] + row["e2e_s"] < 80.0]
    assert len(ended) / 60 == pytest.approx(15, rel=0.1)  # those given up have left, too, but were not completed
    assert summary["completed_rps"] == sum(not row["given_up"] for row in ended) / 60 < 10
    # First come, first served, many are given up while they are computed at last: the server is busy for nothing.
    assert summary["edge_utilisation"] > 0.99 and 1 < summary["goodput_rps"] == summary["requests"] / 60 < 10
    # Little's law holds with those that left early, and nobody is left at the servers.
    assert world.sites[Location.EDGE].replicas[0].num_jobs == 0


@pytest.mark.parametrize("engine", ["fcfs", "continuous"])
def test_joules_of_those_given_up_are_not_lost(engine: str) -> None:
    edge = {"engine": engine, "max_batch": 2}
    compute = {"device": {"kind": "fixed", "per_forward_s": 0.002}, "cloud": {"kind": "fixed"}}
    compute["edge"] = {"kind": "fixed", "per_forward_s": 0.03, "per_token_s": 0.004, "power_w": 100.0}
    scenario = small_scenario(edge=edge, compute=compute, devices={"count": 8, "requests": 3})
    world = World(with_slo(scenario, deadline_s=0.2), inputs(scenario))
    output = world.run()
    assert 3 < sum(row["given_up"] for row in output.requests) <= 24 == len(output.requests)
    server = world.sites[Location.EDGE].replicas[0]
    charged = sum(row["edge_energy_j"] for row in output.requests)
    assert charged + server.engine.unattributed_joules == pytest.approx(server.monitor.counts.joules, rel=1e-9)
    assert server.engine.unattributed_joules > 0


@pytest.mark.parametrize("protocol", ["tslt", "specedge", "edge_only", "device_only", "gumbel"])
def test_texts_are_those_without_a_deadline_as_far_as_they_go(protocol: str) -> None:
    scenario = small_scenario(protocol={"name": protocol}, workload={"max_new_tokens": 20})
    whole = simulate(scenario)
    longest = max(row["e2e_s"] for row in whole.requests)
    assert simulate(with_slo(scenario, deadline_s=longest + 1)).requests == whole.requests
    output = World(with_slo(scenario, deadline_s=longest / 3), inputs(scenario)).run()
    assert any(row["given_up"] for row in output.requests)
    tokens = {(row["device"], row["request"]): row["tokens"] for row in whole.requests}
    for row in output.requests:
        all_tokens = tokens[row["device"], row["request"]]
        assert row["tokens"] == all_tokens if not row["given_up"] else row["tokens"] <= all_tokens


def test_a_deadline_that_nobody_reaches_does_not_move_the_end() -> None:
    scenario = small_scenario()
    assert simulate(with_slo(scenario, deadline_s=1000.0)).simulated_s == simulate(scenario).simulated_s


def test_what_waited_at_its_device_for_too_long_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "times.csv"
    path.write_text("time_s\n0\n0\n0.3\n")
    devices = {"count": 1, "requests": 3, "arrivals": str(path)}
    rows, summary, _ = rows_and_summary(with_slo(one_token_requests(devices), deadline_s=0.05))
    assert [row["given_up"] for row in rows] == [1, 1, 1] and summary["failed"] == 3 and summary["goodput_rps"] == 0
    assert [row["uplink_messages"] for row in rows] == [1, 0, 1]
    assert rows[1]["device_queue_s"] == rows[1]["e2e_s"] == 0.05


def test_earliest_deadlines_of_equal_objectives_are_first_come_first_served() -> None:
    """With equal objectives that is the order of arrival."""
    scenario = one_token_requests(poisson(0.95, 60.0, 50), engine="continuous", policy="edf", max_num_seqs=1)
    fcfs = simulate_drawn(with_slo(scenario.replace("edge.policy", "fcfs"), ttft_s=0.3))
    edf = simulate_drawn(with_slo(scenario, ttft_s=0.3))
    assert fcfs["ttft_mean_s"] == pytest.approx(edf["ttft_mean_s"], rel=1e-6)
