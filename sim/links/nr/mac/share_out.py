"""A slot's PRBs shared out among many queues by compiled code: the same as the steps in plain Python, to the last PRB.

Only comparisons and whole numbers are compiled, so that no result depends on the compiler. Importing this module
imports ``numba``; the first call compiles, or reads what another process has compiled from numba's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from sim.links.nr.mac.schedulers.base import Array, Indices

Bools = npt.NDArray[np.bool_]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    try:
        return cast(_Function, numba.njit(cache=True)(function))
    except RuntimeError:  # neither a folder beside this file nor one of the user's may be written
        return cast(_Function, numba.njit(function))


@_compiled
def _winner(column: Array, is_live: Bools) -> int:
    """Live queue of highest priority, the first of several; -1 without any."""
    best = -1
    for queue in range(len(column)):
        if is_live[queue] and (best < 0 or column[queue] > column[best]):
            best = queue
    return best


@_compiled
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


@_compiled
def _best_group(priority: Array, free: Indices, is_live: Bools, winner: Indices) -> int:
    """Free group in which a live queue has the highest priority of all, -1 without any; winners are renewed."""
    best = -1
    for group in range(len(free)):
        if not free[group]:
            continue
        if winner[group] < 0 or not is_live[winner[group]]:
            winner[group] = _winner(priority[:, group], is_live)
        own = winner[group]
        if own >= 0 and (best < 0 or priority[own, group] > priority[winner[best], best]):
            best = group
    return best


@_compiled
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
        given[queue, group] += share
        needed[queue] -= share
        free[group] -= share


@_compiled
def _by_group(
    priority: Array, quality: Array, needed: Indices, costs: Indices, free: Indices, rotation: Indices, parts: Indices,
    grants_left: int, cce_left: int, order: Indices, given: Indices,
) -> int:  # fmt: skip
    """The steps of `allocation.allocate_prbs`; returns how many queues are given anything."""
    num_queues = len(needed)
    winner = np.full(len(free), -1, dtype=np.int64)
    is_live, is_started = np.empty(num_queues, dtype=np.bool_), np.zeros(num_queues, dtype=np.bool_)
    for queue in range(num_queues):
        is_live[queue] = needed[queue] > 0 and costs[queue] <= cce_left and grants_left > 0
    count = 0
    best = _best_group(priority, free, is_live, winner)
    while best >= 0:
        queue = winner[best]
        if not is_started[queue]:
            is_started[queue] = True
            order[count] = queue
            count += 1
            grants_left -= 1
            cce_left -= costs[queue]
            for other in range(num_queues):
                is_live[other] &= is_started[other] or (grants_left > 0 and costs[other] <= cce_left)
        _take(queue, priority, quality, needed, free, rotation, parts, winner, given)
        is_live[queue] = needed[queue] > 0
        best = _best_group(priority, free, is_live, winner)
    return count


@_compiled
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


@_compiled
def _raised(needed: Indices, cut: Indices, queues: Indices, level: int) -> int:
    """PRBs in all if each queue may have so many at least."""
    total = 0
    for queue in queues:
        total += min(needed[queue], max(cut[queue], level))
    return total


@_compiled
def _shared(needed: Indices, limits: Indices, queues: Indices, num_prb: int, cut: Indices) -> None:
    """`grant_width.share_leftover` among some queues, by falling priority."""
    left = num_prb
    for queue in queues:
        cut[queue] = min(needed[queue], limits[queue])
        left -= cut[queue]
    if left <= 0:
        return
    level = 0
    while level < num_prb and _raised(needed, cut, queues, level + 1) <= num_prb:
        level += 1
    left = num_prb
    for queue in queues:
        cut[queue] = min(needed[queue], max(cut[queue], level))
        left -= cut[queue]
    for queue in queues:
        if left > 0 and cut[queue] < needed[queue]:
            cut[queue] += 1
            left -= 1


@_compiled
def share_out(
    priority: Array,
    quality: Array,
    total: Array,
    needed: Indices,
    limits: Indices,
    costs: Indices,
    free: Indices,
    rotation: Indices,
    parts: Indices,
    grants_left: int,
    cce_left: int,
    order: Indices,
    given: Indices,
) -> int:
    """Give free PRBs to queues: who may start, how much each may have, then group by group by priority.

    Args:
        priority, quality: [num_queues, num_groups]; how good each group is for a queue decides where it lies.
        total: Priority of each queue over the groups, [num_queues].
        needed: PRBs that each queue can use, [num_queues].
        limits: PRBs within each queue's power, [num_queues]; empty where power sets no limit.
        costs: CCEs of a grant to each queue, [num_queues].
        free: PRBs left in each group, taken from, [num_groups].
        rotation, parts: Order and part of the groups, see `ResourceGrid`, [num_groups].
        grants_left, cce_left: What can still be announced.
        order: Takes the queues that are given anything, in order, [num_queues].
        given: Takes the PRBs of each group, [num_queues, num_groups].

    Returns:
        Queues that are given anything.
    """
    allowed = np.zeros(len(needed), dtype=np.int64)
    if len(limits):
        num_prb = 0
        for count in free:
            num_prb += count
        _shared(needed, limits, order[: _first(total, costs, grants_left, cce_left, order)], num_prb, allowed)
    else:
        for queue in range(len(needed)):
            allowed[queue] = needed[queue]
    return _by_group(priority, quality, allowed, costs, free, rotation, parts, grants_left, cce_left, order, given)
