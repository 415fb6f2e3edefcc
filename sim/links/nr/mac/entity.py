"""Grants of one direction: retransmissions first, then new blocks by the scheduler's priorities."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from sim.links.nr.mac.allocation import ResourceGrid, allocate_prbs, rotated_groups
from sim.links.nr.mac.deps import MacDeps
from sim.links.nr.mac.grant_width import HEADERS_BYTES, MIN_BLOCK_BYTES
from sim.links.nr.mac.pdcch import GrantBudget
from sim.links.nr.mac.scheduler_view import SchedulerView
from sim.links.nr.mac.schedulers.base import Array, Indices
from sim.links.nr.mac.transmission import Transmission
from sim.links.nr.phy.block import TransportBlock


class MacEntity(Transmission):
    """One direction of all cells.

    Args:
        deps: What it is built from.
    """

    def __init__(self, deps: MacDeps) -> None:
        super().__init__(deps)
        self._group_sizes: list[int] = deps.carrier.group_sizes.tolist()
        self._rotations = [rotated_groups(len(self._group_sizes), cell) for cell in range(deps.num_cells)]
        self.granted_bytes = [0] * len(deps.serving)

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
        most = 1 if self.settings.multiplexing == "tdma" else len(waiting)
        costs = self.deps.pdcch.costs
        for block in waiting:
            prbs_per_group = None
            may_send = len(placed) < most and block.device not in busy and num_symbols >= block.num_symbols
            if may_send and budget.fits(costs[block.device]):
                prbs_per_group = self.configured_prbs(block, slots[1]) or self._other_prbs(block, grid, slots[0])
            if prbs_per_group is None:
                kept.append(block)
                continue
            budget.take(costs[block.device])
            block.prbs_per_group, block.cell = prbs_per_group, cell
            busy.add(block.device)
            placed.append(block)
        self.resend[cell] = kept
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

    def schedulable(self, cell: int, slot: int, busy: Sequence[int]) -> Indices:
        """Devices of a cell that may get a new block: a backlog, a free HARQ process, awake, no block yet."""
        wanted = (self.backlog > 0) & (self.num_free > 0)
        if self.deps.drx.is_used:
            wanted &= self.deps.drx.listening(slot)
        if self.deps.num_cells > 1:
            wanted &= self.serving == cell
        if busy:
            wanted[list(busy)] = False
        return wanted.nonzero()[0]

    def schedule_new(
        self,
        cell: int,
        slots: tuple[int, int],
        num_symbols: int,
        grid: ResourceGrid,
        devices: Indices,
        budget: GrantBudget,
    ) -> list[TransportBlock]:
        """New blocks for some of the devices by the scheduler's priorities; ``slots`` are those of grant and data."""
        if not len(devices) or not grid.num_free or not budget.fits(1):
            return []
        grant_slot, data_slot = slots
        self.adaptation.refresh(devices, grant_slot)
        devices, needed = self.useful(devices, num_symbols)
        if not len(devices):
            return []
        self._age(data_slot)
        priority = self.deps.scheduler.priority(SchedulerView(self, devices, needed, slots))
        needed = self.within_power(devices, needed, priority, grid.num_free, budget)
        quality = self.adaptation.group_quality(devices, grant_slot)
        costs = [self.deps.pdcch.costs[device] for device in devices.tolist()]
        one_device = self.settings.multiplexing == "tdma"
        given = allocate_prbs(grid, priority, needed.tolist(), budget, one_device, quality, costs)
        if not given:
            return []
        chosen = devices[list(given)]
        return self.make_blocks(cell, grant_slot, data_slot, num_symbols, chosen, list(given.values()))

    def make_blocks(
        self,
        cell: int,
        grant_slot: int,
        data_slot: int,
        num_symbols: int,
        devices: Indices,
        prbs_per_group: list[list[int]],
        configured_mcs: list[int] | None = None,
    ) -> list[TransportBlock]:
        """Blocks for devices with their PRBs: MCS by the reported channel of just these PRBs, or as configured."""
        num_prb = [sum(row) for row in prbs_per_group]
        mcs = configured_mcs or self.adaptation.choose(devices, prbs_per_group, num_prb, num_symbols, grant_slot)
        adaptation = self.adaptation
        layers, precoders = (row.take(devices).tolist() for row in (adaptation.num_layers, adaptation.precoder))
        tables = [self.carrier.block_bytes_list(num_symbols, count) for count in layers]
        sizes = [table[index][count] for table, index, count in zip(tables, mcs, num_prb, strict=True)]
        gain = 8e9 / self.carrier.slot_ns / self.settings.average_window_slots / self._served_scale
        blocks = []
        draw, granted = self.deps.uniforms.next, self.granted_bytes
        rows = zip(devices.tolist(), sizes, prbs_per_group, mcs, num_prb, layers, precoders, strict=True)
        for device, size, row, index, count, num_layers, precoder in rows:
            granted[device] += size
            block = TransportBlock(cell, device, size, index, count, num_symbols, row, grant_slot, granted[device])
            block.uniform, block.num_layers, block.precoder = draw(device), num_layers, precoder
            if configured_mcs is None:
                self.deps.drx.granted(device, grant_slot)
            blocks.append(block)
        self._served[devices] += np.array(sizes) * gain
        self.num_free[devices] -= 1
        self.last_grant[devices] = data_slot
        return blocks

    def useful(self, devices: Indices, num_symbols: int) -> tuple[Indices, Indices]:
        """Devices that a slot of so many symbols can serve, and the PRBs that each needs.

        In a short slot, a device whose power allows few PRBs may not fit even a header; it waits for a full one.
        """
        widths = self.adaptation.widths
        want = np.maximum(self.backlog.take(devices), MIN_BLOCK_BYTES)
        # Each layer carries its share of a block.
        per_layer = -(-want // self.adaptation.num_layers.take(devices))
        needed = widths.needed(devices, per_layer, num_symbols)
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
    ) -> Indices:
        """PRBs that each device may be given of those that it needs: all, where power sets no limit. [num_devices]."""
        return needed
