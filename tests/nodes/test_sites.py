"""Several edge sites: handovers move what they say, texts stay the same, and failures lose nothing uncounted."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from sim.compute.roofline import RooflineSettings, price_model
from sim.core.errors import InputError
from sim.core.kernel import Environment
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.links.base import Link
from sim.nodes.model_server import ModelServer, SiteLost
from sim.nodes.server_group import ServerGroup
from sim.nodes.sites.edge_sites import EdgeSites
from sim.results.columns import BREAKDOWN_COLUMNS
from sim.runs.counterfactual import FAILURES, SITE_PATHS, parts_of, run_with_free, with_free_sites
from sim.runs.world import World
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from sim.serving.base import EngineMemory, RequestInfo
from sim.serving.handover.registry import HANDOVERS, Decision, Move
from sim.serving.registry import ENGINES
from sim.serving.routing.registry import ROUTINGS
from sim.serving.sites_settings import SitesSettings
from tests.worlds import FIXED_COMPUTE, drawn_inputs, inputs, recorded_inputs, small_scenario

LLAMA_7B_BYTES = 2 * 32 * 32 * 128 * 2  # keys and values, layers, KV heads, head size, bytes of fp16: of one token
ROOFLINE = {"kind": "roofline", "hardware": "l4", "model_size": "7B"}
COMPUTE = {**FIXED_COMPUTE, "edge": ROOFLINE}
DRIVE = {
    "kind": "nr",
    "num_sites": 7,
    "inter_site_distance_m": 100,
    "mobility": "linear",
    "speed_kmh": 400,
    "time_to_trigger_s": 0.04,
    "l3_filter_k": 0,
    "handover_offset_db": 1,
    "handover_hysteresis_db": 0,
    "handover_interruption_s": 0.02,
}
DOWN = [{"site": 0, "from_s": 0.3, "to_s": 0.8}]


def with_sites(sites: dict[str, Any] | None, edge: dict[str, Any] | None = None, **changes: Any) -> Scenario:
    keys = {**(edge or {}), **({} if sites is None else {"sites": sites})}
    return small_scenario(**{"compute": COMPUTE, **changes, "edge": keys})


def drive(**sites: Any) -> Scenario:
    devices = {"count": 2, "requests": 1, "think_time_s": 0.05}
    workload = {"max_new_tokens": 24, "stop_at_eos": False}
    return with_sites(sites, link=DRIVE, devices=devices, workload=workload)


def run(scenario: Scenario, world: World | None = None) -> tuple[dict[tuple[int, int], list[int]], Any]:
    """Answers by device and request, and the output; the parts of each delay add up to it."""
    world = World(scenario, inputs(scenario)) if world is None else world
    texts: dict[tuple[int, int], list[int]] = {}
    for group in world.groups:
        keep = group.devices[0].hooks.on_outcome

        def on_outcome(outcome: Any, keep: Any = keep) -> None:
            answer = [token for emitted in outcome.metrics.emitted for token in emitted.round.tokens]
            texts[outcome.planned.device, outcome.planned.index] = answer
            keep(outcome)

        group.devices[0].hooks.on_outcome = on_outcome
    output = world.run()
    for row in output.tables.requests.rows:
        assert sum(row[column] for column in BREAKDOWN_COLUMNS) == pytest.approx(row["e2e_s"], abs=1e-9)
    return texts, output


@cache
def _drive(sites: str) -> tuple[dict[tuple[int, int], list[int]], Any]:
    return run(drive(**json.loads(sites)))


def run_drive(**sites: Any) -> tuple[dict[tuple[int, int], list[int]], Any]:
    """The same of two devices that drive past seven cells; equal runs are made once."""
    return _drive(json.dumps(sites, sort_keys=True))


# -- one site ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["continuous", "fcfs"])
def test_one_site_at_the_only_cell_is_the_edge_as_it_was(engine: str):
    edge = {"engine": engine, "batch_window_s": 0.001}
    texts, before = run(with_sites(None, edge))
    same_texts, after = run(with_sites({}, edge))
    assert same_texts == texts
    for old, new in zip(before.tables.requests.rows, after.tables.requests.rows, strict=True):
        assert {key: new[key] for key in old} == old
    assert {key: after.figures[key] for key in before.figures} == pytest.approx(before.figures, nan_ok=True, abs=0)


# -- sizes and delays of a move ---------------------------------------------------------------------------------------


class TwoCells(Link):
    """A link that delivers nothing and whose one device is told to change its cell."""

    num_cells = 2
    cell = 0

    def send(self, packet: Any) -> Any:
        raise AssertionError(f"moves of keys and values send nothing over the air, got {packet}")

    def report(self, device: int) -> Any:
        raise AssertionError(f"nothing here looks at the rate of device {device}")

    def cell_of(self, device: int) -> int:
        return self.cell

    def watch_cells(self, on_change: Any) -> None:
        self.on_change = on_change

    def hand_over(self) -> None:
        self.cell = 1 - self.cell
        self.on_change(0, self.cell)


def two_sites(engine: str = "continuous", kv_blocks: int | None = None, **keys: Any) -> tuple[Any, TwoCells, EdgeSites]:
    env = Environment()
    model = price_model(RooflineSettings(hardware="l4", model_size="7B"))
    entry = ENGINES.find(engine)

    def group() -> ServerGroup:
        settings = entry.settings.model_validate({} if kv_blocks is None else {"kv_blocks": kv_blocks})
        server = ModelServer(env, entry.make(settings, EngineMemory()), {"target": model}, {})
        return ServerGroup([server], ROUTINGS.find("least_loaded").make())

    link = TwoCells(env, 1, 1)
    settings = SitesSettings.model_validate({"handover": "move_kv", **keys})
    routing = ROUTINGS.find("least_loaded").make()
    sites = EdgeSites(
        env, settings, [group(), group()], routing, 0.0, group(), link, {"target": model}, (10_000_000, 1e9)
    )
    return env, link, sites


def forward(env: Any, sites: EdgeSites, info: RequestInfo, new: int, context: int) -> Any:
    """Submit a forward pass and wait for it."""
    event = sites.submit(ComputeRecord(Location.EDGE, "target", new, context, 1), None, info)
    results: list[Any] = []
    event.callbacks.append(lambda done: results.append(done.value))
    env.run()
    return results[0]


@pytest.mark.parametrize("engine", ["continuous", "fcfs"])
def test_moved_bytes_are_those_of_the_model_and_take_their_time_on_xn(engine: str):
    env, link, sites = two_sites(engine, xn_mbps=500, xn_delay_s=0.003, pause_s=0.007)
    info = RequestInfo(1, (0,) * 100)
    forward(env, sites, info, 100, 100)
    before = env.now
    link.hand_over()
    served = forward(env, sites, info, 4, 104)
    num_bytes = LLAMA_7B_BYTES * 100
    move_ns = round(8 * num_bytes / 500e6 * 1e9) + 3_000_000 + 7_000_000
    assert sites.site_counts.kv_bytes == num_bytes and info.served.moved_bytes == num_bytes
    assert sites.site_counts.kv_ns == pytest.approx(move_ns, abs=1)
    assert served.transport_ns == pytest.approx(move_ns, abs=1)
    assert env.now - before == served.transport_ns + served.queue_ns + served.compute_ns
    assert info.served.recomputed_tokens == 0 and info.served.at == 1
    assert not sites.groups[0].replicas[0].engine.held_tokens(info, "target")


@pytest.mark.parametrize("engine", ["continuous", "fcfs"])
def test_a_prefill_at_the_new_site_takes_what_the_whole_text_takes(engine: str):
    env, link, sites = two_sites(engine, handover="re_prefill", xn_delay_s=0)
    info = RequestInfo(1, (0,) * 100)
    forward(env, sites, info, 100, 100)
    link.hand_over()
    served = forward(env, sites, info, 4, 104)
    assert sites.site_counts.kv_bytes == 0 and info.served.recomputed_tokens == 100
    new = sites.groups[1].replicas[0].monitor.counts
    assert new.new_tokens == 104 and served.compute_ns + served.transport_ns > 0
    forward(env, sites, info, 4, 108)
    assert new.new_tokens == 108


def test_transfers_of_a_site_wait_for_each_other():
    env, link, sites = two_sites(xn_mbps=1000, xn_delay_s=0, pause_s=0)
    infos = [RequestInfo(n, (0,) * 50, device=n) for n in range(2)]
    for info in infos:
        forward(env, sites, info, 50, 50)
    link.cell = 1
    for device in range(2):
        link.on_change(device, 1)
    env.run()
    each_ns = round(8 * LLAMA_7B_BYTES * 50 / 1e9 * 1e9)
    assert sites.site_counts.kv_ns == pytest.approx(3 * each_ns, abs=3)


def test_without_memory_at_the_new_site_the_text_is_computed_anew():
    env, link, sites = two_sites(kv_blocks=8)
    guest = RequestInfo(7, (0,) * 100, device=5)
    link.cell = 1
    forward(env, sites, guest, 100, 100)
    link.cell = 0
    info = RequestInfo(1, (0,) * 100)
    forward(env, sites, info, 100, 100)
    link.hand_over()
    env.run()
    assert sites.site_counts.kv_refused == 1 and info.served.at == 1
    sites.release(guest, None)
    assert forward(env, sites, info, 4, 104) is not None and info.served.recomputed_tokens == 100


def test_cheapest_takes_the_faster_one():
    cheapest = HANDOVERS.find("cheapest").make()
    assert cheapest.decide(Move(100, 0.2, 0.1)) is Decision.RECOMPUTE
    assert cheapest.decide(Move(100, 0.1, 0.2)) is Decision.CARRY


# -- handovers on a drive ---------------------------------------------------------------------------------------------


def test_texts_are_the_same_whichever_policy():
    texts, _ = run_drive()
    moved = {}
    for handover in ("move_kv", "re_prefill", "cheapest"):
        own, output = run_drive(handover=handover)
        assert own == texts
        moved[handover] = output
    assert all(output.figures["site_handovers"] > 0 for output in moved.values())
    num_bytes = moved["move_kv"].figures["kv_moved_bytes"]
    assert num_bytes > 0 and num_bytes % LLAMA_7B_BYTES == 0
    assert num_bytes == sum(row["kv_moved_bytes"] for row in moved["move_kv"].tables.requests.rows)
    assert moved["re_prefill"].figures["re_prefilled_tokens"] > 0 == moved["re_prefill"].figures["kv_moves"]


def test_an_anchor_takes_a_longer_path():
    near, far = (run_drive(**keys)[1] for keys in ({}, {"xn_delay_s": 0.05}))
    assert far.figures["far_messages"] > 0
    mean = [sum(row["transport_s"] for row in output.tables.requests.rows) for output in (near, far)]
    assert mean[1] > mean[0] + 0.04


def test_a_chat_stays_at_its_anchor():
    env, link, sites = two_sites(handover="anchor")
    forward(env, sites, first := RequestInfo(1, (0,) * 20, salt=3), 20, 20)
    sites.release(first, lambda: (0,) * 20)
    link.cell = 1
    forward(env, sites, second := RequestInfo(2, (0,) * 30, salt=3), 30, 30)
    forward(env, sites, other := RequestInfo(3, (0,) * 30, salt=4), 30, 30)
    assert (first.served.at, second.served.at, other.served.at) == (0, 0, 1)


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_site_that_fails_in_the_middle_of_a_step_tells_those_who_wait():
    env, _, sites = two_sites(outages=[{"site": 0, "from_s": 0.01, "to_s": 0.02}], fallback="none", detection_s=0.03)
    info = RequestInfo(1, (0,) * 100)
    lost = forward(env, sites, info, 100, 100)
    assert lost == SiteLost(40_000_000)
    assert sites.site_counts.lost_forwards == 1 and sites.site_counts.fallbacks["none"] == 1
    server = sites.groups[0].replicas[0]
    assert server.engine.unattributed_joules == server.monitor.counts.joules > 0
    assert server.engine.held_tokens(info, "target") == 0
    assert forward(env, sites, RequestInfo(2, (0,) * 10), 10, 10).compute_ns > 0  # it is up again


@pytest.mark.parametrize("protocol", ["tslt", "edge_only", "specedge", "hsd", "dssd"])
@pytest.mark.parametrize("engine", ["continuous", "fcfs"])
def test_the_cloud_goes_on_and_texts_stay_the_same(protocol: str, engine: str):
    keys: dict[str, Any] = {"protocol": {"name": protocol}, "edge": {"engine": engine}}
    if protocol == "hsd":
        keys["protocol"]["sites"] = ["device", "edge", "edge"]
    keys["compute"] = FIXED_COMPUTE
    texts, before = run(with_sites({}, **keys))
    same, output = run(with_sites({"outages": DOWN, "fallback": "cloud"}, **keys))
    assert same == texts
    rows = output.tables.requests.rows
    assert len(rows) == len(before.tables.requests.rows) and not any(row["given_up"] for row in rows)
    assert output.figures["cloud_requests"] == sum(row["fallback"] == "cloud" for row in rows) > 0


@pytest.mark.parametrize("protocol", ["tslt", "specedge", "hsd"])
def test_the_draft_goes_on_alone_and_its_tokens_are_counted(protocol: str):
    keys: dict[str, Any] = {"protocol": {"name": protocol}, "compute": FIXED_COMPUTE}
    texts, _ = run(with_sites({}, **keys))
    own, output = run(with_sites({"outages": DOWN, "fallback": "draft"}, **keys))
    rows = output.tables.requests.rows
    assert not any(row["given_up"] for row in rows)
    alone = {(row["device"], row["request"]): row["draft_alone_tokens"] for row in rows}
    for key, answer in own.items():
        kept = len(answer) - alone[key]
        assert answer[:kept] == texts[key][:kept] and len(answer) == len(texts[key])
    assert output.figures["draft_alone_tokens"] == sum(alone.values()) > 0
    assert output.figures["draft_alone_requests"] == sum(row["fallback"] == "draft" for row in rows)


def test_what_is_replayed_goes_on_alone_as_what_is_live():
    scenario = with_sites({"outages": DOWN, "fallback": "draft"}, compute=FIXED_COMPUTE)
    live = World(scenario, drawn_inputs(scenario))
    recorded = recorded_inputs(scenario)

    def record(part: Scenario, planned: list[Any]) -> None:
        from sim.tape.recorder import record as decode
        from sim.tape.recorder import wanted_recordings
        from tests.worlds import table_models

        assert recorded.tape is not None
        decode(wanted_recordings([(part, planned)], recorded.models_info), table_models(), recorded.tape)

    replayed = World(scenario, recorded, record=record)
    assert run(scenario, live)[0] == run(scenario, replayed)[0]
    assert live.tables.requests.rows == replayed.tables.requests.rows


def test_nobody_goes_on_and_each_request_is_counted():
    _, output = run(with_sites({"outages": DOWN, "fallback": "none"}, compute=FIXED_COMPUTE))
    rows = output.tables.requests.rows
    assert len(rows) == 6
    assert output.figures["unserved_requests"] == sum(row["given_up"] for row in rows) > 0
    assert all(row["given_up"] == (row["fallback"] == "none") for row in rows)


def test_a_failure_on_a_drive_leaves_every_request_answered():
    outages = [{"site": site, "from_s": 0.1 + 0.1 * site, "to_s": 0.4 + 0.1 * site} for site in range(7)]
    for handover in ("move_kv", "re_prefill"):
        own, output = run_drive(handover=handover, outages=outages)
        assert own == run_drive()[0] and output.figures["cloud_requests"] > 0


# -- keys -------------------------------------------------------------------------------------------------------------


def test_every_key_of_sites_changes_some_output():
    fails = {"outages": DOWN, "fallback": "none"}
    cases: dict[str, tuple[dict[str, Any], Any]] = {
        "placement": ({}, "central"),
        "cells_per_site": ({"placement": "per_cluster"}, 7),
        "xn_delay_s": ({}, 0.05),
        "xn_mbps": ({"handover": "move_kv"}, 100.0),
        "handover": ({}, "re_prefill"),
        "pause_s": ({"handover": "move_kv"}, 0.2),
        "fronthaul_delay_s": ({"placement": "central"}, 0.01),
        "fronthaul_mbps": ({"placement": "central"}, 1.0),
        "outages": ({}, DOWN),
        "fallback": (fails, "cloud"),
        "detection_s": (fails, 0.5),
    }
    assert set(cases) == set(SitesSettings.model_fields)
    for place, (key, (beside, value)) in enumerate(cases.items()):
        both = beside, {**beside, key: value}
        made = [run_drive(**keys) if place < 6 else run(with_sites(keys, compute=FIXED_COMPUTE)) for keys in both]
        assert repr(made[0][1].tables.requests.rows) != repr(made[1][1].tables.requests.rows), key


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"edge": {"sites": {"outages": [{"site": 1, "from_s": 0, "to_s": 1}]}}}, "got 1; valid: 0 to 0"),
        ({"edge": {"sites": {"outages": [{"site": 0, "from_s": 2, "to_s": 1}]}}}, "valid: above from_s"),
        (
            {
                "edge": {
                    "sites": {"outages": [{"site": 0, "from_s": 1, "to_s": 3}, {"site": 0, "from_s": 2, "to_s": 4}]}
                }
            },
            "site 0 is down from 1.0 to 3.0 s and again from 2.0 s",
        ),
        ({"edge": {"sites": {"handover": "teleport"}}}, "unknown handover policy 'teleport'"),
        ({"cloud": {"sites": {}}}, "the cloud is one site"),
        (
            {
                "protocol": {"name": "edge_only"},
                "edge": {"sites": {"outages": DOWN, "fallback": "draft"}},
            },
            "has no draft model at the device; valid: cloud, none",
        ),
    ],
)
def test_what_does_not_fit_is_told(keys: dict[str, Any], told: str):
    with pytest.raises(ScenarioProblems, match=told.replace("(", r"\(")):
        small_scenario(**keys)


def test_keys_and_values_of_unknown_size_cannot_be_moved():
    scenario = drive(handover="move_kv").replace("compute", FIXED_COMPUTE)
    with pytest.raises(InputError, match="needs the size of keys and values") as told:
        World(scenario, inputs(scenario))
    assert told.value.key == ("edge", "sites", "handover")


def test_ways_between_sites_and_failures_can_be_made_free():
    """Of a request that moves its keys and values over a slow Xn, and of one whose site fails."""
    slow = drive(handover="move_kv", xn_mbps=200.0)
    found = run_with_free(with_free_sites(slow, SITE_PATHS), recorded_inputs(slow), SITE_PATHS).requests
    before = run_with_free(slow, recorded_inputs(slow), None).requests
    assert found["site_moves"].sum() > 0 and found["e2e_s"].sum() < 0.9 * before["e2e_s"].sum()
    fails = with_sites({"outages": DOWN}, compute=FIXED_COMPUTE)
    assert SITE_PATHS in parts_of(fails) and FAILURES in parts_of(fails) and FAILURES not in parts_of(slow)
    assert with_free_sites(fails, FAILURES) == with_sites({}, compute=FIXED_COMPUTE)
