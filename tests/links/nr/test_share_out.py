"""The compiled way of sharing a slot out is the plain one, PRB by PRB."""

import numpy as np
import pytest

from sim.links.nr.full_buffer import run_full_buffer
from sim.links.nr.mac import entity
from sim.links.nr.mac.allocation import ResourceGrid, allocate_prbs, group_parts, rotated_groups
from sim.links.nr.mac.pdcch import ControlChannel
from sim.links.nr.mac.power_sharing import RATIOS, share_by_gain, share_in_order, spread_gains
from sim.links.nr.mac.share_out import MAX_GROUPS, _total, share_out
from sim.links.nr.settings import NrLinkSettings

GROUPS = [4, 4, 4, 4, 4, 4, 3]
SPREAD_GAINS = spread_gains(5.5)


def plain(priority, quality, needed, limits, gain_row, costs, grid, budget):
    """First those who may start and what each may have, then group by group."""
    start, allowed = np.arange(len(needed)), needed
    if limits is not None:
        order = np.argsort(-priority.sum(axis=1), kind="stable")
        order = order[np.cumsum(costs[order]) <= budget.cce_left][: budget.grants_left]
        own, limit, value = needed[order], limits[order], priority.sum(axis=1)[order]
        if value[-1] < 0:
            shared = share_in_order(own, limit, grid.num_free)
        else:
            shared = share_by_gain(own, limit, value, SPREAD_GAINS[gain_row[order]], grid.num_free)
        start, allowed = np.sort(order), shared[np.argsort(order)]
    own = costs[start].tolist()
    given = allocate_prbs(grid, priority[start], allowed.tolist(), budget, False, quality[start], own)
    return [(int(start[queue]), row) for queue, row in given.items()]


@pytest.mark.parametrize("reuse", [False, True])
def test_compiled_code_gives_what_the_plain_steps_give(reuse):
    """Few levels of priority and quality, so that ties are common; 400 slots of 1 to 40 queues."""
    draw = np.random.default_rng(7)
    several = 0
    for slot in range(400):
        num_queues, cell = int(draw.integers(1, 41)), slot % 5
        priority = draw.integers(-1 if slot % 2 else 0, 6, (num_queues, len(GROUPS))) / 4.0
        quality = draw.integers(0, 4, priority.shape) / 2.0
        needed, costs = draw.integers(0, 20, num_queues), draw.choice([1, 2, 4], num_queues)
        sizes = [int(draw.integers(0, size + 1)) for size in GROUPS]
        rotation = rotated_groups(len(GROUPS), cell)
        channel = ControlChannel(51, 2, num_queues, 8, int(draw.integers(1, 9)))
        grid, budget = ResourceGrid(sizes, rotation, reuse), channel.budget(cell, "downlink")
        if not grid.num_free:
            continue
        free, order, given = np.array(sizes), np.zeros(num_queues, dtype=int), np.zeros(priority.shape, dtype=int)
        parts = group_parts(rotation) if reuse else dict.fromkeys(rotation, 0)
        headroom, smallest = draw.integers(1, 12, (2, num_queues))
        gain_row = draw.integers(0, len(SPREAD_GAINS), num_queues)
        power = (headroom, smallest, gain_row) if slot % 3 else (order[:0],) * 3
        is_limited = slot % 3 and (headroom < needed).any()
        count = share_out(
            priority,
            quality,
            np.arange(num_queues),
            needed,
            power,
            (SPREAD_GAINS, RATIOS),
            costs,
            free,
            (np.array(rotation), np.array([parts[group] for group in range(len(GROUPS))])),
            (budget.grants_left, budget.cce_left),
            order,
            given,
        )
        limits = np.maximum(headroom, smallest) if is_limited else None
        expected = plain(priority, quality, needed, limits, gain_row, costs, grid, budget)
        assert list(zip(order[:count].tolist(), given[:count].tolist(), strict=True)) == expected
        assert free.tolist() == grid.free
        several += count > 2
    assert several > 120


def test_queues_that_cannot_be_announced_take_part_in_nothing():
    """Two CCEs and three queues of limited power: the third is the best in one group, but not over the carrier."""
    priority = np.array([[3.0] * 7, [2.5] * 7, [9.0] + [0.0] * 6])
    needed, costs, zeros = np.full(3, 20), np.ones(3, dtype=int), np.zeros(3, dtype=int)
    free, order, given = np.array(GROUPS), zeros.copy(), np.zeros(priority.shape, dtype=int)
    places, power = (np.arange(7), np.zeros(7, dtype=int)), (zeros + 8, zeros + 1, zeros)
    count = share_out(
        priority, np.zeros_like(priority), np.arange(3), needed, power, (SPREAD_GAINS, RATIOS), costs, free, places,
        (16, 2), order, given,
    )  # fmt: skip
    assert order[:count].tolist() == [0, 1]
    assert given[:count].sum() == sum(GROUPS)


@pytest.mark.parametrize(("scheduler", "placement"), [("proportional_fair", "report"), ("max_ci", "reuse")])
def test_a_cell_is_the_same_either_way(monkeypatch, scheduler, placement):
    """40 devices with power for few PRBs each: every transmission, its PRBs and its outcome."""

    def blocks(many):
        monkeypatch.setattr(entity, "MANY_QUEUES", many)
        settings = NrLinkSettings(tdd_pattern="F", record_slots=True, scheduler=scheduler, prb_placement=placement)
        return list(run_full_buffer(settings, 40, 60, warm_up_slots=20).link.network.records.blocks)

    compiled = blocks(2)
    assert len(compiled) > 100
    assert compiled == blocks(10**6)


@pytest.mark.parametrize("count", [1, 5, 7, 8, 13, 16, 100, MAX_GROUPS])
def test_priorities_are_added_up_as_numpy_does(count):
    """To the last bit, which decides between queues that are nearly alike."""
    assert entity._MAX_GROUPS == MAX_GROUPS
    rows = np.random.default_rng(count).lognormal(0, 3, (200, count))
    assert [_total(row) for row in rows] == rows.sum(axis=1).tolist()
