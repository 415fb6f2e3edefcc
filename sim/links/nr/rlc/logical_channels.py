"""Several logical channels of one device and direction: whose bytes fill a block, and what a buffer report says."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from sim.links.nr.rlc.message import Message, Segment, Segmenter
from sim.links.nr.rlc.send_queue import SendQueue

_NS_PER_S = 1_000_000_000


class LogicalChannel(NamedTuple):
    """How a logical channel is served (TS 38.331 LogicalChannelConfig).

    Attributes:
        five_qi: 5QI of its flow; channels of one 5QI are in one logical channel group.
        priority: Lower is served earlier.
        weight: What it counts for a scheduler.
        is_delay_critical: Whether its packets are worth nothing beyond their delay budget.
        prioritised_bytes_per_s: Rate up to which it is served before the rest of any other.
        bucket_bytes: Most that it may save up of that rate.
    """

    five_qi: int
    priority: int
    weight: float
    is_delay_critical: bool = False
    prioritised_bytes_per_s: float = 0.0
    bucket_bytes: float = 0.0


class GroupReport(NamedTuple):
    """A logical channel group with data.

    Attributes:
        weight: Sum of the weights of its channels that have data.
        buffer_bytes: What waits, with headers.
    """

    weight: float
    buffer_bytes: int


class LogicalChannels:
    """The send queues of one device, filled into blocks by logical channel prioritisation (TS 38.321 5.4.3.1).

    Each channel has a bucket that grows with its prioritised rate up to a limit. Channels with something in their
    buckets are served first, by priority, until the bucket is empty, whole datagrams at a time; what is left of the
    block then goes by strict priority. The downlink, whose order the standard leaves open, does the same.

    Args:
        segmenter: How bytes fill a block.
        channels: At least one; a message's ``channel`` is an index among them.
    """

    def __init__(self, segmenter: Segmenter, channels: Sequence[LogicalChannel]) -> None:
        self.channels = tuple(channels)
        self.queues = [SendQueue(segmenter) for _ in channels]
        # Ties go to the earlier one.
        self._order = sorted(range(len(channels)), key=lambda index: channels[index].priority)
        self._buckets = [0.0] * len(channels)
        self._filled_ns = 0
        self._datagram_bytes = segmenter.sdu_bytes + segmenter.segment_header_bytes

    def __len__(self) -> int:
        return sum(len(queue) for queue in self.queues)

    @property
    def stream_bytes(self) -> int:
        """Stream bytes that wait in all channels."""
        return sum(queue.stream_bytes for queue in self.queues)

    @property
    def buffer_bytes(self) -> int:
        """What waits in all channels, with headers."""
        return sum(queue.buffer_bytes for queue in self.queues)

    @property
    def head(self) -> Message | None:
        """First message of the channel of highest priority that has any."""
        queue = self._first()
        return queue.head if queue is not None else None

    @property
    def head_bytes(self) -> int:
        """Bytes of that message that wait."""
        queue = self._first()
        return queue.head_bytes if queue is not None else 0

    def _first(self) -> SendQueue | None:
        return next((self.queues[index] for index in self._order if self.queues[index].stream_bytes), None)

    def groups(self) -> list[GroupReport]:
        """Logical channel groups with data, highest priority first: what a buffer status report can hold."""
        found: dict[int, GroupReport] = {}
        for index in self._order:
            waiting = self.queues[index].buffer_bytes
            if waiting:
                channel = self.channels[index]
                weight, before = found.get(channel.five_qi, (0.0, 0))
                found[channel.five_qi] = GroupReport(weight + channel.weight, before + waiting)
        return list(found.values())

    def push(self, message: Message) -> None:
        """Append a message to its channel."""
        self.queues[message.channel].push(message)

    def push_control(self, report: Message) -> None:
        """Append a status report to its channel."""
        self.queues[report.channel].push_control(report)

    def forget_sent(self) -> None:
        """Drop status reports and what was to be sent again."""
        for queue in self.queues:
            queue.forget_sent()

    def requeue(self, segments: list[Segment]) -> None:
        """Put bytes that were lost for good before all others of their channels."""
        for index, queue in enumerate(self.queues):
            queue.requeue([segment for segment in segments if segment.message.channel == index])

    def drop_failed(self) -> None:
        """Forget the bytes of messages that have failed."""
        for queue in self.queues:
            queue.drop_failed()

    def fill(self, room: int, now_ns: int = 0) -> list[Segment]:
        """Take bytes for a block of ``room`` bytes; an empty list if nothing waits or nothing fits."""
        self._save_up(now_ns)
        segments: list[Segment] = []
        for is_prioritised in (True, False):
            for index in self._order:
                queue, limit = self.queues[index], room
                if is_prioritised:
                    whole = ceil(max(0.0, self._buckets[index]) / self._datagram_bytes)
                    limit = min(room, whole * self._datagram_bytes)
                if not limit or not queue.stream_bytes:
                    continue
                taken = queue.fill(limit)
                used = sum(segment.used_bytes for segment in taken)
                if is_prioritised:
                    self._buckets[index] -= used
                room -= used
                segments += taken
        return segments

    def _save_up(self, now_ns: int) -> None:
        """Let the buckets grow by the time since the last block."""
        passed_s = (now_ns - self._filled_ns) / _NS_PER_S
        self._filled_ns = now_ns
        for index, channel in enumerate(self.channels):
            grown = self._buckets[index] + channel.prioritised_bytes_per_s * passed_s
            self._buckets[index] = min(grown, channel.bucket_bytes)
