"""The downlink MAC: blocks in downlink slots, acknowledged after K1."""

from __future__ import annotations

from typing_extensions import override

from sim.links.base import Direction
from sim.links.nr.mac.counters import ACCESS_PARTS, DELAY_PARTS
from sim.links.nr.mac.entity import MacEntity, PrbPlacement
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.rlc.logical_channels import LogicalChannels
from sim.links.nr.rlc.message import Message, StatusPdu


class Downlink(MacEntity):
    """The base station sends from its own queues.

    A message waits for the transport from the edge and for the decision time, then for PRBs. Its device acknowledges a
    block in the first uplink slot that is K1 or more behind it.

    Args:
        parts: What it is built from.
    """

    direction = Direction.DOWNLINK
    delay_parts = ("drx", *(part for part in DELAY_PARTS if part not in ACCESS_PARTS))

    def push(self, message: Message) -> int:
        """The edge sends a message to a device, now; returns the slot in which it is queued."""
        slot = self.carrier.first_slot_from(message.ready_ns) + self.carrier.decision_slots
        self.callbacks.schedule(slot, self._enqueue, message)
        return slot

    def push_report(self, report: StatusPdu, slot: int) -> None:
        """The base station has a status report to send."""
        device = report.packet.device
        self.queues[device].push_control(report)
        self._sync(device, slot)

    def _enqueue(self, message: Message, slot: int) -> None:
        self.enqueue(message)
        device = message.packet.device
        message.asleep_ns = (self.deps.drx.listens_at(device, slot) - slot) * self.carrier.slot_ns
        self._sync(device, slot)

    def _sync(self, device: int, slot: int) -> None:
        """What waits may be sent once its device listens."""
        self.sync_head(device)
        if not self.deps.reachable[device]:
            return
        listens_at = self.deps.drx.listens_at(device, slot)
        if listens_at == slot:
            self._renew_backlog(device)
        else:
            self.callbacks.schedule(listens_at, self._sync, device)

    def _access_notes(self, message: Message, access_ns: int) -> dict[str, int]:
        asleep_ns = min(message.asleep_ns, access_ns)
        if not asleep_ns:
            return {"queue": access_ns}
        return {"drx": asleep_ns, "queue": access_ns - asleep_ns}

    def next_needed(self, slot: int) -> int | None:
        """First slot >= ``slot`` in which the downlink has something to do, the agenda apart."""
        if self.has_work:
            return self.carrier.next_data(self.direction, slot)
        return None

    def known_at(self, slot: int) -> int:
        """The acknowledgement comes after K1."""
        return self.carrier.acknowledged_at(slot) + 1 + self.carrier.decision_slots

    def run(self, slot: int) -> None:
        """Send what there is in this slot, in all cells."""
        num_symbols = self.carrier.data_symbols(self.direction, slot)
        if not num_symbols or not self.has_work:
            return
        candidates = self.candidates(slot, num_symbols)
        self._age(slot)
        blocks: list[TransportBlock] = []
        placed: list[PrbPlacement] = []
        for cell, waiting in self.cells_to_share(candidates, placed):
            grid = self.empty_grid(cell)
            budget = self.deps.pdcch.budget(cell, self.direction)
            again = self.schedule_retransmissions(cell, (slot, slot), num_symbols, grid, budget)
            blocks += again
            if waiting is None or not grid.num_free:
                continue
            own = waiting.without({block.device for block in again}) if again else waiting
            placed += self.schedule_new(cell, (slot, slot), grid, own, budget)
        for block in self.make_blocks(placed, slot, slot, num_symbols):
            if self.fill(block, block.size_bytes, slot):
                blocks.append(block)
            else:
                self.num_free[block.device] += 1
            self._renew_backlog(block.device)
        if blocks:
            self.transmit(slot, blocks)

    def _renew_backlog(self, device: int) -> None:
        """The base station sees its own queues."""
        queue = self.queues[device]
        self.set_backlog(device, queue.buffer_bytes)
        if isinstance(queue, LogicalChannels):
            self.weight[device] = sum(group.weight for group in queue.groups())

    def on_known(self, block: TransportBlock) -> None:
        """The queue is the base station's own: nothing to learn."""

    @override
    def on_requeued(self, device: int, slot: int) -> None:
        """Lost bytes wait again."""
        self._sync(device, slot)

    def resume(self, device: int, slot: int) -> None:
        """The new cell has the queue (data forwarding, TS 38.300 9.2.3)."""
        self.deps.drx.granted(device, slot)
        self._sync(device, slot)
