"""Several logical channels of one device and direction: whose bytes fill a block, and what a buffer report says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    block then goes by strict priority. Channels of equal priority are served equally: the one that has been served
    least comes first, whole datagrams at a time, so that those with data get the same bytes over time; one that had
    none meanwhile saves nothing up (start-time fair queueing). The downlink, whose order the standard leaves open,
    does the same.

    Args:
        segmenter: How bytes fill a block.
        channels: At least one; a message's ``channel`` is an index among them.
    """

    def __init__(self, segmenter: Segmenter, channels: Sequence[LogicalChannel]) -> None:
        self.channels = tuple(channels)
        self.queues = [SendQueue(segmenter) for _ in channels]
        levels = sorted({channel.priority for channel in channels})
        self._level = [levels.index(channel.priority) for channel in channels]
        # Channels of each priority, highest priority first.
        self._equal = [[index for index in range(len(channels)) if self._level[index] == n] for n in range(len(levels))]
        # Bytes that each has been given, those that it let pass counted; and where its priority's next one stands.
        self._served, self._turn = [0] * len(channels), [0] * len(levels)
        self._has_waited = [False] * len(channels)
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
        for equal in self._equal:
            waiting = [index for index in equal if self.queues[index].stream_bytes]
            if waiting:
                return self.queues[min(waiting, key=self._start)]
        return None

    def _start(self, index: int) -> int:
        """Where a channel stands among those of its priority: the lowest is served next."""
        served = self._served[index]
        return served if self._has_waited[index] else max(served, self._turn[self._level[index]])

    def groups(self) -> list[GroupReport]:
        """Logical channel groups with data, highest priority first: what a buffer status report can hold."""
        found: dict[int, GroupReport] = {}
        for index in (index for equal in self._equal for index in equal):
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
        for index, queue in enumerate(self.queues):
            if queue.stream_bytes:
                self._served[index], self._has_waited[index] = self._start(index), True
        segments: list[Segment] = []
        for equal in self._equal:
            # The fullest bucket first: where there is no room for all of them, they take turns.
            for index in sorted(equal, key=lambda index: -self._buckets[index]):
                taken = self.queues[index].fill(min(room, self._whole_datagrams(self._buckets[index])))
                used = sum(segment.used_bytes for segment in taken)
                self._buckets[index] -= used
                room -= used
                segments += taken
        for equal in self._equal:
            taken = self._fill_equally(equal, room)
            room -= sum(segment.used_bytes for segment in taken)
            segments += taken
        self._has_waited = [bool(queue.stream_bytes) for queue in self.queues]
        return segments

    def _fill_equally(self, equal: Sequence[int], room: int) -> list[Segment]:
        """Take bytes of channels of one priority."""
        waiting = [index for index in equal if self.queues[index].stream_bytes]
        segments: list[Segment] = []
        while waiting and room > 0:
            index = min(waiting, key=self._served.__getitem__)
            limit = room
            if len(waiting) > 1:
                whole = max(1, int(self._fair_share(index, waiting, room) / self._datagram_bytes))
                limit = min(room, whole * self._datagram_bytes)
            taken = self.queues[index].fill(limit)
            used = sum(segment.used_bytes for segment in taken)
            level = self._level[index]
            self._turn[level] = max(self._turn[level], self._served[index])
            self._served[index] += used
            room -= used
            segments += taken
            if not used or not self.queues[index].stream_bytes:
                waiting.remove(index)
        return segments

    def _fair_share(self, index: int, others: Collection[int], room: int) -> float:
        """What the channel served least may take of ``room`` until, with the rest of it, all are served the same."""
        left, reached = float(room), self._served[index]
        for count, served in enumerate(sorted(self._served[other] for other in others)):
            if (served - reached) * count >= left:
                return reached + left / count - self._served[index]
            left -= (served - reached) * count
            reached = served
        return reached + left / len(others) - self._served[index]

    def _whole_datagrams(self, num_bytes: float) -> int:
        """The fewest whole datagrams that are so many bytes."""
        return ceil(max(0.0, num_bytes) / self._datagram_bytes) * self._datagram_bytes

    def _save_up(self, now_ns: int) -> None:
        """Let the buckets grow by the time since the last block."""
        passed_s = (now_ns - self._filled_ns) / _NS_PER_S
        self._filled_ns = now_ns
        for index, channel in enumerate(self.channels):
            grown = self._buckets[index] + channel.prioritised_bytes_per_s * passed_s
            self._buckets[index] = min(grown, channel.bucket_bytes)
