"""What happens to bytes of one direction: RLC queues, transport blocks on air, HARQ outcomes, in-order delivery."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

import numpy as np

from sim.core.clock import to_ns
from sim.links.base import Delivery, Direction, Packet
from sim.links.nr.mac.counters import DELAY_PARTS, MacCounters
from sim.links.nr.mac.deps import MacDeps
from sim.links.nr.mac.queue_heads import QueueHeads
from sim.links.nr.mac.schedulers.base import Array, Indices
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.rlc.acknowledged import AcknowledgedMode, StatusReport
from sim.links.nr.rlc.logical_channels import LogicalChannels
from sim.links.nr.rlc.message import Message, Segment, StatusPdu
from sim.links.nr.rlc.send_queue import SendQueue

_NEVER_SERVED = -(1 << 40)


class Transmission(ABC):
    """Queues and blocks of one direction of all cells.

    Args:
        deps: What it is built from.

    Attributes:
        queues: RLC buffer of each device.
        backlog: Bytes that the base station believes to wait, [num_devices]; ``total_backlog`` is their sum.
        num_free: HARQ processes without a block, [num_devices].
        resend: Blocks that wait for a retransmission, by cell; ``num_resend`` is their number.
        heads: First messages of the queues.
        kpis: Counters.
        last_progress_ns: When something of a protocol's message last arrived.
        last_grant: Slot of each device's last new block, [num_devices].
        weight: Sum of the weights of the logical channels that have data, as the base station knows them; where there
            is one only, its weight, [num_devices].
        control_weight: Weight that a controller sets, [num_devices].
        acknowledged: Polls and status reports about this direction, or None; ``peer`` is the other direction, which
            carries the reports.
    """

    direction: Direction
    delay_parts: tuple[str, ...] = DELAY_PARTS

    def __init__(self, deps: MacDeps) -> None:
        settings, count = deps.settings, len(deps.serving)
        self.deps, self.settings, self.carrier = deps, settings, deps.carrier
        self.callbacks, self.serving, self.adaptation = deps.callbacks, deps.serving, deps.adaptation
        self.queues: list[SendQueue | LogicalChannels] = [
            SendQueue(deps.segmenter) if len(channels) == 1 else LogicalChannels(deps.segmenter, channels)
            for channels in deps.channels
        ]
        self._undelivered: list[deque[Message]] = [deque() for own in deps.bearers for _ in own]
        # Blocks between their first transmission and the end of their HARQ process, in order.
        self._in_flight: list[dict[TransportBlock, None]] = [{} for _ in range(count)]
        self.backlog = np.zeros(count, dtype=np.int64)
        self.total_backlog = 0
        self.num_free = np.full(count, settings.harq_processes, dtype=np.int64)
        self.resend: list[deque[TransportBlock]] = [deque() for _ in range(deps.num_cells)]
        self.num_resend = 0
        if settings.rrc_inactivity_s is not None:
            self.delay_parts = ("connection", *self.delay_parts)
        self.kpis = MacCounters(count, self.delay_parts)
        self.control_weight = np.ones(count)
        self.weight = np.array([own[0].weight for own in deps.channels], dtype=np.float64)
        self.acknowledged = self._acknowledged_mode() if settings.rlc_feedback == "status" else None
        self.peer: Transmission | None = None
        self._notes_heads = deps.scheduler.sees_messages
        self.heads = QueueHeads(deps.channels, to_ns(settings.delay_budget_s))
        self._status_delay_ns = to_ns(settings.rlc_status_delay_s)
        self._after_ns = self.carrier.decode_ns
        self.transport_ns = to_ns(settings.transport_delay_s)
        self.last_progress_ns = 0
        self.last_grant = np.full(count, _NEVER_SERVED, dtype=np.int64)
        self._served = np.zeros(count)
        self._served_scale, self._aged = 1.0, 0
        self._decay = 1 - 1 / settings.average_window_slots

    def _acknowledged_mode(self) -> AcknowledgedMode:
        """Acknowledged mode of all bearers of this direction."""
        settings, slot_ns = self.settings, self.carrier.slot_ns
        seconds = settings.t_reassembly_s, settings.t_status_prohibit_s, settings.t_poll_retransmit_s
        reassembly, prohibit, poll = (-(-to_ns(one) // slot_ns) for one in seconds)
        place = {
            bearer: (device, channel)
            for device, own in enumerate(self.deps.bearers)
            for channel, bearer in enumerate(own)
        }

        def send_report(bearer: int, report: StatusReport, slot: int) -> None:
            self._send_report(*place[bearer], bearer, report, slot)

        def resend(bearer: int, segments: list[Segment], slot: int) -> None:
            self._requeue(place[bearer][0], segments, slot)

        def anything_waits(bearer: int) -> bool:
            device, channel = place[bearer]
            queue = self.queues[device]
            return (queue.queues[channel] if isinstance(queue, LogicalChannels) else queue).has_data

        timers = reassembly, prohibit, poll
        return AcknowledgedMode(
            len(place),
            settings.poll_pdus,
            settings.poll_bytes,
            timers,
            self.callbacks.schedule,
            send_report,
            resend,
            anything_waits,
        )

    # -- what the directions do differently ---------------------------------------------------------------------------

    @abstractmethod
    def known_at(self, slot: int) -> int:
        """Slot at whose start the base station can act on the outcome of a block sent in ``slot``."""

    @abstractmethod
    def on_known(self, block: TransportBlock) -> None:
        """A block has been decoded and the base station knows it."""

    @abstractmethod
    def on_requeued(self, device: int, slot: int) -> None:
        """Bytes that a block has lost for good are back in the buffer."""

    @abstractmethod
    def push_report(self, report: StatusPdu, slot: int) -> None:
        """A status report about the other direction is to be sent, from a slot on."""

    @abstractmethod
    def resume(self, device: int, slot: int) -> None:
        """A device has its radio link again: serve what waits."""

    def set_backlog(self, device: int, waiting_bytes: int) -> None:
        """Renew what the base station believes to wait at a device."""
        self.total_backlog += waiting_bytes - self.backlog.item(device)
        self.backlog[device] = waiting_bytes

    @property
    def has_work(self) -> bool:
        """Whether blocks wait for a grant."""
        return self.total_backlog > 0 or self.num_resend > 0

    # -- queues -----------------------------------------------------------------------------------------------------

    def enqueue(self, message: Message) -> None:
        """Put a message into its device's buffer; it will be delivered after all that are there."""
        device = message.packet.device
        self.queues[device].push(message)
        self._undelivered[message.bearer].append(message)

    def sync_head(self, device: int) -> None:
        """Renew what schedulers see of the message that a queue serves next."""
        if self._notes_heads:
            self.heads.note(device, self.queues[device])

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

    def fill(self, block: TransportBlock, room: int, slot: int) -> bool:
        """Put waiting bytes into a block that goes on air for the first time; False if nothing waits."""
        device = block.device
        start_ns = slot * self.carrier.slot_ns
        block.segments = self.queues[device].fill(room, start_ns)
        if not block.segments:
            return False
        for segment in block.segments:
            message = segment.message
            if message.first_ns < 0:
                message.first_ns = start_ns
                message.grant_ns = -1 if block.is_configured else block.grant_slot * self.carrier.slot_ns
            if not segment.num_resent and message.last_new_ns <= start_ns:
                message.last_new_ns = start_ns + self.carrier.slot_ns
                message.sending_ns += self.carrier.slot_ns
        if self.acknowledged is not None:
            block.polls = self.acknowledged.sent(block.segments, slot)
        if self._notes_heads:
            self.sync_head(device)
        return True

    # -- radio link lost and found ----------------------------------------------------------------------------------

    def flush(self, device: int, slot: int) -> None:  # noqa: ARG002
        """Empty a device's HARQ processes; bytes in them that have not arrived wait again, in their order."""
        lost: list[Segment] = []
        for block in self._in_flight[device]:
            block.is_flushed = True
            if not block.received:
                lost += block.segments
        if self.acknowledged is not None:
            self.queues[device].forget_sent()
            lost = [one for bearer in self.deps.bearers[device] for one in self.acknowledged.restart(bearer)]
        self._in_flight[device].clear()
        for cell, waiting in enumerate(self.resend):
            if any(block.device == device for block in waiting):
                self.resend[cell] = deque(block for block in waiting if block.device != device)
                self.num_resend -= len(waiting) - len(self.resend[cell])
        self.queues[device].requeue(lost)
        self.num_free[device] = self.settings.harq_processes
        self.set_backlog(device, 0)
        self.sync_head(device)

    def has_messages(self, device: int) -> bool:
        """Whether messages of a device have not been delivered yet."""
        return any(self._undelivered[bearer] for bearer in self.deps.bearers[device])

    def waits_since(self, device: int, since_ns: int) -> bool:
        """Whether a message of a protocol that was sent by a time has not been delivered yet."""
        waiting = self._undelivered[self.deps.bearers[device][0]]
        return any(message.flow is None and message.sent_ns <= since_ns for message in waiting)

    def count_interruption(self, device: int, start_ns: int, end_ns: int) -> None:
        """Tell a device's messages that they have waited for a radio link."""
        for bearer in self.deps.bearers[device]:
            for message in self._undelivered[bearer]:
                message.interrupt(max(0, end_ns - max(start_ns, message.ready_ns)))

    def count_connecting(self, device: int, end_ns: int) -> None:
        """Tell a device's messages that they have waited for its RRC connection."""
        for bearer in self.deps.bearers[device]:
            for message in self._undelivered[bearer]:
                message.connecting_ns = max(0, end_ns - message.ready_ns) - sum(message.interrupted_ns[:1])

    def drop(self, device: int, sent_before_ns: int) -> int:
        """Let messages fail that were sent by a time, of a device without a radio link.

        Returns:
            How many of protocols.
        """
        failed: list[Message] = []
        for bearer in self.deps.bearers[device]:
            waiting = self._undelivered[bearer]
            failed += [message for message in waiting if message.sent_ns <= sent_before_ns]
            self._undelivered[bearer] = deque(m for m in waiting if m.sent_ns > sent_before_ns)
        if failed:
            for message in failed:
                message.has_failed = True
            self.queues[device].drop_failed()
            self.sync_head(device)
            for message in failed:
                self.deps.fail(message)
        return sum(message.flow is None for message in failed)

    # -- on air and after -------------------------------------------------------------------------------------------

    def transmit(self, slot: int, blocks: list[TransportBlock]) -> None:
        """Send a slot's blocks of all cells and note when their outcomes will be known."""
        self.deps.receiver.receive(self.direction, slot, blocks)
        self.deps.modems.on_air(self.direction, blocks)
        slot_ns = self.carrier.slot_ns
        if self.deps.kpm is not None:
            have_more = [bool(self.queues[block.device].stream_bytes) for block in blocks]
            self.deps.kpm.on_air(self.direction, slot, blocks, have_more)
        if self.deps.active_slot is not None:
            self.deps.active_slot[[block.device for block in blocks]] = slot
        self.kpis.on_air(blocks)
        self._note(slot, blocks)
        in_flight, symbols = self._in_flight, self.carrier.symbols
        for block in blocks:
            if not block.attempt:
                block.first_slot = slot
                in_flight[block.device][block] = None
            segments, airtime_ns = block.segments, slot_ns * block.num_symbols // symbols
            if len(segments) == 1:
                segment = segments[0]
                message = segment.message
                message.used_bits += 8 * segment.used_bytes
                message.airtime_ns += airtime_ns
                if block.received:
                    self._arrived(segment, slot)
                    if self.acknowledged is not None:
                        self.acknowledged.received(segments, block.polls, slot)
                continue
            used = sum([one.used_bytes for one in segments])
            for segment in segments:
                message = segment.message
                message.used_bits += 8 * segment.used_bytes
                message.airtime_ns += airtime_ns * segment.used_bytes // used
                if block.received:
                    self._arrived(segment, slot)
            if block.received and self.acknowledged is not None:
                self.acknowledged.received(segments, block.polls, slot)
        self.callbacks.schedule(self.known_at(slot), self._outcomes, blocks)

    def _note(self, slot: int, blocks: list[TransportBlock]) -> None:
        """Keep a record of blocks, where it is wanted."""
        for notes in (self.deps.records, self.deps.capture):
            if notes is not None:
                for block in blocks:
                    notes.add(slot, self.direction, block)

    def _arrived(self, segment: Segment, slot: int) -> None:
        """Bytes have been decoded, those that came before not counted again."""
        message = segment.message
        new = segment.stop - segment.start if segment.pdu is None else segment.pdu.receive(segment.start, segment.stop)
        message.received_bytes += new
        if message.flow is None:
            self.last_progress_ns = slot * self.carrier.slot_ns
        else:
            message.flow.received(new / message.total_bytes * message.packet.payload_bits)
        if new and message.received_bytes == message.total_bytes:
            if isinstance(message, StatusPdu):
                message.arrive(slot)
                return
            message.complete_ns = (slot + 1) * self.carrier.slot_ns
            self._deliver_in_order(message.bearer, message.complete_ns)

    def _send_report(self, device: int, channel: int, bearer: int, report: StatusReport, slot: int) -> None:
        """Send a status report about a bearer over the other direction."""
        acknowledged, peer = self.acknowledged, self.peer
        assert acknowledged is not None and peer is not None
        epoch = acknowledged.epoch(bearer)

        def answered(_: object, at_slot: int) -> None:
            acknowledged.answered(bearer, epoch, report, at_slot)

        def arrive(at_slot: int) -> None:
            self.callbacks.schedule(at_slot + 1, answered, None)

        own = channel if channel < len(peer.deps.channels[device]) else 0
        packet = Packet(device, peer.direction, 8 * report.num_bytes, kind="rlc_status")
        peer.push_report(StatusPdu(packet, own, slot * self.carrier.slot_ns, report.num_bytes, arrive), slot)

    def _deliver_in_order(self, bearer: int, now_ns: int) -> None:
        """The PDCP hands up complete messages behind which no earlier one is missing (TS 38.323 5.2.2.1)."""
        waiting = self._undelivered[bearer]
        while waiting and waiting[0].complete_ns >= 0:
            self._finish(waiting.popleft(), now_ns)

    def _finish(self, message: Message, end_ns: int) -> None:
        ready_ns = message.ready_ns
        access_ns = message.first_ns - ready_ns
        transport_ns = self.transport_ns
        after_ns = self._after_ns
        air_ns, again_ns = message.last_new_ns - message.first_ns, end_ns - message.last_new_ns
        notes = self._access_notes(message, access_ns)
        if message.connecting_ns:
            notes["connection"], notes["queue"] = message.connecting_ns, notes["queue"] - message.connecting_ns
        reordering_ns = end_ns - message.complete_ns
        notes["air"], notes["gaps"] = message.sending_ns, air_ns - message.sending_ns
        notes["retransmission"] = again_ns - reordering_ns
        notes["decode"], notes["transport"] = after_ns, transport_ns
        if reordering_ns:
            notes["reordering"] = reordering_ns
        if message.interrupted_ns:
            message.note_interruptions(notes)
        delivery = Delivery(
            access_ns, air_ns, again_ns, after_ns + transport_ns, message.used_bits, message.airtime_ns, notes
        )
        if message.flow is None:
            self.kpis.on_delivery(message, delivery)
        self.deps.deliver(message, delivery, message.sent_ns + delivery.total_ns)

    def _access_notes(self, message: Message, access_ns: int) -> dict[str, int]:  # noqa: ARG002
        return {"queue": access_ns}

    def _outcomes(self, blocks: list[TransportBlock], slot: int) -> None:
        """The base station learns what became of a slot's transmissions."""
        for block in blocks:
            self._outcome(block, slot)

    def _outcome(self, block: TransportBlock, slot: int) -> None:
        if block.is_flushed:
            return
        if not block.attempt and not block.is_configured:
            self.adaptation.learn(block)
        if block.received:
            self._end(block)
            self.on_known(block)
        elif block.attempt < self.settings.max_harq_retransmissions:
            block.attempt += 1
            self.resend[int(self.serving[block.device])].append(block)
            self.num_resend += 1
        else:
            self._end(block)
            self.kpis.num_lost += 1
            at_ns = slot * self.carrier.slot_ns + self._status_delay_ns
            then = self._send_again if self.acknowledged is None else self._report_again
            self.callbacks.schedule(max(slot + 1, self.carrier.first_slot_from(at_ns)), then, block)

    def _send_again(self, block: TransportBlock, slot: int) -> None:
        """The RLC sender learns that a block is lost and takes its bytes back."""
        self._requeue(block.device, block.segments, slot)

    def _report_again(self, block: TransportBlock, slot: int) -> None:
        """The buffer status report of a lost block is lost, too (retxBSR-Timer, TS 38.321 5.4.5)."""
        if self.queues[block.device].stream_bytes and self.deps.reachable[block.device]:
            self.on_requeued(block.device, slot)

    def _requeue(self, device: int, segments: list[Segment], slot: int) -> None:
        """Put segments into the send queue again, unless the same bytes have been sent too often."""
        worst = max(segment.num_resent for segment in segments) + 1
        self.queues[device].requeue([one for one in segments if not one.message.has_failed])
        self.sync_head(device)
        if not self.deps.reachable[device]:
            return
        if worst > self.settings.max_rlc_retransmissions:
            self.deps.give_up(device, slot)
        else:
            self.on_requeued(device, slot)

    def _end(self, block: TransportBlock) -> None:
        """A HARQ process is free again."""
        self.num_free[block.device] += 1
        del self._in_flight[block.device][block]
        if self.acknowledged is not None:
            self.acknowledged.ended(block.segments)
