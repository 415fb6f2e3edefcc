"""A city: neighbours on a lattice that closes, cells that agree with the same cells in one world, the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sim.core.errors import InputError
from sim.links.base import Direction
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.interference import Interference, SentBlocks
from sim.links.nr.phy.outside import Activity, ActivityLog, Outside, stacked
from sim.runs.city.layout import explicit_city, lattice_city
from sim.runs.run import simulate
from sim.scenario.schema import Scenario
from sim.sweep.city import run_city
from tests.worlds import recorded_inputs, small_scenario

LINK: dict[str, Any] = {
    "kind": "nr",
    "num_sites": 7,
    "interference": "explicit",
    "inter_site_distance_m": 100,
    "shadowing": False,
}


def scenario(**changes: Any) -> Scenario:
    """Devices that ask without pause over seven cells of 5 MHz, with rows that take long."""
    keys: dict[str, Any] = {
        "devices": {"count": 14, "think_time_s": 0.02, "duration_s": 1, "warmup_s": 0.3, "in_flight": "cut"},
        "workload": {"max_new_tokens": 12, "distinct_requests": 16},
        "protocol": {"name": "dsd", "draft_length": 4},
        "link": {**LINK, "bandwidth_mhz": 5, "scs_khz": 15, "tdd_pattern": "F"},
    }
    return small_scenario(**{**keys, **changes})


@pytest.mark.parametrize(("num_cells", "num_sites"), [(7, 7), (19, 19), (100, 19), (23, 7)])
def test_neighbours_are_each_others_and_different(num_cells: int, num_sites: int):
    base = scenario(link={**LINK, "num_sites": num_sites})
    cells = lattice_city(base, num_cells)
    for cell in cells:
        others = list(cell.neighbours.values())
        assert len(set(others)) == num_sites - 1 and cell.number not in others
        assert all(cell.number in cells[other].neighbours.values() for other in others)
    assert len({cell.link_seed for cell in cells}) == num_cells
    assert [cell.first_device for cell in cells] == [14 * number for number in range(num_cells)]


def test_a_city_of_few_cells_is_surrounded_by_copies_of_itself():
    cells = lattice_city(scenario(link={**LINK, "num_sites": 19}), 10)
    assert all(len(set(cell.neighbours.values()) - {cell.number}) == 9 for cell in cells)


def test_what_is_replayed_is_what_was_sent():
    log = ActivityLog()
    log.add(3, np.array([[1.0, 0.0], [0.0, 0.0]]))
    log.add(5, np.array([[0.0, 0.5], [0.25, 0.0]]))
    sent = log.activity((2, 2))
    assert sent.of(1).slots.tolist() == [5]
    heard = Outside(stacked({1: [sent.of(0), Activity(np.array([5]), np.ones((1, 2), dtype=np.float32))]}, 3, 2))
    assert heard.at(4) is None
    assert np.asarray(heard.at(5)).tolist() == [[0, 0], [1.0, 1.5], [0, 0]]
    assert [slot for slot, _ in heard.before(5)] == [3] and [slot for slot, _ in heard.before(9)] == [5]


def test_cells_of_their_own_agree_with_one_world():
    """Throughput within 5 % and 95th percentile of the latency within 10 %."""
    whole = scenario()
    city = run_city(whole, None, max_rounds=3, tolerance=0, inputs=recorded_inputs(whole))
    places = [list(place) for cell in explicit_city(whole) for place in cell.positions_m or ()]
    explicit = whole.replace("link.positions_m", places).replace("edge.sites", {})
    one = simulate(explicit, recorded_inputs(explicit), keep="summary").summary
    figures = city.rounds[-1]
    assert figures["devices"] == 14
    assert figures["tokens_per_s"] == pytest.approx(one["tokens_per_s"], rel=0.05)
    assert figures["e2e_p95_s"] == pytest.approx(one["e2e_p95_s"], rel=0.10)


@pytest.mark.parametrize("fading", ["none", "tdl", "independent"])
@pytest.mark.parametrize("direction", list(Direction))
def test_what_is_heard_is_the_interference_of_one_world(direction: Direction, fading: str):
    """I / N of a block beside another cell's is the same whether that cell is in this world or not."""
    link: Any = scenario(link={**LINK, "fading": fading}).link.settings
    channel = RadioChannel(Carrier(link), link, 14, 3)
    here, there = (int(np.flatnonzero(channel.serving == cell)[0]) for cell in np.unique(channel.serving)[:2])
    cell = int(channel.serving[here])
    loads = np.zeros((2, channel.carrier.num_groups))
    loads[0, :3], loads[1, 1:5] = 1.0, 0.5
    devices = np.array([here, there])
    blocks = SentBlocks(channel.serving[devices], devices, np.array([6, 8]), np.array([1, 1]), np.array([0, 0]), loads)
    rows = {name: value[:1] for name, value in vars(blocks).items() if isinstance(value, np.ndarray)}
    whole, alone = Interference(channel, direction), Interference(channel, direction)
    whole.log = ActivityLog()
    together = whole.over_noise(5, blocks)[0]
    sent = whole.log.activity((channel.num_cells, channel.carrier.num_groups))
    other = int(channel.serving[there])
    heard = {cell: [sent.of(cell)]} if direction is Direction.UPLINK else {other: [sent.of(other)]}
    alone.outside = Outside(stacked(heard, channel.num_cells, channel.carrier.num_groups))
    assert together.max() > 0.005
    assert (sent.faded is not None) == (direction is Direction.UPLINK and fading != "none")
    assert alone.over_noise(5, replace(blocks, **rows))[0] == pytest.approx(together, rel=1e-5)
    reported = [one.expected_over_noise(9, devices[:1]) for one in (whole, alone)]
    assert reported[1] == pytest.approx(reported[0], rel=1e-5) and reported[0].max() > 0


def test_a_cell_in_which_nothing_ends_has_a_row():
    idle = scenario(devices={"count": 1, "duration_s": 0.01, "in_flight": "cut", "think_time_s": 9})
    rows = run_city(idle, 7, max_rounds=2, inputs=recorded_inputs(idle.replace("devices.count", 7))).rows()
    assert [row["requests"] for row in rows] == [0] * 7


def test_a_city_is_the_same_in_this_process_in_two_and_on_a_dask_cluster():
    few = scenario(devices={**scenario().dump()["devices"], "count": 2, "duration_s": 0.3, "warmup_s": 0.1})
    inputs = recorded_inputs(few.replace("devices.count", 14))
    here = run_city(few, 7, max_rounds=2, inputs=inputs)
    processes = run_city(few, 7, max_rounds=2, jobs=2, inputs=inputs)
    dask = run_city(few, 7, max_rounds=2, jobs=2, scheduler="local", inputs=inputs)
    for there in (processes, dask):
        assert repr(here.rows()) == repr(there.rows()) and repr(here.rounds) == repr(there.rounds)
        for own, other in zip(here.cells, there.cells, strict=True):
            for direction in Direction:
                assert own.sent[direction].values.tobytes() == other.sent[direction].values.tobytes()
    assert replace(here.cells[0].cell, positions_m=None) == lattice_city(few, 7)[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"link": {"kind": "fixed"}}, "cells of link.kind 'nr'"),
        ({"link": {**LINK, "num_sites": 1}}, "needs neighbours"),
        ({"link": {**LINK, "interference": "none"}}, "are coupled; valid: explicit"),
        ({"link": {**LINK, "mobility": "linear"}}, "stay in their cells"),
        ({"devices": {"count": 3}}, "measured over a window"),
        ({"edge": {"sites": {}}}, "has a site already"),
        ({"workload": {"max_new_tokens": 4}}, "replays recorded requests"),
    ],
)
def test_what_a_city_cannot_have_is_told(changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        run_city(scenario(**changes), 7)
