"""Layer 1 beside a model: exact shares, steps delayed by what slots take, late slots, and every key has an effect."""

from __future__ import annotations

from typing import Any

import pytest

from sim.compute.base import WorkSize
from sim.compute.roofline import RooflineCompute, RooflineSettings, price_model
from sim.compute.shares import SlowedCompute, on_share
from sim.core.kernel import Environment
from sim.nodes.engine.ran_sharing.gpu import SharedGpu
from sim.nodes.engine.ran_sharing.layer1_cost import Load, layer1_cost
from sim.nodes.engine.ran_sharing.registry import SHARING_MODES
from sim.nodes.engine.ran_sharing.settings import RanSharingSettings
from sim.runs.world import World
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from tests.worlds import inputs, small_scenario

SLOT_NS = 500_000
DECODE = [WorkSize(1, 1000, 1)] * 4
NR = {"kind": "nr", "bandwidth_mhz": 20, "channel": "ideal", "mcs": 10}
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
    gpu.process(0, Load())
    assert (gpu.figures()["layer1_late_per_1e5"] > 1) == late


def test_blocks_of_late_slots_are_lost_and_repeated():
    # Layer 1 waits up to 1 ms for its turn while the model works: a repetition meets another phase of the turn.
    late, figures = output_of(shared("time_slice", slice_s=0.001, deadline_s=0.0008))
    before = alone()
    assert figures["layer1_late_per_1e5"] > 0 and 0 < figures["layer1_gpu_share"] < 0.2
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


KEYS = [
    ("priority", "mode", "mps", {}),
    ("priority", "gpu", "l4", {}),
    ("dedicated", "deadline_s", 41e-6, {}),
    ("priority", "other_cells", 2, {}),
    ("priority", "other_load", 0.9, {"other_cells": 2}),
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
    before, after = shared(mode, **beside), shared(**{"mode": mode, **beside, key: value})
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
