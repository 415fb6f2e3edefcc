"""The numbered invariants of the simulator, for every link and protocol that is registered.

1. Conservation of tokens: what rounds emit is what requests report, within the length limit.
2. Conservation of bits: what messages encode to is what requests report.
3. Conservation of time: the breakdown adds up to the end-to-end time.
4. Causality: no token before its request, no round before the one before it.
5. Same seed, same rows.
6. Replay equals live.
7. Less uplink never makes a lone device faster.
8. A neighbour never changes a device's text.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sim.core.breakdown import PARTS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.info import ModelInfo
from sim.results.columns import BREAKDOWN_COLUMNS
from sim.runs.inputs import SimulationInputs
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.tape.key import describe, key_of
from sim.tape.recorder import Recording, needed_models, record
from sim.tape.store import TapeStore
from tests.invariants.links import LINKS, SLOWER
from tests.worlds import inputs, planned_requests, simulate, small_scenario, table_models

PROTOCOL_NAMES = PROTOCOLS.names()


# Settings under which a protocol looks neither at clock nor at channel, where its defaults do.
NOT_ADAPTIVE = {"tk_slt": {"draft_length": 4}}


def settings_of(protocol: str) -> dict[str, object]:
    """A protocol that can be replayed, otherwise with its default settings."""
    return {"name": protocol, **NOT_ADAPTIVE.get(protocol, {})}


def scenario_of(protocol: str, link: str = "fixed") -> Scenario:
    """A small scenario of one protocol."""
    return small_scenario(protocol=settings_of(protocol), link=LINKS[link])


@pytest.fixture(scope="module", params=[(p, link) for p in PROTOCOL_NAMES for link in LINKS], ids="-".join)
def finished(request):
    """Scenario and output of every protocol over every link."""
    scenario = scenario_of(*request.param)
    return scenario, simulate(scenario)


def test_1_tokens_are_conserved(finished):
    scenario, output = finished
    for row in output.requests:
        rounds = [r for r in output.rounds if (r["device"], r["request"]) == (row["device"], row["request"])]
        assert sum(r["tokens"] for r in rounds) == row["tokens"] == scenario.workload.max_new_tokens
        assert sum(r["accepted_tokens"] for r in rounds) == row["accepted_tokens"]
        assert row["accepted_tokens"] <= row["tested_positions"]


def test_2_bits_are_conserved(finished):
    scenario, output = finished
    if scenario.link.name == "fixed":
        sent = sum(row["uplink_charged_bits"] for row in output.requests)
        headers = scenario.link.settings.header_bits * sum(row["uplink_messages"] for row in output.requests)
        carried = output.link["uplink_mean_bits_on_air"] * output.link["uplink_messages"] if sent else 0
        assert carried == pytest.approx(sent + headers)
    for row in output.requests:
        is_published = scenario.protocol.name == "tk_slt"
        assert is_published or row["uplink_charged_bits"] == row["uplink_payload_bits"]
        rounds = [r for r in output.rounds if (r["device"], r["request"]) == (row["device"], row["request"])]
        assert sum(r["uplink_payload_bits"] for r in rounds) == row["uplink_payload_bits"]


def test_3_time_is_conserved(finished):
    _, output = finished
    for row in output.requests:
        assert sum(row[column] for column in BREAKDOWN_COLUMNS) == pytest.approx(row["e2e_s"], abs=1e-9)
        assert all(row[f"{part}_s"] >= 0 for part in PARTS)


def test_4_causality(finished):
    _, output = finished
    for row in output.requests:
        assert 0 < row["ttft_s"] <= row["e2e_s"]
    by_request: dict[tuple[int, int], float] = {}
    for r in output.rounds:
        key = (r["device"], r["request"])
        assert r["duration_s"] >= 0
        assert r["start_s"] >= by_request.get(key, 0.0)
        by_request[key] = r["start_s"]


@pytest.mark.parametrize("link", LINKS)
def test_5_same_seed_same_rows(link):
    scenario = scenario_of("tslt", link)
    assert simulate(scenario).requests == simulate(scenario).requests
    assert simulate(scenario).requests != simulate(scenario.replace("seed", 6)).requests


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_6_replay_equals_live(protocol: str, link: str, tmp_path: Path):
    scenario = scenario_of(protocol, link)
    if scenario.protocol.trait("adaptive"):
        pytest.fail(f"{protocol} is adaptive with its default settings and so cannot be replayed")
    live = inputs(scenario)
    store = TapeStore(tmp_path)
    models_info = needed_models(scenario, {role: ModelInfo.of(model) for role, model in table_models().items()})
    wanted = [
        Recording(key_of(describe(one, scenario, models_info)), one, scenario) for one in planned_requests(scenario)
    ]
    record(wanted, {role: table_models()[role] for role in models_info}, store)
    replayed = World(scenario, SimulationInputs(live.planned, models_info, live.cost_models, tape=store)).run()
    expected = World(scenario, live).run()
    assert repr(replayed.requests) == repr(expected.requests)
    assert repr(replayed.rounds) == repr(expected.rounds)


@pytest.mark.parametrize("link_name", SLOWER)
@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_7_less_uplink_never_makes_a_lone_device_faster(protocol: str, link_name: str):
    alone = {"count": 1, "requests": 3}
    latencies = []
    key, rates = SLOWER[link_name]
    for rate in rates:
        link = {**LINKS[link_name], key: rate}
        scenario = small_scenario(protocol=settings_of(protocol), devices=alone, link=link)
        # Where the rate varies with time, a request's latency depends on when it began; when it ended does not lie.
        latencies.append([row["issued_s"] + row["e2e_s"] for row in simulate(scenario).requests])
    for slower, faster in pairwise(latencies):
        assert all(a >= b for a, b in zip(slower, faster, strict=True))


def test_8_a_neighbour_never_changes_a_text():
    few = simulate(small_scenario())
    many = simulate(small_scenario(devices={"count": 5, "requests": 2, "think_time_s": 0.05}))
    counted = ("tokens", "rounds", "accepted_tokens", "uplink_payload_bits")
    for row in few.requests:
        same = next(r for r in many.requests if (r["device"], r["request"]) == (row["device"], row["request"]))
        assert {key: same[key] for key in counted} == {key: row[key] for key in counted}
