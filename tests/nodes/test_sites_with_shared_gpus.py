"""Edge sites whose GPUs layer 1 shares, each that of its own cells: nothing is counted twice or at another site."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from sim.core.errors import InputError
from sim.core.kernel import Environment
from sim.links.base import Direction
from sim.links.nr.antenna_settings import AntennaSettings
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.receiver import IdealReceiver
from sim.links.nr.settings import NrLinkSettings
from sim.runs.counterfactual import free_direction
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.layer1_cost import layer1_cost
from sim.serving.ran_sharing.other_cells import OtherCells
from sim.serving.ran_sharing.receiver import SharedReceiver
from sim.serving.ran_sharing.settings import RanSharingSettings
from sim.serving.ran_sharing.site_gpus import SiteGpus
from tests.nodes.test_sites import DRIVE, ROOFLINE, run
from tests.saturated_gpu import SLOT_NS
from tests.worlds import FIXED_COMPUTE, inputs, small_scenario

PER_CELL, CENTRAL = {"placement": "per_cell"}, {"placement": "central"}


def shared(sites: dict[str, Any] | None, sharing: dict[str, Any] | None, **changes: Any) -> Scenario:
    """Two devices that drive past seven cells."""
    edge = {"sites": sites, "ran_sharing": sharing}
    keys: dict[str, Any] = {
        "link": DRIVE,
        "devices": {"count": 2, "requests": 2, "think_time_s": 0.05},
        "workload": {"max_new_tokens": 16, "stop_at_eos": False},
        "compute": {**FIXED_COMPUTE, "edge": {**ROOFLINE, "hardware": "a100"}},
    }
    named = {name: value for name, value in edge.items() if value is not None}
    return small_scenario(**{**keys, **changes, "edge": named})


@cache
def _of(placement: str | None, mode: str | None) -> tuple[Any, Any, World]:
    sites = None if placement is None else {"placement": placement}
    sharing = None if mode is None else {"mode": mode, "other_cells": 1}
    scenario = shared(sites, sharing)
    world = World(scenario, inputs(scenario))
    return *run(scenario, world), world


def test_a_gpu_for_layer_1_at_each_site_is_no_sharing():
    texts, alone, _ = _of("per_cell", None)
    same_texts, dedicated, world = _of("per_cell", "dedicated")
    assert same_texts == texts and dedicated.tables.requests.rows == alone.tables.requests.rows
    assert world.gpus is not None and [gpu.num_cells for gpu in world.gpus.gpus] == [2] * 7


@pytest.mark.parametrize("mode", ["dedicated", "priority"])
def test_one_site_for_all_cells_is_no_key_at_all_but_for_a_few_ns_of_fronthaul(mode: str):
    texts, before, _ = _of(None, mode)
    same_texts, after, _ = _of("central", mode)
    assert same_texts == texts
    for old, new in zip(before.tables.requests.rows, after.tables.requests.rows, strict=True):
        assert new["e2e_s"] == pytest.approx(old["e2e_s"], abs=1e-6)
    for column in ("layer1_slots", "layer1_late", "layer1_full_cells"):
        assert [row[column] for row in after.tables.gpu.rows] == [row[column] for row in before.tables.gpu.rows]


def test_the_sites_process_what_the_air_carries(monkeypatch: pytest.MonkeyPatch):
    """Loads of all blocks add up to those that the GPUs have counted, and cells that are not simulated come on top."""
    carried = []
    receive = SharedReceiver.receive

    def watched(self: SharedReceiver, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        receive(self, direction, slot, blocks)
        carried.append(self.load_of(direction, blocks))

    monkeypatch.setattr(SharedReceiver, "receive", watched)
    scenario = shared(PER_CELL, {"mode": "dedicated", "other_cells": 1})
    world = World(scenario, inputs(scenario))
    world.run()
    assert world.gpus is not None
    counts, cost = world.gpus.counts(int(world.env.now)), layer1_cost("a100")
    prb_layers, code_blocks = (sum(getattr(load, name) for load in carried) for name in ("prb_layers", "code_blocks"))
    beside = cost.load(0.5)  # of one cell that is not simulated, in each slot at each site
    assert prb_layers > 0 and counts.own_slots > 0 and counts.slots % 7 == 0
    assert counts.prb_share == pytest.approx(prb_layers / cost.peak.prb_layers + 0.5 * counts.slots, rel=1e-12)
    own_s = cost.per_prb_layer_s * prb_layers + cost.per_code_block_s * code_blocks
    assert counts.layer1_s == pytest.approx(own_s + counts.slots * cost.seconds(beside), rel=1e-12)
    rows = world.tables.gpu.rows
    assert sum(row["layer1_slots"] for row in rows) == counts.slots and {row["site"] for row in rows} == set(range(7))


def test_a_slot_that_one_site_is_late_with_loses_the_blocks_of_its_cells_only():
    settings = RanSharingSettings(mode="dedicated", deadline_s=5e-5)
    gpus = SiteGpus([SharedGpu(Environment(), settings, SLOT_NS, site=site) for site in (0, 1)], lambda cell: cell // 2)
    uniforms: Any = {Direction.DOWNLINK: None}  # asked for nothing at an error rate of 0
    receiver = SharedReceiver(
        IdealReceiver(0.0, uniforms), gpus, Carrier(NrLinkSettings()), settings, AntennaSettings()
    )
    blocks = [
        TransportBlock(cell, cell, size, 10, num_prb, 12, [num_prb], 0)
        for cell, size, num_prb in ((0, 200, 4), (1, 200, 4), (2, 60_000, 1000), (3, 200, 4))
    ]
    receiver.receive(Direction.DOWNLINK, 0, blocks)
    assert [block.received for block in blocks] == [True, True, False, False]
    assert [gpu.cost.peak.prb_layers * gpu._own[0][2] for gpu in gpus.gpus] == pytest.approx([2.0, 251.0])


def test_cells_that_are_not_simulated_are_others_at_each_site():
    settings = RanSharingSettings(other_cells=4, other_active_share=0.5)
    first, same, other = (OtherCells(settings, SLOT_NS, 3, site).full_cells(0, 100).tolist() for site in (0, 0, 1))
    assert first == same != other


@pytest.mark.parametrize("wrap_link", [None, free_direction(Direction.UPLINK)], ids=["as it is", "uplink free"])
def test_each_site_has_an_orchestrator_that_hears_of_its_own_requests(wrap_link: Any):
    scenario = shared(PER_CELL, {"mode": "mig", "orchestrator": "prb_load", "period_s": 0.2})
    world = World(scenario, inputs(scenario), wrap_link=wrap_link, outside=True)
    output = world.run()
    reports = [one.report() for one in world.orchestrations]
    assert sum(report.requests for report in reports) == len(output.tables.requests.rows) == 4
    assert len([report for report in reports if report.requests]) > 1
    assert world.orchestrations[3].gpu.mode is not world.orchestrations[4].gpu.mode
    world.orchestrations[3].move(0.5)
    kept = [one.gpu.mode.layer1_share for one in world.orchestrations]
    assert kept[3] > kept[4] and len(set(kept)) == 2
    servers = world.sites[next(iter(world.sites))].replicas
    assert servers[3].priced("target") is not servers[4].priced("target")


@pytest.mark.parametrize("mode", ["mig", "time_slice", "priority"])
def test_a_site_that_fails_in_a_step_leaves_its_gpu_to_layer_1_and_the_text_as_it_was(mode: str):
    times = (0.1, 0.3, 0.5, 0.7, 0.9)
    outages = [{"site": site, "from_s": at, "to_s": at + 0.1} for site in range(7) for at in times]
    compute = {**FIXED_COMPUTE, "edge": {"kind": "fixed", "per_forward_s": 0.1}}
    scenario = shared({**PER_CELL, "outages": outages}, {"mode": mode, "other_cells": 1}, compute=compute)
    world = World(scenario, inputs(scenario))
    texts, output = run(scenario, world)
    assert texts == _of("per_cell", None)[0]
    assert output.figures["lost_forwards"] > 0 and output.figures["cloud_requests"] > 0
    assert world.gpus is not None and all(gpu._step_since_ns is None for gpu in world.gpus.gpus)
    assert 0 < output.figures["model_gpu_share"] < 1 and output.figures["layer1_slots"] > 0


def test_an_environment_moves_the_shares_of_one_gpu():
    from sim.runs.shared_gpu_env import SharedGpuEnv

    scenario = shared(PER_CELL, {"mode": "mig"}).replace("devices.requests", None).replace("devices.duration_s", 1.0)
    with pytest.raises(InputError, match="one GPU; valid: central"):
        SharedGpuEnv(scenario)
