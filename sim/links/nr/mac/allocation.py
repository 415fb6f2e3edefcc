"""Who gets which PRBs: a slot's groups handed out by priority, OFDMA per group or TDMA per slot.

Where a device's PRBs lie follows from its own channel report, best group first. Groups that its report holds for alike
are taken in an order that starts at another group in every cell. With ``reuse``, a cell fills its own seventh of the
carrier first, best groups of that first, so that lightly loaded neighbours keep out of each other's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_REUSE = 7
"""Cells whose orders start at different groups: a site and its six neighbours."""


class Budget(Protocol):
    """What can be announced in a slot."""

    def fits(self, cost: int) -> bool:
        """Whether a grant of this cost can be announced."""

    def fits_all(self, costs: Sequence[int]) -> bool:
        """Whether grants of all these costs can be announced."""

    def take(self, cost: int) -> None:
        """Announce it."""


def rotated_groups(num_groups: int, cell: int) -> list[int]:
    """Groups in the order of a cell, which starts at ``cell mod 7`` sevenths of the carrier. [num_groups]."""
    first = cell % _REUSE * num_groups // _REUSE
    return [(group + first) % num_groups for group in range(num_groups)]


def group_parts(rotation: Sequence[int]) -> dict[int, int]:
    """Seventh of a rotation in which each group lies."""
    return {group: place * _REUSE // len(rotation) for place, group in enumerate(rotation)}


class ResourceGrid:
    """The PRBs of one slot that are still free, by group.

    Args:
        group_sizes: PRBs of each group.
        rotation: Groups in the order in which ties between them are resolved; by number if left out.
        reuse: Whether sevenths of the rotation come one after the other, whatever the preference.

    Attributes:
        free: PRBs left in each group.
        num_free: Their sum.
    """

    __slots__ = ("_part", "free", "num_free", "rotation")

    def __init__(self, group_sizes: Sequence[int], rotation: Sequence[int] | None = None, reuse: bool = False) -> None:
        self.free = list(group_sizes)
        self.num_free = sum(self.free)
        self.rotation: Sequence[int] = range(len(self.free)) if rotation is None else rotation
        self._part = group_parts(self.rotation) if reuse else {}

    def order(self, preference: Sequence[float] | Array, avoid: Sequence[int] | None = None) -> list[int]:
        """Groups by falling preference, ties by the rotation.

        Args:
            preference: Higher is better, [num_groups].
            avoid: PRBs per group of an earlier transmission; groups with any come after all others.
        """
        values = preference.tolist() if isinstance(preference, np.ndarray) else preference
        # Some groups are sorted faster as numbers than as arrays. Sorting is stable, also from high to low.
        order = sorted(self.rotation, key=values.__getitem__, reverse=True)
        if self._part:
            order.sort(key=self._part.__getitem__)
        if avoid is None:
            return order
        return [g for g in order if not avoid[g]] + [g for g in order if avoid[g]]

    def take(self, num_prb: int, order: Iterable[int]) -> list[int] | None:
        """Take PRBs from groups in this order; None, and nothing taken, if there are too few.

        Returns:
            PRBs of each group, [num_groups].
        """
        if num_prb > self.num_free:
            return None
        taken = [0] * len(self.free)
        self.take_from(order, num_prb, taken)
        return taken

    def take_from(self, groups: Iterable[int], num_prb: int, taken: list[int]) -> int:
        """Take up to so many PRBs from groups in this order, and add them to those taken of each, [num_groups].

        Returns:
            How many.
        """
        left, free = num_prb, self.free
        for group in groups:
            share = free[group]
            if share:
                share = min(share, left)
                taken[group] += share
                free[group] -= share
                left -= share
                if not left:
                    break
        self.num_free -= num_prb - left
        return num_prb - left

    def leave(self, free: list[int]) -> None:
        """Leave so many PRBs of each group, [num_groups]."""
        self.free, self.num_free = free, sum(free)

    def close(self) -> None:
        """Leave nothing for others (TDMA)."""
        self.free, self.num_free = [0] * len(self.free), 0


def allocate_prbs(
    grid: ResourceGrid,
    priority: Array,
    num_prb_needed: Sequence[int],
    budget: Budget,
    one_device: bool,
    preference: Array | None = None,
    costs: Sequence[int] | None = None,
) -> dict[int, list[int]]:
    """Give free PRBs to queues by priority until all are served, PRBs run out, or no grant can be announced any more.

    Args:
        grid: PRBs left; those given are taken from it.
        priority: [num_queues, num_groups] or [num_queues, 1], finite.
        num_prb_needed: PRBs that each queue can use, [num_queues].
        budget: What can be announced; the grants given are taken from it.
        one_device: TDMA: only the queue with the best mean priority gets any.
        preference: How good each group is for a queue, [num_queues, num_groups]; the priorities if left out.
        costs: What announcing a grant to each queue takes, [num_queues]; 1 if left out.

    Returns:
        PRBs of each group, by queue index.
    """
    given: dict[int, list[int]] = {}
    if not grid.num_free or not len(priority):
        return given
    if preference is None:
        preference = priority if priority.shape[1] > 1 else np.zeros((len(priority), len(grid.free)))
    cost = [1] * len(priority) if costs is None else costs
    if one_device:
        best = int(priority.mean(axis=1).argmax())
        if budget.fits(cost[best]):
            taken = grid.take(min(num_prb_needed[best], grid.num_free), grid.order(preference[best]))
            if taken:
                given[best] = taken
                budget.take(cost[best])
        grid.close()
    elif priority.shape[1] == 1:
        for queue in np.argsort(-priority[:, 0], kind="stable").tolist():
            wanted = min(num_prb_needed[queue], grid.num_free) if budget.fits(cost[queue]) else 0
            taken = grid.take(wanted, grid.order(preference[queue])) if wanted else None
            if taken:
                given[queue] = taken
                budget.take(cost[queue])
            if not grid.num_free or not budget.fits(1):
                break
    else:
        _by_group(grid, priority, preference, list(num_prb_needed), budget, cost, given)
    return given


def _by_group(
    grid: ResourceGrid,
    priority: Array,
    preference: Array,
    needed: list[int],
    budget: Budget,
    cost: Sequence[int],
    given: dict[int, list[int]],
) -> None:
    """Each group goes to the queue of highest priority in it that still needs PRBs.

    The queue with the highest priority anywhere comes first and takes, of the groups that it wins, those that it
    prefers, until it needs no more; then the winners of its groups are found anew.
    """
    free = grid.free
    fits = {level: budget.fits(level) for level in set(cost)}
    all_fit = budget.fits_all(cost)
    # [num_groups, num_queues]; queues that may not go on count as -inf.
    live = np.array(priority.T, dtype=np.float64, order="C")
    if not all(fits.values()) or min(needed) <= 0:
        rows = enumerate(zip(needed, cost, strict=True))
        live[:, [queue for queue, (need, level) in rows if need <= 0 or not fits[level]]] = -np.inf
    winner: list[int] = live.argmax(axis=1).tolist()
    value: list[float] = live.max(axis=1).tolist()
    is_open = [g for g, left in enumerate(free) if left]
    while is_open:
        group = max(is_open, key=value.__getitem__)
        if value[group] == -np.inf:
            return
        queue = winner[group]
        gone: list[int] = []
        if queue not in given:
            given[queue] = [0] * len(free)
            budget.take(cost[queue])
            gone = [] if all_fit else _unannounced(fits, budget, cost, given)
        own = live[:, queue].tolist()
        won = [g for g in is_open if own[g] == value[g]]
        if sum([free[g] for g in won]) > needed[queue]:
            won = [g for g in grid.order(preference[queue]) if g in won]
        needed[queue] -= grid.take_from(won, needed[queue], given[queue])
        is_open = [g for g in is_open if free[g]]
        if not needed[queue]:
            gone.append(queue)
        for out in gone:
            live[:, out] = -np.inf
        for lost in [g for g in is_open if winner[g] in gone] if gone else ():
            column = live[lost]
            winner[lost] = int(column.argmax())
            value[lost] = column.item(winner[lost])


def _unannounced(fits: dict[int, bool], budget: Budget, cost: Sequence[int], given: dict[int, list[int]]) -> list[int]:
    """Queues whose grants have become too costly to announce, since ``fits`` was taken; it is renewed."""
    lost = {level for level, did in fits.items() if did and not budget.fits(level)}
    if not lost:
        return []
    fits.update(dict.fromkeys(lost, False))
    return [queue for queue, level in enumerate(cost) if level in lost and queue not in given]
