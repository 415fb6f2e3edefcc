"""Grants of one direction: retransmissions first, then new blocks by the scheduler's priorities."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType

import numpy as np

from sim.links.nr.carrier_settings import HEADERS_BYTES, MIN_BLOCK_BYTES
from sim.links.nr.mac.allocation import ResourceGrid, allocate_prbs, group_parts, rotated_groups
from sim.links.nr.mac.candidates import Candidates
from sim.links.nr.mac.deps import MacDeps
from sim.links.nr.mac.pdcch import GrantBudget
from sim.links.nr.mac.power_sharing import RATIOS
from sim.links.nr.mac.scheduler_view import SchedulerView
from sim.links.nr.mac.schedulers.base import Array, Indices
from sim.links.nr.mac.transmission import Transmission
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.small_scale import are_many

PrbPlacement = tuple[int, int, list[int]]
"""Cell, device, and PRBs of each group, [num_groups], of a new block."""
_MAX_GROUPS = 128
"""As `share_out.MAX_GROUPS`, which is imported by cells with many devices only."""
MANY_QUEUES = 32
"""Candidates of a cell from which on their grants are found by compiled code, which takes a while to be imported."""


@cache
def _kernels() -> ModuleType:
    from sim.links.nr.mac import share_out

    return share_out


class MacEntity(Transmission):
    """One direction of all cells.

    Args:
        deps: What it is built from.

    Attributes:
        has_power_limits: Whether a device's power says how many PRBs it should be given at most.
    """

    has_power_limits = False

    def __init__(self, deps: MacDeps) -> None:
        super().__init__(deps)
        self._group_sizes: list[int] = deps.carrier.group_sizes.tolist()
        self._rotations = [rotated_groups(len(self._group_sizes), cell) for cell in range(deps.num_cells)]
        reuses, count = self.settings.prb_placement == "reuse", len(self._group_sizes)
        parts = [group_parts(rotation) if reuses else dict.fromkeys(range(count), 0) for rotation in self._rotations]
        # Order and part of the groups of each cell. [num_groups] each.
        self._group_orders = [
            (np.array(rotation), np.array([part[group] for group in range(count)]))
            for rotation, part in zip(self._rotations, parts, strict=True)
        ]
        self._all_orders = tuple(np.array(rows) for rows in zip(*self._group_orders, strict=True))
        self._no_resend = np.zeros(deps.num_cells, dtype=bool)
        self._many_queues, self._places_alone = MANY_QUEUES, False
        if are_many(len(deps.serving)):
            self.use_compiled_code()
        # Room for what is shared out: queues in order, and PRBs of each group.
        self._shares = np.empty(len(deps.serving), dtype=np.int64), np.empty((len(deps.serving), count), dtype=np.int64)
        self.granted_bytes = [0] * len(deps.serving)

    def use_compiled_code(self) -> None:
        """Find grants by compiled code from now on, which gives the same."""
        # Where it is at hand anyway, two queues are enough for it.
        self._many_queues = 2
        self._places_alone = self.deps.num_cells > 1 and not self.settings.configured_grant
        self.adaptation.widths.use_compiled_code()

    def empty_grid(self, cell: int) -> ResourceGrid:
        """All PRBs of a slot of a cell."""
        return ResourceGrid(self._group_sizes, self._rotations[cell], self.settings.prb_placement == "reuse")

    def schedule_retransmissions(
        self, cell: int, slots: tuple[int, int], num_symbols: int, grid: ResourceGrid, budget: GrantBudget
    ) -> list[TransportBlock]:
        """Retransmissions that fit a slot, oldest first; each device sends one block per slot at most."""
        waiting = self.resend[cell]
        if not waiting:
            return []
        placed: list[TransportBlock] = []
        busy: set[int] = set()
        kept: deque[TransportBlock] = deque()
        max_blocks = 1 if self.settings.multiplexing == "tdma" else len(waiting)
        costs = self.deps.pdcch.costs
        for block in waiting:
            prbs_per_group = None
            may_send = len(placed) < max_blocks and block.device not in busy and num_symbols >= block.num_symbols
            if may_send and budget.fits(costs[block.device]):
                prbs_per_group = self.configured_prbs(block, slots[1]) or self._other_prbs(block, grid, slots[0])
            if prbs_per_group is None:
                kept.append(block)
                continue
            budget.take(costs[block.device])
            block.move(cell, prbs_per_group)
            busy.add(block.device)
            placed.append(block)
        self.resend[cell] = kept
        self.num_resend -= len(placed)
        if placed and self.settings.multiplexing == "tdma":
            grid.close()
        return placed

    def _other_prbs(self, block: TransportBlock, grid: ResourceGrid, grant_slot: int) -> list[int] | None:
        """PRBs for a retransmission: best groups by the device's report, those that have just failed last."""
        if block.num_prb > grid.num_free:
            return None
        row = np.array([block.device])
        self.adaptation.refresh(row, grant_slot)
        return grid.take(
            block.num_prb, grid.order(self.adaptation.group_quality(row, grant_slot)[0], block.prbs_per_group)
        )

    def configured_prbs(self, block: TransportBlock, data_slot: int) -> list[int] | None:  # noqa: ARG002
        """PRBs that are the device's own in a slot and fit its block, if any."""
        return None

    def candidates(self, slot: int, num_symbols: int) -> Candidates | None:
        """Devices of all cells that may get a new block: a backlog, a free HARQ process, awake.

        Their reports are taken in, all cells together: many cells have one such device or two.
        """
        wanted = np.logical_and(self.backlog, self.num_free)
        if self.deps.drx.is_used:
            wanted &= self.deps.drx.listening(slot)
        devices = wanted.nonzero()[0]
        if not len(devices):
            return None
        self.adaptation.refresh(devices, slot)
        self.deps.pdcch.refresh(devices, slot)
        devices, needed = self.useful(devices, num_symbols)
        quality = self.adaptation.group_quality(devices, slot)
        return Candidates(devices, needed, quality)

    def part_by_cell(self, candidates: Candidates) -> tuple[dict[int, PrbPlacement | None], dict[int, Candidates]]:
        """The new block of the only candidate of a cell, if no retransmission waits there; and all others by cell.

        With many cells, in one step for all; None for a block whose grant cannot be announced.
        """
        if not self._places_alone:
            return {}, candidates.by_cell(self.serving, self.deps.num_cells)
        resends, shape = self._no_resend, candidates.quality.shape
        if self.num_resend:
            resends = np.array([bool(waiting) for waiting in self.resend])
        names, given = np.empty((2, shape[0]), dtype=np.int64), np.empty(shape, dtype=np.int64)
        others = np.empty((2, shape[0]), dtype=np.int64)
        devices, needed, quality, bounds = *others, np.empty(shape), np.empty((3, shape[0]), dtype=np.int64)
        num_alone, num_cells = _kernels().part_by_cell(
            (candidates.devices, candidates.needed, candidates.quality),
            self.serving,
            resends,
            self.carrier.group_sizes,
            self._all_orders,
            (names, given),
            (devices, needed, quality, bounds),
        )
        pdcch, alone = self.deps.pdcch, dict[int, PrbPlacement | None]()
        for cell, device, row in zip(*names[:, :num_alone].tolist(), given[:num_alone].tolist(), strict=True):
            fits = pdcch.announce(cell, self.direction, pdcch.costs[device])
            alone[cell] = (cell, device, row) if fits else None
        own = {
            cell: Candidates(devices[start:end], needed[start:end], quality[start:end])
            for cell, start, end in zip(*bounds[:, :num_cells].tolist(), strict=True)
        }
        return alone, own

    def cells_to_share(
        self, candidates: Candidates | None, placed: list[PrbPlacement]
    ) -> Iterator[tuple[int, Candidates | None]]:
        """Cells with PRBs to share out, in order, each with its candidates.

        Devices that are the only candidates of their cells get theirs in the same order, without being shared out.

        Args:
            candidates: Of all cells.
            placed: Takes the new blocks of those devices.
        """
        alone, own = ({}, {}) if candidates is None else self.part_by_cell(candidates)
        cells = [*own, *alone]
        if self.num_resend:
            cells = list({*cells, *(cell for cell, waiting in enumerate(self.resend) if waiting)})
        for cell in sorted(cells):
            if cell not in alone:
                yield cell, own.get(cell)
            elif (placement := alone[cell]) is not None:
                placed.append(placement)

    def schedule_new(
        self, cell: int, slots: tuple[int, int], grid: ResourceGrid, own: Candidates, budget: GrantBudget
    ) -> list[PrbPlacement]:
        """PRBs of new blocks for some of a cell's devices by the scheduler's priorities.

        Args:
            slots: Those of grant and data.
            own: Candidates of the cell.
        """
        if not len(own) or not grid.num_free or not budget.fits(1):
            return []
        costs, one_device = self.deps.pdcch.costs, self.settings.multiplexing == "tdma"
        if len(own) == 1:
            # Nobody to choose from, and the carrier is the limit.
            return self._place_alone(cell, grid, own, budget)
        priority = self.deps.scheduler.priority(SchedulerView(self, own.devices, own.needed, slots))
        is_many = len(own) >= self._many_queues and 1 < priority.shape[1] <= _MAX_GROUPS
        if is_many and not one_device:
            return self._share_among_many(cell, grid, own, priority, budget)
        start, needed = self.within_power(own.devices, own.needed, priority, grid.num_free, budget)
        devices, quality = own.devices, own.quality
        if start is not None:
            devices, priority = devices.take(start), priority.take(start, axis=0)
            quality = quality.take(start, axis=0)
        names = devices.tolist()
        own_costs = [costs[device] for device in names]
        given = allocate_prbs(grid, priority, needed.tolist(), budget, one_device, quality, own_costs)
        return [(cell, names[queue], row) for queue, row in given.items()]

    def _share_among_many(
        self, cell: int, grid: ResourceGrid, own: Candidates, priority: Array, budget: GrantBudget
    ) -> list[PrbPlacement]:
        """``within_power`` and ``allocate_prbs`` by compiled code."""
        widths, pdcch = self.adaptation.widths, self.deps.pdcch
        free = np.array(grid.free)
        order, given = self._shares
        count = _kernels().share_out(
            priority,
            own.quality,
            own.devices,
            own.needed,
            (widths.headroom_prb, widths.smallest_prb, widths.gain_row) if self.has_power_limits else (order[:0],) * 3,
            (widths.spread_gains, RATIOS),
            pdcch.cost_row,
            free,
            self._group_orders[cell],
            (budget.grants_left, budget.cce_left),
            order,
            given,
        )
        grid.leave(free.tolist())
        placed = [
            (cell, device, row) for device, row in zip(order[:count].tolist(), given[:count].tolist(), strict=True)
        ]
        for _, device, _ in placed:
            budget.take(pdcch.costs[device])
        return placed

    def _place_alone(self, cell: int, grid: ResourceGrid, own: Candidates, budget: GrantBudget) -> list[PrbPlacement]:
        device = int(own.devices[0])
        cost = self.deps.pdcch.costs[device]
        placed: list[PrbPlacement] = []
        if budget.fits(cost):
            row = grid.take(min(int(own.needed[0]), grid.num_free), grid.order(own.quality[0]))
            if row:
                budget.take(cost)
                placed.append((cell, device, row))
        if self.settings.multiplexing == "tdma":
            grid.close()
        return placed

    def make_blocks(
        self,
        placed: Sequence[PrbPlacement],
        grant_slot: int,
        data_slot: int,
        num_symbols: int,
        configured_mcs: list[int] | None = None,
    ) -> list[TransportBlock]:
        """Blocks for devices with their PRBs: MCS by the reported channel of just these PRBs, or as configured."""
        if not placed:
            return []
        devices = np.array([device for _, device, _ in placed], dtype=np.int64)
        prbs_per_group = [row for _, _, row in placed]
        num_prb, prbs = list(map(sum, prbs_per_group)), np.array(prbs_per_group, dtype=np.int64)
        adaptation = self.adaptation
        mcs = configured_mcs or adaptation.choose(devices, prbs_per_group, num_prb, num_symbols, grant_slot, prbs)
        has_layers, first_sizes = adaptation.has_layers, self.carrier.block_bytes_list(num_symbols)
        gain = 8e9 / self.carrier.slot_ns / self.settings.average_window_slots / self._served_scale
        blocks = []
        draw, granted, drx = self.deps.uniforms.next, self.granted_bytes, self.deps.drx
        served, num_free, last_grant = self._served, self.num_free, self.last_grant
        packed, row_bytes = prbs.tobytes(), prbs.itemsize * prbs.shape[1]
        for place, ((cell, device, row), index, count) in enumerate(zip(placed, mcs, num_prb, strict=True)):
            num_layers = adaptation.num_layers.item(device) if has_layers else 1
            sizes = first_sizes if num_layers == 1 else self.carrier.block_bytes_list(num_symbols, num_layers)
            size = sizes[index][count]
            granted[device] += size
            served[device] += size * gain
            num_free[device] -= 1
            last_grant[device] = data_slot
            own = packed[place * row_bytes : (place + 1) * row_bytes]
            block = TransportBlock(cell, device, size, index, count, num_symbols, row, grant_slot, granted[device], own)
            block.uniform = draw(device)
            if has_layers:
                block.num_layers, block.precoder = num_layers, adaptation.precoder.item(device)
            if drx.is_used and configured_mcs is None:
                drx.granted(device, grant_slot)
            blocks.append(block)
        return blocks

    def useful(self, devices: Indices, num_symbols: int) -> tuple[Indices, Indices]:
        """Devices that a slot of so many symbols can serve, and the PRBs that each needs.

        In a short slot, a device whose power allows few PRBs may not fit even a header; it waits for a full one.
        """
        widths = self.adaptation.widths
        want = np.maximum(self.backlog.take(devices), MIN_BLOCK_BYTES)
        if self.adaptation.has_layers:
            # Each carries its share of a block.
            want = -(-want // self.adaptation.num_layers.take(devices))
        needed = widths.needed(devices, want, num_symbols)
        if num_symbols < self.carrier.max_symbols(self.direction):
            sizes = self.carrier.block_bytes(num_symbols)
            fits = sizes[widths.mcs[devices], needed] >= HEADERS_BYTES
            return devices[fits], needed[fits]
        return devices, needed

    def within_power(
        self,
        devices: Indices,  # noqa: ARG002
        needed: Indices,
        priority: Array,  # noqa: ARG002
        num_prb: int,  # noqa: ARG002
        budget: GrantBudget,  # noqa: ARG002
    ) -> tuple[Indices | None, Indices]:
        """Which devices may be given PRBs, rising, None for all; and how many each, [num_started].

        Where power sets no limit, all that they need.
        """
        return None, needed
