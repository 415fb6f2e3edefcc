"""The RLC's transmission buffer of one bearer: status reports first, then bytes to send again, then messages."""

from __future__ import annotations

from collections import deque

from sim.links.nr.rlc.message import Message, Segment, Segmenter

_SUBHEADER_BYTES = 2
"""MAC subheader of a status report."""


class SendQueue:
    """First come, first served; several messages may share a block.

    Args:
        packing: How bytes fill a block.

    Attributes:
        stream_bytes: Stream bytes that wait, those to be sent again included.
    """

    __slots__ = ("_again", "_control", "_messages", "_segmenter", "stream_bytes")

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._messages: deque[Message] = deque()
        self._again: deque[Segment] = deque()
        self._control: deque[Message] = deque()
        self.stream_bytes = 0

    def __len__(self) -> int:
        return len(self._messages) + len(self._again) + len(self._control)

    @property
    def has_data(self) -> bool:
        """Whether anything but status reports waits."""
        return bool(self._messages or self._again)

    @property
    def head(self) -> Message | None:
        """Message whose bytes go next."""
        if self._control:
            return self._control[0]
        if self._again:
            return self._again[0].message
        return self._messages[0] if self._messages else None

    @property
    def head_bytes(self) -> int:
        """Bytes of the first message that wait."""
        if self._control:
            return self._control[0].total_bytes
        if self._again:
            return self._again[0].stop - self._again[0].start
        return self._messages[0].total_bytes - self._messages[0].position if self._messages else 0

    @property
    def buffer_bytes(self) -> int:
        """What a buffer status report counts: waiting bytes with their headers."""
        if not self.stream_bytes:
            return 0
        segmenter = self._segmenter
        segments = len(self) + self.stream_bytes // segmenter.sdu_bytes
        return self.stream_bytes + segments * segmenter.segment_header_bytes

    def push(self, message: Message) -> None:
        """Append a message."""
        self._messages.append(message)
        self.stream_bytes += message.total_bytes

    def push_control(self, report: Message) -> None:
        """Append a status report, which goes before all data (TS 38.322 5.3.4)."""
        self._control.append(report)
        self.stream_bytes += report.total_bytes

    def forget_sent(self) -> None:
        """Drop status reports and what was to be sent again: the other end begins anew."""
        self.stream_bytes -= sum(report.total_bytes for report in self._control)
        self.stream_bytes -= sum(segment.stop - segment.start for segment in self._again)
        self._control.clear()
        self._again.clear()

    def requeue(self, segments: list[Segment]) -> None:
        """Put bytes that were lost for good in a block before all others."""
        for segment in reversed(segments):
            again = Segment(segment.message, segment.start, segment.stop, 0, segment.num_resent + 1, segment.pdu)
            self._again.appendleft(again)
            self.stream_bytes += segment.stop - segment.start

    def drop_failed(self) -> None:
        """Forget the bytes of messages that have failed."""
        self._again = deque(segment for segment in self._again if not segment.message.has_failed)
        self._messages = deque(message for message in self._messages if not message.has_failed)
        self.stream_bytes = sum(report.total_bytes for report in self._control)
        self.stream_bytes += sum(segment.stop - segment.start for segment in self._again)
        self.stream_bytes += sum(message.total_bytes - message.position for message in self._messages)

    def fill(self, room: int, now_ns: int = 0) -> list[Segment]:  # noqa: ARG002
        """Take bytes for a block of ``room`` bytes; an empty list if nothing waits or nothing fits."""
        segments: list[Segment] = []
        take = self._segmenter.take
        while self._control and self._control[0].total_bytes + _SUBHEADER_BYTES <= room:
            report = self._control.popleft()
            used = report.total_bytes + _SUBHEADER_BYTES
            segments.append(Segment(report, 0, report.total_bytes, used))
            room -= used
            self.stream_bytes -= report.total_bytes
            report.position = report.total_bytes
        while self._again and room > 0:
            lost = self._again[0]
            taken, used = take(lost.start, lost.stop, lost.message.total_bytes, room)
            if not taken:
                break
            segments.append(Segment(lost.message, lost.start, lost.start + taken, used, lost.num_resent, lost.pdu))
            room -= used
            self.stream_bytes -= taken
            lost.start += taken
            if lost.start == lost.stop:
                self._again.popleft()
        while self._messages and not self._again and room > 0:
            message = self._messages[0]
            start = message.position
            taken, used = take(start, message.total_bytes, message.total_bytes, room)
            if not taken:
                break
            segments.append(Segment(message, start, start + taken, used))
            room -= used
            self.stream_bytes -= taken
            message.position += taken
            if message.position == message.total_bytes:
                self._messages.popleft()
        return segments
