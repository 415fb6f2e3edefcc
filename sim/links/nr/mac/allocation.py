"""Who gets which PRBs: a slot's groups handed out by priority, OFDMA per group or TDMA per slot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class ResourceGrid:
    """The PRBs of one slot that are still free, by group.

    Args:
        group_sizes: PRBs of each group.

    Attributes:
        free: PRBs left in each group.
        num_free: Their sum.
    """

    __slots__ = ("free", "num_free")

    def __init__(self, group_sizes: Sequence[int]) -> None:
        self.free = list(group_sizes)
        self.num_free = sum(self.free)

    def take_any(self, num_prb: int) -> list[int] | None:
        """Take PRBs from the first groups that have some; None, and nothing taken, if there are too few."""
        if num_prb > self.num_free:
            return None
        taken = [0] * len(self.free)
        left = num_prb
        for group, free in enumerate(self.free):
            if free:
                share = free if free < left else left
                taken[group] = share
                self.free[group] = free - share
                left -= share
                if not left:
                    break
        self.num_free -= num_prb
        return taken


def allocate_prbs(
    grid: ResourceGrid, priority: Array, num_prb_needed: Sequence[int], max_devices: int, one_device: bool
) -> dict[int, list[int]]:
    """Give free PRBs to queues by priority until all are served, PRBs run out, or ``max_devices`` have some.

    Args:
        board: PRBs left; those given are taken from it.
        priority: [num_queues, num_groups] or [num_queues, 1], finite.
        num_prb_needed: PRBs that each queue can use, [num_queues].
        max_devices: Queues that may get a grant.
        one_device: TDMA: only the queue with the best mean priority gets any.

    Returns:
        PRBs of each group, by queue index.
    """
    given: dict[int, list[int]] = {}
    if max_devices < 1 or not grid.num_free or not len(priority):
        return given
    if one_device:
        best = int(priority.mean(axis=1).argmax())
        taken = grid.take_any(min(num_prb_needed[best], grid.num_free))
        grid.free, grid.num_free = [0] * len(grid.free), 0
        return {best: taken} if taken else given
    if priority.shape[1] == 1:
        for queue in np.argsort(-priority[:, 0], kind="stable")[:max_devices].tolist():
            taken = grid.take_any(min(num_prb_needed[queue], grid.num_free))
            if taken:
                given[queue] = taken
            if not grid.num_free:
                break
        return given
    return _by_group(grid, priority, list(num_prb_needed), max_devices, given)


def _by_group(
    grid: ResourceGrid, priority: Array, needed: list[int], max_devices: int, given: dict[int, list[int]]
) -> dict[int, list[int]]:
    """Each group goes to the queue of highest priority in it that still needs PRBs."""
    best = priority.argmax(axis=0).tolist()
    num_groups = len(grid.free)
    live = priority
    for group, size in enumerate(grid.free):
        queue, free = best[group], size
        while free:
            if needed[queue] <= 0 or (len(given) >= max_devices and queue not in given):
                live = _without(live, priority, needed, given, max_devices)
                queue = int(live[:, group].argmax())
                if live[queue, group] == -np.inf:
                    break
            share = free if free < needed[queue] else needed[queue]
            row = given.get(queue)
            if row is None:
                row = given[queue] = [0] * num_groups
            row[group] += share
            needed[queue] -= share
            free -= share
            grid.num_free -= share
        grid.free[group] = free
        if live is not priority and group + 1 < num_groups:
            best[group + 1] = int(live[:, group + 1].argmax())
    return given


def _without(live: Array, priority: Array, needed: list[int], given: dict[int, list[int]], max_devices: int) -> Array:
    """Priorities with -inf for queues that need nothing more or may not start."""
    if live is priority:
        live = priority.astype(np.float64, copy=True)
    done = np.asarray(needed) <= 0
    if len(given) >= max_devices:
        started = np.zeros(len(needed), dtype=bool)
        started[list(given)] = True
        done |= ~started
    live[done] = -np.inf
    return live
