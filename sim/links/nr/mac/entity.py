"""MAC of one direction: RLC queues, HARQ processes, grants, and the outcomes of transport blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.core.clock import to_ns
from sim.core.errors import RunError
from sim.links.base import Delivery, Direction
from sim.links.nr.mac.adaptation import Adaptation
from sim.links.nr.mac.allocation import ResourceGrid, allocate_prbs, rotated_groups
from sim.links.nr.mac.counters import DELAY_PARTS, MacCounters
from sim.links.nr.mac.grant_width import HEADERS_BYTES, MIN_BLOCK_BYTES
from sim.links.nr.mac.pdcch import ControlChannel, GrantBudget
from sim.links.nr.mac.schedulers.base import Array, Indices, Scheduler
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.receiver import Receiver
from sim.links.nr.phy.uniform_stream import UniformStream
from sim.links.nr.records import SlotRecords
from sim.links.nr.rlc.message import Message, Segmenter
from sim.links.nr.rlc.send_queue import SendQueue
from sim.links.nr.settings import NrLinkSettings

_NEVER_SERVED = -(1 << 40)


class SlotCallbacks:
    """Things to do at the start of a slot, in the order in which they were noted."""

    def __init__(self) -> None:
        self._slots: dict[int, list[tuple[Callable[[Any, int], None], Any]]] = {}

    def schedule(self, slot: int, action: Callable[[Any, int], None], about: Any) -> None:
        """Call ``action(about, slot)`` at the start of a slot."""
        self._slots.setdefault(slot, []).append((action, about))

    def fire(self, slot: int) -> None:
        """Call what was scheduled for this slot."""
        for action, about in self._slots.pop(slot, ()):
            action(about, slot)

    def next_slot(self) -> int | None:
        """First slot with something to do."""
        return min(self._slots, default=None)


@dataclass(frozen=True)
class MacDeps:
    """What a side is built from.

    Attributes:
        serving: Cell of each device, renewed in place, [num_devices].
        deliver: Takes each finished message with its delivery and the delay after the end of the slot.
    """

    carrier: Carrier
    settings: NrLinkSettings
    callbacks: SlotCallbacks
    serving: Indices
    num_cells: int
    adaptation: Adaptation
    scheduler: Scheduler
    receiver: Receiver
    uniforms: UniformStream
    segmenter: Segmenter
    pdcch: ControlChannel
    deliver: Callable[[Message, Delivery, int], None]
    records: SlotRecords | None


class MacEntity(ABC):
    """One direction of all cells.

    Args:
        parts: What it is built from.

    Attributes:
        queues: RLC buffer of each device.
        backlog: Bytes that the base station believes to wait, [num_devices]; ``total_backlog`` is their sum.
        num_free: HARQ processes without a block, [num_devices].
        resend: Blocks that wait for a retransmission, by cell.
        kpis: Counters.
    """

    direction: Direction
    delay_parts: tuple[str, ...] = DELAY_PARTS

    def __init__(self, deps: MacDeps) -> None:
        settings = deps.settings
        self.deps = deps
        self.carrier = deps.carrier
        self.settings = settings
        self.callbacks = deps.callbacks
        self.serving = deps.serving
        self.adaptation = deps.adaptation
        count = len(deps.serving)
        self._group_sizes: list[int] = deps.carrier.group_sizes.tolist()
        self._rotations = [rotated_groups(len(self._group_sizes), cell) for cell in range(deps.num_cells)]
        self.queues = [SendQueue(deps.segmenter) for _ in range(count)]
        self._undelivered: list[deque[Message]] = [deque() for _ in range(count)]
        self.backlog = np.zeros(count, dtype=np.int64)
        self.total_backlog = 0
        self.num_free = np.full(count, settings.harq_processes, dtype=np.int64)
        self.resend: list[deque[TransportBlock]] = [deque() for _ in range(deps.num_cells)]
        self.granted_bytes = [0] * count
        self.last_grant = np.full(count, _NEVER_SERVED, dtype=np.int64)
        self.kpis = MacCounters(count, self.delay_parts)
        self._served = np.zeros(count)
        self._served_scale, self._aged = 1.0, 0
        self._decay = 1 - 1 / settings.average_window_slots
        self.head_ns = np.zeros(count, dtype=np.int64)
        self.head_deadline_ns = np.zeros(count, dtype=np.int64)
        self.head_tokens = np.ones(count)
        self.head_bytes = np.zeros(count, dtype=np.int64)
        self._heads: list[Message | None] = [None] * count
        self._budget_ns = to_ns(settings.delay_budget_s)
        self._status_delay_ns = to_ns(settings.rlc_status_delay_s)
        self._after_ns = self.carrier.decode_ns
        self.transport_ns = to_ns(settings.transport_delay_s)

    # -- what the directions do differently ------------------------------------------------------------------------

    @abstractmethod
    def known_at(self, slot: int) -> int:
        """Slot at whose start the base station can act on the outcome of a block sent in ``slot``."""

    @abstractmethod
    def on_known(self, block: TransportBlock) -> None:
        """A block has been decoded and the base station knows it."""

    @abstractmethod
    def on_requeued(self, device: int, slot: int) -> None:
        """Bytes that a block has lost for good are back in the buffer."""

    # -- grants -----------------------------------------------------------------------------------------------------

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

    def schedulable(self, cell: int, busy: Sequence[int]) -> Indices:
        """Devices of a cell that may get a new block: a backlog, a free HARQ process, no block in the slot yet."""
        wanted = (self.backlog > 0) & (self.num_free > 0)
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

    def average_rate_bps(self, devices: Indices) -> Array:
        """Rates served, averaged over the window. [num_devices]."""
        return self._served.take(devices) * self._served_scale

    def _age(self, data_slot: int) -> None:
        """Let the averages of served rates fade by the data slots that have passed, used or not."""
        count = self.carrier.num_data_slots(self.direction, data_slot)
        if count > self._aged:
            self._served_scale *= self._decay ** (count - self._aged)
            self._aged = count
            if self._served_scale < 1e-100:
                self._served *= self._served_scale
                self._served_scale = 1.0

    def set_backlog(self, device: int, waiting_bytes: int) -> None:
        """Renew what the base station believes to wait at a device."""
        self.total_backlog += waiting_bytes - int(self.backlog[device])
        self.backlog[device] = waiting_bytes

    @property
    def has_work(self) -> bool:
        """Whether blocks wait for a grant."""
        return self.total_backlog > 0 or any(self.resend)

    # -- queues -----------------------------------------------------------------------------------------------------

    def enqueue(self, message: Message) -> None:
        """Put a message into its device's buffer; it will be delivered after all that are there."""
        device = message.packet.device
        self.queues[device].push(message)
        self._undelivered[device].append(message)

    def sync_head(self, device: int) -> None:
        """Renew what schedulers see of the message that a queue serves next."""
        queue = self.queues[device]
        head = queue.head
        self.head_bytes[device] = queue.head_bytes
        if head is None or head is self._heads[device]:
            return
        self._heads[device] = head
        packet = head.packet
        self.head_ns[device] = head.sent_ns
        deadline = packet.deadline_ns
        self.head_deadline_ns[device] = head.sent_ns + self._budget_ns if deadline is None else deadline
        self.head_tokens[device] = packet.tokens_at_stake

    def fill(self, block: TransportBlock, room: int, slot: int) -> bool:
        """Put waiting bytes into a block that goes on air for the first time; False if nothing waits."""
        device = block.device
        block.segments = self.queues[device].fill(room)
        if not block.segments:
            return False
        start_ns = slot * self.carrier.slot_ns
        for segment in block.segments:
            message = segment.message
            if message.first_ns < 0:
                message.first_ns = start_ns
                message.grant_ns = -1 if block.is_configured else block.grant_slot * self.carrier.slot_ns
            if not segment.num_resent:
                message.last_new_ns = start_ns + self.carrier.slot_ns
        self.sync_head(device)
        return True

    # -- on air and after -------------------------------------------------------------------------------------------

    def transmit(self, slot: int, blocks: list[TransportBlock]) -> None:
        """Send a slot's blocks of all cells and note when their outcomes will be known."""
        self.deps.receiver.receive(self.direction, slot, blocks)
        slot_ns = self.carrier.slot_ns
        records = self.deps.records
        for block in blocks:
            if not block.attempt:
                block.first_slot = slot
            self.kpis.on_air(block)
            if records is not None:
                records.add(slot, self.direction, block)
            used = sum([segment.used_bytes for segment in block.segments])
            airtime_ns = slot_ns * block.num_symbols // 14
            for segment in block.segments:
                message = segment.message
                message.used_bits += 8 * segment.used_bytes
                message.airtime_ns += airtime_ns * segment.used_bytes // used
                if block.received:
                    message.received_bytes += segment.stop - segment.start
                    if message.received_bytes == message.total_bytes:
                        message.complete_ns = (slot + 1) * slot_ns
                        self._deliver_in_order(block.device, message.complete_ns)
        self.callbacks.schedule(self.known_at(slot), self._outcomes, blocks)

    def _deliver_in_order(self, device: int, now_ns: int) -> None:
        """The PDCP hands up complete messages behind which no earlier one is missing (TS 38.323 5.2.2.1)."""
        waiting = self._undelivered[device]
        while waiting and waiting[0].complete_ns >= 0:
            self._finish(waiting.popleft(), now_ns)

    def _finish(self, message: Message, end_ns: int) -> None:
        ready_ns = message.ready_ns
        access_ns = message.first_ns - ready_ns
        transport_ns = self.transport_ns
        after_ns = self._after_ns
        air_ns, again_ns = message.last_new_ns - message.first_ns, end_ns - message.last_new_ns
        notes = self._access_notes(message, access_ns)
        reordering_ns = end_ns - message.complete_ns
        notes.update(air=air_ns, retransmission=again_ns - reordering_ns, decode=after_ns, transport=transport_ns)
        if reordering_ns:
            notes["reordering"] = reordering_ns
        delivery = Delivery(
            access_ns, air_ns, again_ns, after_ns + transport_ns, message.used_bits, message.airtime_ns, notes
        )
        self.kpis.on_delivery(message, delivery)
        self.deps.deliver(message, delivery, message.sent_ns + delivery.total_ns)

    def _access_notes(self, message: Message, access_ns: int) -> dict[str, int]:  # noqa: ARG002
        return {"queue": access_ns}

    def _outcomes(self, blocks: list[TransportBlock], slot: int) -> None:
        """The base station learns what became of a slot's transmissions."""
        for block in blocks:
            self._outcome(block, slot)

    def _outcome(self, block: TransportBlock, slot: int) -> None:
        if not block.attempt and not block.is_configured:
            self.adaptation.learn(block.device, block.received)
        if block.received:
            self.num_free[block.device] += 1
            self.on_known(block)
        elif block.attempt < self.settings.max_harq_retransmissions:
            block.attempt += 1
            self.resend[int(self.serving[block.device])].append(block)
        else:
            self.num_free[block.device] += 1
            self.kpis.num_lost += 1
            at_ns = slot * self.carrier.slot_ns + self._status_delay_ns
            self.callbacks.schedule(max(slot + 1, self.carrier.first_slot_from(at_ns)), self._send_again, block)

    def _send_again(self, block: TransportBlock, slot: int) -> None:
        """The RLC sender learns that a block is lost and takes its bytes back."""
        worst = max(segment.num_resent for segment in block.segments) + 1
        if worst > self.settings.max_rlc_retransmissions:
            raise RunError(
                f"device {block.device}: the same {self.direction} bytes were lost in {worst} blocks in a row (MCS "
                f"{block.mcs}, {block.num_prb} PRBs, {self.settings.max_harq_retransmissions + 1} transmissions each): "
                "out of coverage; move the device nearer, raise its power or antenna gain, or use mcs_table 3"
            )
        self.queues[block.device].requeue(block.segments)
        self.sync_head(block.device)
        self.on_requeued(block.device, slot)


class SchedulerView:
    """The queues of some devices as a scheduler sees them (``QueueView``); each array is made when it is read.

    Args:
        side: Whose queues.
        devices: Candidates, [num_queues].
        num_prb_needed: PRBs that their backlogs need, [num_queues].
        slots: Slots of grant and data.
    """

    def __init__(self, mac: MacEntity, devices: Indices, num_prb_needed: Indices, slots: tuple[int, int]) -> None:
        self._mac = mac
        self.device = devices
        self.num_prb_needed = num_prb_needed
        self._now_ns = slots[0] * mac.carrier.slot_ns
        self._data_slot = slots[1]

    @property
    def backlog_bytes(self) -> Indices:
        """Bytes that wait."""
        return self._mac.backlog[self.device]

    @property
    def message_prb_needed(self) -> Array:
        """PRBs for the rest of the first message."""
        widths = self._mac.adaptation.widths
        layers = self._mac.adaptation.num_layers[self.device]
        per_byte = widths.headroom_prb[self.device] / np.maximum(layers * widths.headroom_bytes[self.device], 1)
        return np.asarray(self._mac.head_bytes[self.device] * per_byte)

    @property
    def head_of_line_s(self) -> Array:
        """Time since the first message was sent."""
        return np.asarray((self._now_ns - self._mac.head_ns[self.device]) * 1e-9, dtype=np.float64)

    @property
    def time_to_deadline_s(self) -> Array:
        """Time until the first message should arrive."""
        return np.asarray((self._mac.head_deadline_ns[self.device] - self._now_ns) * 1e-9, dtype=np.float64)

    @property
    def tokens_at_stake(self) -> Array:
        """Tokens that the first message may unblock."""
        return self._mac.head_tokens[self.device]

    @property
    def rate_bps(self) -> Array:
        """Rates of PRB groups."""
        return self._mac.adaptation.rate_bps.take(self.device, axis=0)

    @property
    def average_rate_bps(self) -> Array:
        """Served rates."""
        return self._mac.average_rate_bps(self.device)

    @property
    def slots_since_served(self) -> Indices:
        """Slots since the last grant."""
        return self._data_slot - self._mac.last_grant[self.device]
