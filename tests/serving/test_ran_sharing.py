"""Layer 1 beside a model: exact shares, steps delayed by what slots take, late slots, and every key has an effect."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sim.compute.base import WorkSize
from sim.compute.roofline import RooflineCompute, RooflineSettings, price_model
from sim.compute.shares import SlowedCompute, on_share
from sim.core.kernel import Environment
from sim.links.base import Direction
from sim.links.nr.antenna_settings import AntennaSettings
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.receiver import IdealReceiver
from sim.links.nr.settings import NrLinkSettings
from sim.runs.world import World
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.layer1_cost import Load, layer1_cost
from sim.serving.ran_sharing.receiver import SharedReceiver
from sim.serving.ran_sharing.registry import SHARING_MODES
from sim.serving.ran_sharing.settings import RanSharingSettings
from sim.serving.ran_sharing.site_gpus import SiteGpus
from tests.saturated_gpu import BURSTY, SLOT_NS, saturated
from tests.worlds import inputs, small_scenario

DECODE = [WorkSize(1, 1000, 1)] * 4
NR = {"kind": "nr", "bandwidth_mhz": 20, "channel": "ideal", "mcs": 10}
WORK = [
    ("one antenna", {}, {}),
    ("four antennas", {"num_rx": 4}, {}),
    ("iterations", {}, {"ldpc_iterations": 20.0}),
]
MODES = ("dedicated", "mig", "mps", "time_slice", "priority")


def shared(mode: str, link: dict[str, Any] | None = None, **keys: Any) -> Scenario:
    return small_scenario(link={**NR, **(link or {})}, edge={"ran_sharing": {"mode": mode, **keys}})


def output_of(scenario: Scenario) -> tuple[Any, dict[str, float]]:
    output = World(scenario, inputs(scenario)).run()
    return output.requests, output.figures


def alone() -> Any:
    return output_of(small_scenario(link=NR, edge={}))[0]


def test_four_of_eight_bandwidth_slices_double_the_memory_part_exactly():
    whole = price_model(RooflineSettings(hardware="a100", model_size="7B"))
    mode = SHARING_MODES.find("mig").make(RanSharingSettings(mode="mig", layer1_memory_slices=4))
    half = on_share(whole, mode.compute_share, mode.memory_share)
    assert isinstance(half, RooflineCompute)
    before, after = whole.cost(DECODE), half.cost(DECODE)
    assert (after.weights_s, after.kv_s) == (2 * before.weights_s, 2 * before.kv_s)
    assert after.arithmetic_s == pytest.approx(before.arithmetic_s * 7 / 4, rel=1e-12)
    assert (after.layers_s, after.sequences_s, after.step_s) == (before.layers_s, before.sequences_s, before.step_s)
    assert half.memory_bytes == whole.memory_bytes / 2


def test_the_slices_of_a_fixed_cost_slow_all_of_it():
    scenario = shared("mig", layer1_compute_slices=3, layer1_memory_slices=4)
    model = inputs(scenario).cost_models["edge"]["target"]
    assert isinstance(on_share(model, 0.5, 0.25), SlowedCompute) and on_share(model, 1, 1) is model
    assert on_share(model, 0.5, 0.25).price(DECODE).seconds == 4 * model.price(DECODE).seconds


def test_dedicated_equals_no_sharing():
    assert output_of(shared("dedicated"))[0] == alone()


@pytest.mark.parametrize("mode", ["mps", "time_slice", "priority"])
def test_with_idle_cells_the_model_gets_all(mode: str):
    """A cell without blocks takes nothing from a step; one with blocks takes what the mode says, and no more."""
    env = Environment()
    gpu = SharedGpu(env, RanSharingSettings(mode=mode), SLOT_NS)
    gpu.begin_step()
    assert gpu.lost_ns(0, 100 * SLOT_NS) == 0 and gpu.mode.compute_share == gpu.mode.memory_share == 1
    load = Load(500, 50)
    gpu.process(3, load)
    own = round(gpu.mode.lost_s(layer1_cost("a100").seconds(load)) * 1e9)
    assert own > 0 and gpu.lost_ns(0, 3 * SLOT_NS) == 0
    assert gpu.lost_ns(3 * SLOT_NS, 4 * SLOT_NS) == pytest.approx(own, abs=1)


def test_a_slot_that_begins_with_a_step_delays_it_and_earlier_ones_do_not():
    env = Environment()
    gpu = SharedGpu(env, RanSharingSettings(), SLOT_NS)
    load = Load(500, 50)
    own = round((layer1_cost("a100").seconds(load) + 10e-6) * 1e9)
    gpu.process(0, load)
    gpu.begin_step()
    assert gpu.lost_ns(0, SLOT_NS) == pytest.approx(own, abs=1)
    gpu.end_step()
    gpu.process(0, load)
    env.run(SLOT_NS // 2)
    gpu.begin_step()
    assert gpu.lost_ns(SLOT_NS // 2, SLOT_NS) == gpu.lost_ns(SLOT_NS, 9 * SLOT_NS) == 0


def test_steps_are_delayed_by_the_slots_of_other_cells():
    # Two cells at half load: 40 us + 115 us, and 10 us to go on, in each slot of 500 us.
    lost_ns = SharedGpu(Environment(), RanSharingSettings(other_cells=2), SLOT_NS).lost_ns(0, 10 * SLOT_NS)
    assert lost_ns == pytest.approx(10 * 165e3, rel=1e-3)
    before, after = (
        output_of(shared(mode, other_cells=2).replace("devices.count", 1))[0] for mode in ("dedicated", "priority")
    )
    # A step of D seconds then takes D / (1 - 165 / 500), but for the slots at its ends.
    slower = after[0]["verify_compute_s"] / before[0]["verify_compute_s"]
    assert slower == pytest.approx(1 / (1 - 0.33), rel=0.04)


@pytest.mark.parametrize(("cells", "load", "late"), [(4, 1.0, False), (8, 0.5, False), (6, 1.0, True), (12, 0.5, True)])
def test_published_cells_per_gpu_are_in_time_and_half_as_many_again_are_late(cells: int, load: float, late: bool):
    gpu = SharedGpu(Environment(), RanSharingSettings(mode="dedicated", other_cells=cells, other_load=load), SLOT_NS)
    assert gpu.process(0, Load()) != late
    gpu.advance(200_000 * SLOT_NS)
    assert gpu.counts.slots == 200_000
    assert (gpu.counts.late_per_1e5 > 1) == late


def test_cells_that_have_data_now_and_then_are_late_when_too_many_meet():
    """Of six full cells, each with data in half of the slots, five or six meet in 7 of 64 slots, and four in time."""
    gpu = SharedGpu(Environment(), RanSharingSettings(mode="dedicated", **BURSTY, other_cells=6), SLOT_NS, seed=3)
    gpu.advance(200_000 * SLOT_NS)
    # Five standard deviations: a false alarm in 1 of 1.7 million seeds.
    assert gpu.counts.late / 200_000 == pytest.approx(7 / 64, abs=5 * math.sqrt(7 / 64 * 57 / 64 / 200_000))
    assert gpu.counts.slots / 200_000 == pytest.approx(63 / 64, abs=5 * math.sqrt(63 / 64**2 / 200_000))
    assert gpu.counts.prb_share / 200_000 == pytest.approx(3, abs=5 * math.sqrt(6 / 4 / 200_000))


def test_most_idle_cycles_are_reclaimed_in_time_and_naive_sharing_loses_slots():
    """Concordia's shape (99.999 % in time, 70 % of idle cycles reclaimed) and YinYangRAN's (MPS loses slots)."""
    priority, mps, slices = (saturated(mode) for mode in ("priority", "mps", "time_slice"))
    assert priority["layer1_late_per_1e5"] <= 1 and priority["layer1_slots"] > 1e5
    assert priority["idle_reclaimed_share"] > 0.7 and priority["layer1_gpu_share"] < 0.5
    # Two and three of three cells meet in half of all slots, in 4 of 7 of those with work: too much at half speed.
    assert mps["layer1_late_per_1e5"] == pytest.approx(4e5 / 7, rel=0.02)
    assert slices["layer1_late_per_1e5"] > 1e4
    assert priority["model_gpu_share"] > 0.9 * mps["model_gpu_share"]


def test_the_shares_of_a_gpu_add_up():
    """A model without a pause and layer 1 take all of a GPU but what going on costs: 10 us in 7 of 8 slots."""
    figures = saturated("priority")
    spent = figures["layer1_gpu_share"] + figures["model_gpu_share"]
    assert spent == pytest.approx(1 - 7 / 8 * 10e-6 / 500e-6, abs=5e-4)


def test_energy_per_cell_and_token():
    cost = layer1_cost("a100")
    gpu = SharedGpu(Environment(), RanSharingSettings(mode="dedicated", other_cells=3), SLOT_NS)
    gpu.advance(2000 * SLOT_NS)
    figures = SiteGpus([gpu]).figures(gpu.counts, 2000 * SLOT_NS, model_j=100.0, tokens=50)
    busy_s = 2000 * (40e-6 + 1.5 * 115e-6)
    assert figures["layer1_energy_j"] == pytest.approx(cost.busy_w * busy_s, rel=1e-3)
    assert figures["layer1_energy_per_cell_j"] == figures["layer1_energy_j"] / 4
    assert figures["gpu_energy_j"] == pytest.approx(2 * cost.idle_w + figures["layer1_energy_j"] + 100)
    assert figures["gpu_energy_per_token_j"] == figures["gpu_energy_j"] / 50
    shared_gpu = SharedGpu(Environment(), RanSharingSettings(other_cells=3), SLOT_NS)
    assert SiteGpus([shared_gpu]).figures(gpu.counts, 2000 * SLOT_NS, 100.0, 50)["gpu_energy_j"] == figures[
        "gpu_energy_j"
    ] - (cost.idle_w)


def test_a_slice_draws_the_power_of_a_slice():
    """A step bound by memory takes twice as long on half of the bandwidth, at the same energy but for overheads."""
    whole = price_model(RooflineSettings(hardware="a100", model_size="7B"))
    before, after = whole.price(DECODE), on_share(whole, 4 / 8, 4 / 8).price(DECODE)
    assert after.seconds > 1.7 * before.seconds
    assert after.joules == pytest.approx(before.joules, rel=0.1)


def test_antennas_and_iterations_are_layer_1_work():
    scenarios = {name: shared("dedicated", link, **keys) for name, link, keys in WORK}
    seconds = {name: output_of(scenario)[1]["layer1_energy_j"] for name, scenario in scenarios.items()}
    assert seconds["one antenna"] < seconds["four antennas"] and seconds["one antenna"] < seconds["iterations"]
    settings, antennas = RanSharingSettings(), AntennaSettings(num_rx=4, num_tx=2)
    gpu, carrier = SharedGpu(Environment(), settings, SLOT_NS), Carrier(NrLinkSettings())
    receiver = SharedReceiver(IdealReceiver(0.0, {}), SiteGpus([gpu]), carrier, settings, antennas)
    block = TransportBlock(0, 0, 3000, 10, 20, 12, [20], 0, num_layers=2)
    lost = receiver.load_of(Direction.UPLINK, [block])
    block.received = True
    up, down = receiver.load_of(Direction.UPLINK, [block]), receiver.load_of(Direction.DOWNLINK, [block])
    assert (up.prb_layers, down.prb_layers) == (40, 20)
    assert up.code_blocks == down.code_blocks == lost.code_blocks / 2 == 3


def test_what_the_gpu_did_stands_second_by_second():
    scenario = shared("priority", other_cells=2).replace("devices.requests", 12)
    output = World(scenario, inputs(scenario)).run()
    rows = output.tables.gpu.rows
    assert [row["time_s"] for row in rows] == list(range(len(rows))) and len(rows) == math.ceil(output.simulated_s)
    assert rows[0]["layer1_slots"] == 2000 and rows[0]["layer1_gpu_share"] >= 2000 * 155e-6 * 0.999
    assert output.figures["layer1_own_late_per_1e5"] == 0
    whole = sum(row["layer1_slots"] for row in rows)
    assert whole == output.figures["layer1_slots"] == math.ceil(output.simulated_s * 2000)
    assert all(0.5 < row["model_gpu_share"] < 1 - row["layer1_gpu_share"] for row in rows[:-1])
    assert rows[0]["layer1_full_cells"] == pytest.approx(1, abs=1e-3)


def test_blocks_of_late_slots_are_lost_and_repeated():
    # Layer 1 waits up to 1 ms for its turn while the model works: a repetition meets another phase of the turn.
    late, figures = output_of(shared("time_slice", slice_s=0.001, deadline_s=0.0008))
    before = alone()
    assert (
        figures["layer1_late_per_1e5"] == figures["layer1_own_late_per_1e5"] > 0
        and 0 < figures["layer1_gpu_share"] < 0.2
    )
    assert sum(row["uplink_retransmission_s"] for row in before) == 0
    assert sum(row["uplink_retransmission_s"] for row in late) > 0
    assert [row["tokens"] for row in late] == [row["tokens"] for row in before]


def test_modes_are_late_in_their_own_ways():
    load = Load(1000, 100)
    alone_s = layer1_cost("a100").seconds(load)
    made = {mode: SHARING_MODES.find(mode).make(RanSharingSettings(mode=mode)) for mode in MODES}
    took = {mode: one.layer1_s(alone_s, True, 0.0005) for mode, one in made.items()}
    assert took["dedicated"] == alone_s and took["priority"] == pytest.approx(alone_s + 30e-6)
    assert took["mig"] == pytest.approx(alone_s * 7 / 3) and took["mps"] == pytest.approx(alone_s * 1.1 / 0.5)
    assert took["time_slice"] == pytest.approx(0.0015 + 20e-6 + alone_s)
    idle = {mode: one.layer1_s(alone_s, False, 0.0) for mode, one in made.items()}
    assert all(idle[mode] == alone_s for mode in MODES if mode != "mig")


def test_layer1_follows_memory_bandwidth():
    load = Load(100, 10)
    a100, h100 = layer1_cost("a100").seconds(load), layer1_cost("h100").seconds(load)
    assert layer1_cost("a100").seconds(Load()) == 0 and 1.3 < a100 / h100 < 2


# Blocks that are lost are decoded in vain.
LOSSY = {"block_error_rate": 0.2}
MOVED = {"other_cells": 1, "period_s": 0.05, "change_s": 0.01}
KEYS = [
    ("priority", "max_ldpc_iterations", 50.0, {}),
    ("priority", "mode", "mps", {}),
    ("priority", "gpu", "l4", {}),
    ("dedicated", "deadline_s", 41e-6, {}),
    ("priority", "other_cells", 2, {}),
    ("priority", "other_load", 0.9, {"other_cells": 2}),
    ("priority", "other_active_share", 0.5, {"other_cells": 2}),
    ("priority", "other_profile", "residential", {"other_cells": 2}),
    ("priority", "other_profile_scales", "load", {"other_cells": 2, "other_profile": "residential"}),
    ("priority", "day_begins_s", 0.6, {"other_cells": 2, "other_profile": [1.0, 0.1], "day_s": 1.0}),
    ("priority", "day_s", 1.0, {"other_cells": 2, "other_profile": [1.0, 0.1]}),
    ("priority", "ldpc_iterations", 5.0, {}),
    ("mig", "orchestrator", "prb_load", MOVED),
    ("mig", "period_s", 0.02, {**MOVED, "orchestrator": "prb_load"}),
    ("mig", "change_s", 0.2, {**MOVED, "orchestrator": "prb_load"}),
    ("mig", "min_layer1_share", 0.5, {**MOVED, "orchestrator": "prb_load"}),
    ("mig", "max_layer1_share", 0.3, {**MOVED, "orchestrator": "prb_load", "other_cells": 8}),
    ("mig", "layer1_compute_slices", 5, {}),
    ("mig", "layer1_memory_slices", 6, {}),
    ("mps", "layer1_weight", 0.2, {}),
    ("mps", "interference", 3.0, {}),
    ("time_slice", "slice_s", 0.0002, {"deadline_s": 0.0004}),
    ("time_slice", "switch_s", 0.001, {}),
    ("priority", "kernel_s", 0.001, {}),
    ("priority", "relaunch_s", 0.001, {}),
]


@pytest.mark.parametrize(("mode", "key", "value", "beside"), KEYS)
def test_every_key_changes_some_output(mode: str, key: str, value: Any, beside: dict[str, Any]):
    before, after = shared(mode, LOSSY, **beside), shared(**{"mode": mode, "link": LOSSY, **beside, key: value})
    assert output_of(before) != output_of(after)


def test_no_key_is_forgotten():
    assert {key for _, key, _, _ in KEYS} == set(RanSharingSettings.model_fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"link": {"kind": "fixed"}}, "layer 1 needs the slots of link.kind 'nr', got 'fixed'"),
        ({"edge": {"replicas": 2, "ran_sharing": {}}}, "layer 1 shares one GPU"),
        ({"edge": {"ran_sharing": {"mode": "migs"}}}, r"unknown sharing mode 'migs' \(did you mean 'mig'\?\)"),
        ({"edge": {"ran_sharing": {"gpu": "a1000"}}}, "unknown hardware 'a1000'"),
        ({"edge": {}, "cloud": {"ran_sharing": {}}}, "layer 1 lies at the edge"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str):
    keys = {**small_scenario(link=NR).dump(), "edge": {"ran_sharing": {"mode": "mig"}}, **changes}
    with pytest.raises(ScenarioProblems, match=message):
        Scenario.from_dict(keys)
