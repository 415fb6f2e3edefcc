"""A slot's PRBs shared out among many queues by compiled code: the same as the steps in plain Python, to the last PRB.

Only comparisons and whole numbers are compiled, so that no result depends on the compiler. Importing this module
imports ``numba``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled
from sim.links.nr.mac.schedulers.base import Array, Indices

Bools = npt.NDArray[np.bool_]
MAX_GROUPS = 128
"""PRB groups up to which a queue's priorities are added up here."""


@compiled
def _winner(priority: Array, group: int, queues: Indices, is_live: Bools) -> int:
    """Live queue of highest priority in a group, the first of several; -1 without any."""
    best = -1
    for queue in queues:
        if is_live[queue] and (best < 0 or priority[queue, group] > priority[best, group]):
            best = queue
    return best


@compiled
def _sort(groups: Indices, quality: Array, parts: Indices) -> None:
    """Sort groups in place by part, then by falling quality; others stay in their order."""
    for place in range(1, len(groups)):
        group, before = groups[place], place
        while before > 0:
            other = groups[before - 1]
            if parts[other] < parts[group] or (parts[other] == parts[group] and quality[other] >= quality[group]):
                break
            groups[before] = other
            before -= 1
        groups[before] = group


@compiled
def _best_group(priority: Array, free: Indices, queues: Indices, is_live: Bools, winner: Indices) -> int:
    """Free group in which a live queue has the highest priority of all, -1 without any; winners are renewed."""
    best = -1
    for group in range(len(free)):
        if not free[group]:
            continue
        if winner[group] < 0 or not is_live[winner[group]]:
            winner[group] = _winner(priority, group, queues, is_live)
        own = winner[group]
        if own >= 0 and (best < 0 or priority[own, group] > priority[winner[best], best]):
            best = group
    return best


@compiled
def _take(
    queue: int, priority: Array, quality: Array, needed: Indices, free: Indices, order: Indices, parts: Indices,
    winner: Indices, given: Indices,
) -> None:  # fmt: skip
    """Give a queue the groups that it wins, those that it prefers first if it needs less than all."""
    won = np.empty(len(free), dtype=np.int64)
    count, offered = 0, 0
    for group in order:
        own = winner[group]
        if free[group] and own >= 0 and priority[queue, group] == priority[own, group]:
            won[count] = group
            count += 1
            offered += free[group]
    if offered > needed[queue]:
        _sort(won[:count], quality[queue], parts)
    for group in won[:count]:
        share = min(free[group], needed[queue])
        given[group] += share
        needed[queue] -= share
        free[group] -= share


@compiled
def _by_group(
    priority: Array, quality: Array, needed: Indices, costs: Indices, free: Indices, rotation: Indices, parts: Indices,
    grants_left: int, cce_left: int, order: Indices, given: Indices,
) -> int:  # fmt: skip
    """The steps of `allocation.allocate_prbs`; returns how many queues are given anything."""
    num_queues = len(needed)
    winner = np.full(len(free), -1, dtype=np.int64)
    is_live = np.empty(num_queues, dtype=np.bool_)
    place = np.full(num_queues, -1, dtype=np.int64)
    for queue in range(num_queues):
        is_live[queue] = needed[queue] > 0 and costs[queue] <= cce_left and grants_left > 0
    queues = is_live.nonzero()[0]
    count = 0
    best = _best_group(priority, free, queues, is_live, winner)
    while best >= 0:
        queue = winner[best]
        if place[queue] < 0:
            place[queue] = count
            order[count] = queue
            given[count] = 0
            count += 1
            grants_left -= 1
            cce_left -= costs[queue]
            for other in queues:
                is_live[other] &= place[other] >= 0 or (grants_left > 0 and costs[other] <= cce_left)
        _take(queue, priority, quality, needed, free, rotation, parts, winner, given[place[queue]])
        is_live[queue] = needed[queue] > 0
        best = _best_group(priority, free, queues, is_live, winner)
    return count


@compiled
def _total(row: Array) -> float:
    """Sum of up to `MAX_GROUPS` numbers, added in the order in which NumPy adds them (pairwise summation)."""
    total = 0.0
    if len(row) < 8:
        for value in row:
            total += value
        return total
    r0, r1, r2, r3, r4, r5, r6, r7 = row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]
    whole = len(row) - len(row) % 8
    for place in range(8, whole, 8):
        r0 += row[place]
        r1 += row[place + 1]
        r2 += row[place + 2]
        r3 += row[place + 3]
        r4 += row[place + 4]
        r5 += row[place + 5]
        r6 += row[place + 6]
        r7 += row[place + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for place in range(whole, len(row)):
        total += row[place]
    return float(total)


@compiled
def _first(total: Array, costs: Indices, grants_left: int, cce_left: int, first: Indices) -> int:
    """As many queues as can be announced, by falling priority; returns their number."""
    is_taken = np.zeros(len(total), dtype=np.bool_)
    count = 0
    while count < min(grants_left, len(total)):
        best = -1
        for queue in range(len(total)):
            if not is_taken[queue] and (best < 0 or total[queue] > total[best]):
                best = queue
        cce_left -= costs[best]
        if cce_left < 0:
            break
        is_taken[best] = True
        first[count] = best
        count += 1
    return count


@compiled
def _used(needed: Indices, queues: Indices, level: int) -> int:
    """PRBs in all if each queue may have so many."""
    total = 0
    for queue in queues:
        total += min(needed[queue], level)
    return total


@compiled
def _share_in_order(needed: Indices, limits: Indices, queues: Indices, num_prb: int, allowed: Indices) -> None:
    """`power_sharing.share_in_order` among some queues, by falling priority."""
    level = 0
    while level < num_prb and _used(needed, queues, level + 1) <= num_prb:
        level += 1
    left = num_prb - _used(needed, queues, level)
    for queue in queues:
        even = min(needed[queue], level)
        if left > 0 and even < needed[queue]:
            even += 1
            left -= 1
        allowed[queue] = max(min(needed[queue], limits[queue]), even)


@compiled
def _share_by_gain(
    needed: Indices, limits: Indices, value: Array, gain_rows: Indices, steps: tuple[Array, Array], queues: Indices,
    num_prb: int, allowed: Indices,
) -> None:  # fmt: skip
    """`power_sharing.share_by_gain` among some queues, by falling priority: step by step to whom it is worth most."""
    gains, ratios = steps
    num_steps = len(ratios)
    step, worth = np.zeros(len(needed), dtype=np.int64), value.copy()
    left = num_prb
    while left > 0:
        best = -1
        for queue in queues:
            if step[queue] < num_steps and (best < 0 or worth[queue] > worth[best]):
                best = queue
        if best < 0:
            return
        end = min(needed[best], int(limits[best] * ratios[step[best]]))
        more = min(end - allowed[best], left)
        allowed[best] += more
        left -= more
        step[best] += 1
        if step[best] < num_steps:
            worth[best] = value[best] * gains[gain_rows[best], step[best] - 1]


@compiled
def _power_limits(devices: Indices, needed: Indices, headroom: Indices, smallest: Indices, limits: Indices) -> bool:
    """PRBs beyond which queues should not go; whether any needs more than its device's headroom."""
    is_limited = False
    for queue in range(len(needed)):
        own = headroom[devices[queue]]
        is_limited |= own < needed[queue]
        limits[queue] = max(own, smallest[devices[queue]])
    return is_limited


@compiled
def share_out(
    priority: Array,
    quality: Array,
    devices: Indices,
    needed: Indices,
    power: tuple[Indices, Indices, Indices],
    steps: tuple[Array, Array],
    cost_of_device: Indices,
    free: Indices,
    places: tuple[Indices, Indices],
    left: tuple[int, int],
    order: Indices,
    given: Indices,
) -> int:
    """Give free PRBs to queues: who may start, how much each may have, then group by group by priority.

    Args:
        priority, quality: [num_queues, num_groups], `MAX_GROUPS` at most; how good each group is for a queue decides
            where it lies.
        devices: Whose queues, [num_queues].
        needed: PRBs that each queue can use, [num_queues].
        power: PRBs within each device's power, those of the smallest useful grant, and row of what further ones bring,
            [num_devices] each; empty where power sets no limit.
        steps: `power_sharing.spread_gains` and its `RATIOS`.
        cost_of_device: CCEs of a grant to each device, [num_devices].
        free: PRBs left in each group, taken from, [num_groups].
        places: Order and part of the groups, see `ResourceGrid`, [num_groups] each.
        left: Grants and CCEs that can still be announced.
        order: Takes the devices that are given anything, in order, [num_queues].
        given: Takes the PRBs of each group of these, [num_queues, num_groups].

    Returns:
        Queues that are given anything.
    """
    grants_left, cce_left = left
    headroom, smallest, gain_row = power
    costs, allowed = cost_of_device[devices], needed.copy()
    limits = np.empty(len(needed), dtype=np.int64)
    if len(headroom) and _power_limits(devices, needed, headroom, smallest, limits):
        num_prb = 0
        for count in free:
            num_prb += count
        total = np.empty(len(needed))
        for queue in range(len(needed)):
            total[queue] = _total(priority[queue])
        first = order[: _first(total, costs, grants_left, cce_left, order)]
        allowed[:] = 0
        if len(first) and total[first[-1]] < 0:
            _share_in_order(needed, limits, first, num_prb, allowed)
        else:
            _share_by_gain(needed, limits, total, gain_row[devices], steps, first, num_prb, allowed)
    rotation, parts = places
    count = _by_group(priority, quality, allowed, costs, free, rotation, parts, grants_left, cce_left, order, given)
    for place in range(count):
        order[place] = devices[order[place]]
    return count


@compiled
def part_by_cell(
    queues: tuple[Indices, Indices, Array], serving: Indices, has_others: Bools, sizes: Indices,
    places: tuple[Indices, Indices], alone: tuple[Indices, Indices], shared: tuple[Indices, Indices, Array, Indices],
) -> tuple[int, int]:  # fmt: skip
    """Queues of each cell, and PRBs of those that are alone in their cells, with the whole carrier to choose from.

    Args:
        queues: Devices, PRBs that each can use, [num_queues] each, and quality, [num_queues, num_groups].
        serving: Cell of each device, [num_devices].
        has_others: Cells in which a queue is not alone, whatever queues there are, [num_cells].
        sizes: PRBs of each group, [num_groups].
        places: Order and part of the groups of each cell, see `ResourceGrid`, [num_cells, num_groups] each.
        alone: Take cell and device of each queue that is alone, by cell, [2, num_queues], and its PRBs of each group,
            [num_queues, num_groups].
        shared: Take the other queues by cell, as in ``queues``, and cell, first queue and one past the last of each,
            [3, num_queues].

    Returns:
        Queues that are alone, and cells with others.
    """
    devices, needed, quality = queues
    rotations, parts = places
    names, given = alone
    shared_devices, shared_needed, shared_quality, bounds = shared
    num_groups = len(sizes)
    ends = np.zeros(len(has_others), dtype=np.int64)
    for device in devices:
        ends[serving[device]] += 1
    num_alone, num_cells, at = 0, 0, 0
    # Where each cell's queues go: among those alone, or from its first place on.
    next_place = np.empty(len(has_others), dtype=np.int64)
    for cell in range(len(has_others)):
        count = ends[cell]
        if count == 1 and not has_others[cell]:
            next_place[cell] = -1 - num_alone
            num_alone += 1
        elif count:
            bounds[0, num_cells], bounds[1, num_cells], bounds[2, num_cells] = cell, at, at + count
            next_place[cell] = at
            at += count
            num_cells += 1
    for queue in range(len(devices)):
        cell = serving[devices[queue]]
        place = next_place[cell]
        if place >= 0:
            next_place[cell] += 1
            shared_devices[place], shared_needed[place] = devices[queue], needed[queue]
            for group in range(num_groups):
                shared_quality[place, group] = quality[queue, group]
            continue
        place = -1 - place
        names[0, place], names[1, place] = cell, devices[queue]
        order, left = rotations[cell].copy(), needed[queue]
        _sort(order, quality[queue], parts[cell])
        for group in order:
            given[place, group] = min(sizes[group], left)
            left -= given[place, group]
    return num_alone, num_cells
