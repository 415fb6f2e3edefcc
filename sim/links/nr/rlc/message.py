"""A message in layer 2: datagrams cut into blocks, put together again when all bytes have come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import simpy

from channels.nr import HeaderModel
from sim.links.base import Packet


class Segmenter:
    """How bytes of a message become bytes of a transport block.

    A message is a row of SDUs (datagrams with UDP, IP, SDAP and PDCP headers); its position counts their bytes. Every
    segment of an SDU in a block costs an RLC and a MAC header (TS 38.322 6.2.2, TS 38.321 6.1.2).

    Args:
        headers: Sizes of the headers.
        segment_headers: False makes a message one run of its unsegmented layer-2 bytes that cuts cost nothing.
    """

    def __init__(self, headers: HeaderModel, segment_headers: bool) -> None:
        self._headers = headers
        self._plain = not segment_headers
        self._complete = headers.rlc_header_bytes("complete")
        self._first = headers.rlc_header_bytes("first")
        self._later = headers.rlc_header_bytes("later")
        self._max_payload, self._above_rlc = headers.max_udp_payload_bytes, headers.above_rlc_bytes
        self.sdu_bytes = self._max_payload + self._above_rlc
        self.segment_header_bytes = 0 if self._plain else self._later + headers.mac_subheader_bytes(self.sdu_bytes)

    def layer2_bytes(self, payload_bytes: int) -> int:
        """Bytes at the MAC if no SDU is cut."""
        return self._headers.layer2_bytes(payload_bytes)

    def stream_bytes(self, payload_bytes: int) -> int:
        """Bytes of all SDUs of a message, the range of its positions."""
        if self._plain:
            return self._headers.layer2_bytes(payload_bytes)
        num = max(1, -(-payload_bytes // self._max_payload))
        return payload_bytes + num * self._above_rlc

    def take(self, start: int, stop: int, total: int, room: int) -> tuple[int, int]:
        """Pack bytes [start, stop) of a message of ``total`` stream bytes into ``room`` bytes of a block.

        Returns:
            Stream bytes taken, and block bytes used for them, headers included.
        """
        if self._plain:
            taken = min(stop - start, room)
            return taken, taken
        sdu, position, used = self.sdu_bytes, start, 0
        while position < stop:
            offset = position % sdu
            end = min(position - offset + sdu, total)
            rest, left = min(end, stop) - position, room - used
            if not offset and end <= stop:
                cost = rest + self._complete
                cost += 2 if cost < 256 else 3
                if cost <= left:
                    # All full SDUs cost the same: take as many as fit at once.
                    count = max(1, min(left // cost, (stop - position) // sdu)) if rest == sdu else 1
                    position += count * rest
                    used += count * cost
                    continue
            header = self._later if offset else self._first
            # The largest segment that fits with its headers, of which a short one has a shorter MAC subheader.
            left -= header + 2
            part = min(rest, left)
            if part + header >= 256:
                part = max(255 - header, min(rest, left - 1))
            if part <= 0:
                break
            position += part
            used += part + header + (2 if part + header < 256 else 3)
            if part < rest:
                break
        return position - start, used


class FlowMeter(Protocol):
    """Counts what becomes of the packets of a background flow."""

    def received(self, payload_bits: float) -> None:
        """So much payload has crossed the air."""

    def delivered(self, delay_ns: int) -> None:
        """A packet has arrived."""

    def failed(self) -> None:
        """A packet was given up."""


class Message:
    """One message in one direction.

    Attributes:
        channel: Index of its logical channel at its device; ``bearer`` is that channel's index among all devices'.
        flow: Background flow that it is of, or None for a message of a protocol.
        total_bytes: Stream bytes, see ``Segmenter``.
        position: Stream bytes sent at least once.
        received_bytes: Stream bytes that have arrived, each counted once.
        first_ns: Start of the slot that carried its first bit, -1 before.
        last_new_ns: End of the slot that carried its last new bit.
        sending_ns: Time of the slots that carried new bits of it.
        complete_ns: End of the slot in which its last missing bit arrived, -1 before.
        request_end_ns: End of the slot with the scheduling request that it caused, -1 without.
        asleep_ns: Time for which its device did not listen before it (downlink).
        connecting_ns: Time before it in which its device was out of RRC connected.
        grant_ns: Start of the slot with the grant for its first bit, -1 in the downlink.
        used_bits: Bits on air so far, headers and retransmissions included.
        airtime_ns: Time of all its blocks, shared with other messages in them by bytes.
        interrupted_ns: Time in which its device had no radio link: before its first bit, while new bits were to be
            sent, and after them; empty without any.
        has_failed: It has been given up.
    """

    __slots__ = (
        "airtime_ns",
        "asleep_ns",
        "bearer",
        "channel",
        "complete_ns",
        "connecting_ns",
        "event",
        "first_ns",
        "flow",
        "grant_ns",
        "has_failed",
        "interrupted_ns",
        "last_new_ns",
        "packet",
        "position",
        "ready_ns",
        "received_bytes",
        "request_end_ns",
        "sending_ns",
        "sent_ns",
        "total_bytes",
        "used_bits",
    )

    def __init__(self, packet: Packet, event: simpy.Event, sent_ns: int, ready_ns: int, total_bytes: int) -> None:
        self.packet = packet
        self.event = event
        self.channel, self.bearer = 0, packet.device
        self.flow: FlowMeter | None = None
        self.sent_ns = sent_ns
        self.ready_ns = ready_ns
        self.total_bytes = total_bytes
        self.position = 0
        self.received_bytes = 0
        self.first_ns = self.last_new_ns = self.complete_ns = self.request_end_ns = self.grant_ns = -1
        self.used_bits = 0
        self.sending_ns = self.airtime_ns = 0
        self.asleep_ns = 0
        self.connecting_ns = 0
        self.interrupted_ns: list[int] = []
        self.has_failed = False

    def interrupt(self, duration_ns: int) -> None:
        """Note that the device has had no radio link for a time that has just ended."""
        if self.complete_ns >= 0:
            return
        if not self.interrupted_ns:
            self.interrupted_ns = [0, 0, 0]
        if self.first_ns < 0:
            self.interrupted_ns[0] += duration_ns
            # The request that it had made, if any, has come to nothing.
            self.request_end_ns = -1
            self.asleep_ns = 0
        else:
            self.interrupted_ns[1 if self.position < self.total_bytes else 2] += duration_ns

    def note_interruptions(self, notes: dict[str, int]) -> None:
        """Take the interruptions out of the delays that hold them, and name them."""
        for part, duration_ns in zip(("queue", "gaps", "retransmission"), self.interrupted_ns, strict=True):
            notes[part] = notes.get(part, 0) - duration_ns
        notes["interruption"] = sum(self.interrupted_ns)

    def __repr__(self) -> str:
        return (
            f"<Message device {self.packet.device} {self.packet.direction}: "
            f"{self.received_bytes} of {self.total_bytes} bytes received, {self.position} sent>"
        )


@dataclass(slots=True)
class Segment:
    """Bytes [start, stop) of a message's stream inside one block.

    Attributes:
        used_bytes: Block bytes that it takes, headers included.
        num_resent: Times that the RLC has sent them before.
        pdu: The PDU that they are of, in acknowledged mode with status reports.
    """

    message: Message
    start: int
    stop: int
    used_bytes: int = 0
    num_resent: int = 0
    pdu: Pdu | None = None


class Pdu:
    """Bytes [start, stop) of a message that were first sent together, under one sequence number.

    Attributes:
        missing: Parts of them that have not been received.
        pending_bytes: Bytes of them that wait in the send queue or are in a HARQ process.
        num_resent: Times that the RLC has sent them again.
    """

    __slots__ = ("message", "missing", "num_resent", "pending_bytes", "start", "stop")

    def __init__(self, message: Message, start: int, stop: int) -> None:
        self.message, self.start, self.stop = message, start, stop
        self.missing: list[tuple[int, int]] = [(start, stop)]
        self.pending_bytes = stop - start
        self.num_resent = 0

    def receive(self, start: int, stop: int) -> int:
        """Take in a part; returns how many of its bytes are new."""
        left: list[tuple[int, int]] = []
        new = 0
        for first, last in self.missing:
            new += max(0, min(last, stop) - max(first, start))
            left += [part for part in ((first, min(last, start)), (max(first, stop), last)) if part[0] < part[1]]
        self.missing = left
        return new


class StatusPdu(Message):
    """A status report of the RLC on its way (TS 38.322 6.2.2.5): a control PDU, which no bearer waits for.

    Args:
        packet: Device and direction.
        channel: Logical channel that it goes on.
        sent_ns: When it was made.
        num_bytes: Its size.
        arrive: Takes it, with the slot that carried it.
    """

    __slots__ = ("arrive",)

    def __init__(
        self, packet: Packet, channel: int, sent_ns: int, num_bytes: int, arrive: Callable[[int], None]
    ) -> None:
        super().__init__(packet, cast(simpy.Event, None), sent_ns, sent_ns, num_bytes)
        self.channel, self.bearer = channel, -1
        self.arrive = arrive
