"""RLC acknowledged mode: polls, status reports, retransmissions and their timers (TS 38.322 5.2.3, 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sim.links.nr.rlc.message import Pdu, Segment

_REPORT_BYTES, _NACK_BYTES, _PART_BYTES = 3, 2, 4
"""Status PDU with 12-bit numbers (TS 38.322 6.2.2.5): its head, a missing PDU, the bounds of a missing part."""
_NEVER = -1


class StatusReport(NamedTuple):
    """What a receiver has told: all PDUs below ``ack`` have arrived, but for those of ``nacks``."""

    ack: int
    nacks: tuple[int, ...]
    num_bytes: int


class TransmittingSide:
    """Transmitting side of one bearer.

    Args:
        poll_pdus, poll_bytes: After which it polls, or None.

    Attributes:
        unacknowledged: PDUs by sequence number, those not yet acknowledged.
        poll_number: Sequence number of the last poll, -1 if none is open.
        timer: Counts the starts of t-PollRetransmit; a timer that ends is void if it was started again.
    """

    def __init__(self, poll_pdus: int | None, poll_bytes: int | None) -> None:
        self._poll_pdus, self._poll_bytes = poll_pdus, poll_bytes
        self.unacknowledged: dict[int, Pdu] = {}
        self._next = 0
        self._numbers: dict[Pdu, int] = {}
        self._pdus = self._bytes = 0
        self._must_poll = False
        self.poll_number = _NEVER
        self.timer = 0

    def send(self, segments: Iterable[Segment], is_last: bool) -> bool:
        """Number what goes on air, and poll if it is time; returns whether the last of it carries a poll.

        Args:
            segments: Of this bearer, in a block that goes on air for the first time.
            is_last: Nothing is left to send behind them.
        """
        any_sent = False
        for segment in segments:
            any_sent = True
            if segment.pdu is None:
                segment.pdu = pdu = Pdu(segment.message, segment.start, segment.stop)
                self.unacknowledged[self._next] = pdu
                self._numbers[pdu] = self._next
                self._next += 1
            self._pdus += 1
            self._bytes += segment.stop - segment.start
        if not any_sent:
            return False
        enough = self._poll_pdus is not None and self._pdus >= self._poll_pdus
        enough |= self._poll_bytes is not None and self._bytes >= self._poll_bytes
        if not (enough or is_last or self._must_poll):
            return False
        self._pdus = self._bytes = 0
        self._must_poll = False
        self.poll_number = self._next - 1
        self.timer += 1
        return True

    def number(self, pdu: Pdu) -> int:
        """Sequence number of a PDU, -1 if it has been acknowledged."""
        return self._numbers.get(pdu, _NEVER)

    def take(self, report: StatusReport) -> list[Segment]:
        """Take a status report in; returns what is to be sent again.

        A PDU of which something is under way again is not sent once more.
        """
        missing = set(report.nacks)
        for number in [n for n in self.unacknowledged if n < report.ack and n not in missing]:
            del self._numbers[self.unacknowledged.pop(number)]
        if self.poll_number < report.ack:
            self.poll_number = _NEVER
        again: list[Segment] = []
        for number in report.nacks:
            pdu = self.unacknowledged.get(number)
            if pdu is not None and not pdu.pending_bytes:
                again += self._again(pdu, pdu.missing)
        return again

    @staticmethod
    def _again(pdu: Pdu, parts: Iterable[tuple[int, int]]) -> list[Segment]:
        segments = [Segment(pdu.message, start, stop, 0, pdu.num_resent, pdu) for start, stop in parts]
        pdu.num_resent += 1
        pdu.pending_bytes += sum(segment.stop - segment.start for segment in segments)
        return segments

    def poll_again(self, timer: int, anything_waits: bool) -> list[Segment]:
        """T-PollRetransmit has ended: the next PDU polls; if none waits, the last one is sent again to carry it."""
        if timer != self.timer or self.poll_number == _NEVER or not self.unacknowledged:
            return []
        self._must_poll = True
        if anything_waits:
            return []
        idle = [pdu for pdu in self.unacknowledged.values() if not pdu.pending_bytes and not pdu.message.has_failed]
        return self._again(idle[-1], [(idle[-1].start, idle[-1].stop)]) if idle else []

    @property
    def waits_for_answer(self) -> bool:
        """Whether a poll is open, and anything that it asks about."""
        return self.poll_number != _NEVER and bool(self.unacknowledged)

    def lost(self) -> list[Segment]:
        """All that has not been received, in order, for a new start after the radio link was lost."""
        return [
            Segment(pdu.message, start, stop, 0, pdu.num_resent)
            for pdu in self.unacknowledged.values()
            if not pdu.message.has_failed
            for start, stop in pdu.missing
        ]


class ReceivingSide:
    """Receiving side of one bearer.

    Attributes:
        timer: Counts the starts of t-Reassembly; ``is_waiting`` tells whether it runs.
    """

    def __init__(self) -> None:
        self._pdus: dict[int, Pdu] = {}
        self._next = 0
        self._next_highest = 0
        self._highest_status = 0
        self._trigger = 0
        self._polled = _NEVER
        self.is_waiting = False
        self.timer = 0

    def receive(self, pdus: Iterable[tuple[int, Pdu]], polled: int) -> bool:
        """Take PDUs in, with the number of the one that polls or -1; returns whether a report is due."""
        for number, pdu in pdus:
            if number >= self._next:
                self._pdus[number] = pdu
                self._next_highest = max(self._next_highest, number + 1)
        self._advance()
        self._polled = max(self._polled, polled)
        if self.is_waiting and self._trigger <= self._next:
            self.is_waiting = False
        return self._answers_poll()

    def _is_whole(self, number: int) -> bool:
        pdu = self._pdus.get(number)
        return pdu is not None and not pdu.missing

    def _advance(self) -> None:
        """RX_Next and RX_Highest_Status move over what is complete."""
        while self._is_whole(self._next):
            del self._pdus[self._next]
            self._next += 1
        self._highest_status = max(self._highest_status, self._next)
        while self._is_whole(self._highest_status):
            self._highest_status += 1

    def _answers_poll(self) -> bool:
        if _NEVER < self._polled < self._highest_status:
            self._polled = _NEVER
            return True
        return False

    def starts_waiting(self, is_reported: bool = False) -> bool:
        """Start t-Reassembly if something is missing, or missing and not reported; returns whether it was started."""
        if self.is_waiting or self._next_highest <= (self._highest_status if is_reported else self._next):
            return False
        self.is_waiting = True
        self._trigger = self._next_highest
        self.timer += 1
        return True

    def give_up_waiting(self, timer: int) -> bool:
        """T-Reassembly has ended: what is missing is to be reported; returns whether a report is due."""
        if timer != self.timer or not self.is_waiting:
            return False
        self.is_waiting = False
        status = max(self._trigger, self._next)
        while self._is_whole(status):
            status += 1
        self._highest_status = max(self._highest_status, status)
        self._answers_poll()
        return True

    def report(self) -> StatusReport:
        """The present state."""
        self._advance()
        nacks = tuple(number for number in range(self._next, self._highest_status) if not self._is_whole(number))
        parts = sum(number in self._pdus for number in nacks)
        return StatusReport(self._highest_status, nacks, _REPORT_BYTES + _NACK_BYTES * len(nacks) + _PART_BYTES * parts)


class AcknowledgedMode:
    """Acknowledged mode of one direction's bearers, in slots.

    Receivers learn of PDUs a slot after them. Reports are control PDUs of the other direction, sent before data; they
    are lost with their block and not sent again: a poll without an answer is repeated.

    Args:
        num_bearers: Bearers of all devices.
        poll_pdus, poll_bytes: After which senders poll, or None.
        timers_slots: t-Reassembly, t-StatusProhibit and t-PollRetransmit.
        schedule: Calls a function with an argument and the slot at the start of a slot.
        send_report: Sends a report of a bearer from its receiver.
        resend: Puts segments of a bearer into its send queue again, in a slot.
        anything_waits: Whether a bearer has something to send.

    Attributes:
        num_reports, num_polls: So far.
    """

    def __init__(
        self,
        num_bearers: int,
        poll_pdus: int | None,
        poll_bytes: int | None,
        timers_slots: tuple[int, int, int],
        schedule: Callable[[int, Callable[..., None], object], None],
        send_report: Callable[[int, StatusReport, int], None],
        resend: Callable[[int, list[Segment], int], None],
        anything_waits: Callable[[int], bool],
    ) -> None:
        self._poll = poll_pdus, poll_bytes
        self._reassembly, self._prohibit, self._poll_retransmit = (max(1, slots) for slots in timers_slots)
        self._schedule, self._send_report, self._resend = schedule, send_report, resend
        self._anything_waits = anything_waits
        self._senders = [TransmittingSide(poll_pdus, poll_bytes) for _ in range(num_bearers)]
        self._receivers = [ReceivingSide() for _ in range(num_bearers)]
        self._epoch = [0] * num_bearers
        self._may_report_from = [0] * num_bearers
        self._is_due = [False] * num_bearers
        self.num_reports = self.num_polls = 0

    # -- sender -------------------------------------------------------------------------------------------------------

    def sent(self, segments: list[Segment], slot: int) -> list[tuple[int, int]]:
        """Segments of a new block go on air; returns (bearer, number) of the PDUs that poll."""
        polls: list[tuple[int, int]] = []
        for bearer in dict.fromkeys(segment.message.bearer for segment in segments):
            if bearer < 0:
                continue
            own = [segment for segment in segments if segment.message.bearer == bearer]
            sender = self._senders[bearer]
            if sender.send(own, not self._anything_waits(bearer)):
                self.num_polls += 1
                polls.append((bearer, sender.poll_number))
                self._start_poll_timer(bearer, slot)
        return polls

    def _start_poll_timer(self, bearer: int, slot: int) -> None:
        about = bearer, self._epoch[bearer], self._senders[bearer].timer
        self._schedule(slot + self._poll_retransmit, self._poll_again, about)

    def _poll_again(self, about: tuple[int, int, int], slot: int) -> None:
        bearer, epoch, timer = about
        if epoch != self._epoch[bearer]:
            return
        sender = self._senders[bearer]
        again = sender.poll_again(timer, self._anything_waits(bearer))
        if again:
            self._resend(bearer, again, slot)
        elif timer == sender.timer and sender.waits_for_answer:
            self._start_poll_timer(bearer, slot)

    @staticmethod
    def ended(segments: Iterable[Segment]) -> None:
        """The HARQ process of these segments has ended, well or not."""
        for segment in segments:
            if segment.pdu is not None:
                segment.pdu.pending_bytes -= segment.stop - segment.start

    def answered(self, bearer: int, epoch: int, report: StatusReport, slot: int) -> None:
        """A status report has reached the sender."""
        if epoch != self._epoch[bearer]:
            return
        again = self._senders[bearer].take(report)
        if again:
            self._resend(bearer, again, slot)

    def epoch(self, bearer: int) -> int:
        """Counts the new starts of a bearer; reports from before one are void."""
        return self._epoch[bearer]

    def restart(self, bearer: int) -> list[Segment]:
        """Begin anew after the radio link was lost (TS 38.322 5.1.2); returns all that has not been received."""
        lost = self._senders[bearer].lost()
        self._senders[bearer], self._receivers[bearer] = TransmittingSide(*self._poll), ReceivingSide()
        self._epoch[bearer] += 1
        self._is_due[bearer] = False
        return lost

    def restart_figures(self) -> None:
        """Count from now on."""
        self.num_reports = self.num_polls = 0

    def figures(self) -> dict[str, float]:
        """Polls of senders and reports of receivers by name."""
        return {"rlc_polls": float(self.num_polls), "rlc_status_reports": float(self.num_reports)}

    # -- receiver -----------------------------------------------------------------------------------------------------

    def received(self, segments: list[Segment], polls: Sequence[tuple[int, int]], slot: int) -> None:
        """A block with these segments has been decoded, in a slot."""
        polled = dict(polls)
        for bearer in dict.fromkeys(segment.message.bearer for segment in segments):
            if bearer >= 0:
                sender = self._senders[bearer]
                own = [segment.pdu for segment in segments if segment.message.bearer == bearer and segment.pdu]
                numbered = [(number, pdu) for pdu in own if (number := sender.number(pdu)) >= 0]
                about = bearer, self._epoch[bearer], numbered, polled.get(bearer, _NEVER)
                self._schedule(slot + 1, self._take_in, about)

    def _take_in(self, about: tuple[int, int, list[tuple[int, Pdu]], int], slot: int) -> None:
        bearer, epoch, numbered, polled = about
        if epoch != self._epoch[bearer]:
            return
        receiver = self._receivers[bearer]
        # What is known already was sent for the sake of its poll.
        is_due = receiver.receive(numbered, polled) or (not numbered and polled >= 0)
        if receiver.starts_waiting():
            self._start_reassembly(bearer, slot)
        if is_due:
            self._report(bearer, slot)

    def _start_reassembly(self, bearer: int, slot: int) -> None:
        about = bearer, self._epoch[bearer], self._receivers[bearer].timer
        self._schedule(slot + self._reassembly, self._give_up_waiting, about)

    def _give_up_waiting(self, about: tuple[int, int, int], slot: int) -> None:
        bearer, epoch, timer = about
        receiver = self._receivers[bearer]
        if epoch == self._epoch[bearer] and receiver.give_up_waiting(timer):
            if receiver.starts_waiting(is_reported=True):
                self._start_reassembly(bearer, slot)
            self._report(bearer, slot)

    def _report(self, bearer: int, slot: int) -> None:
        """Send a status report, unless one is prohibited yet; then it follows at the end of the timer."""
        if slot >= self._may_report_from[bearer]:
            self._may_report_from[bearer] = slot + self._prohibit
            self.num_reports += 1
            self._send_report(bearer, self._receivers[bearer].report(), slot)
        elif not self._is_due[bearer]:
            self._is_due[bearer] = True
            self._schedule(self._may_report_from[bearer], self._overdue, (bearer, self._epoch[bearer]))

    def _overdue(self, about: tuple[int, int], slot: int) -> None:
        bearer, epoch = about
        if epoch == self._epoch[bearer] and self._is_due[bearer]:
            self._is_due[bearer] = False
            self._report(bearer, slot)
