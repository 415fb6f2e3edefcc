"""Processor sharing of a fading band: active devices hold shares by weight, and bits flow as a fluid over blocks."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence

import simpy

from sim.core.errors import RunError
from sim.core.kernel import FastTimeout, Pending
from sim.links.base import Delivery, Packet
from sim.links.one_way import OneWayLink

ROUNDING_NS = 1e-6
"""Slack below which a finishing time counts as the whole nanosecond before it (as in ``sim.core.clock.to_ns``)."""


# Blocks without a delivery, summed over the active devices, after which a run would take hours for one message.
MAX_IDLE_BLOCKS = 5_000_000


class _Message(Pending):
    """A message that shares the band, and the event of its delivery."""

    def __init__(self, env: simpy.Environment, device: int, bits: int, sent_ns: int) -> None:
        super().__init__(env)
        self.device = device
        self.bits = bits
        self.sent_ns = sent_ns
        self.started_ns = 0
        self.rate = 0.0  # in this block, bit/ns of the whole band
        self.weight = 1.0
        self.chunk: Sequence[float] = ()  # the device's rates in this chunk of blocks


class ProcessorSharing(OneWayLink):
    """One direction of a band that its active devices share equally, or by weights, moment by moment.

    Within a block every rate is constant, so sharing is kept by one clock of *service*: the nanoseconds for which
    an active device of weight 1 would have held the whole band. A message of b bits at rate c and weight w leaves when
    service has grown by b / (c w); only the earliest such moment, or the block's end, is on the event queue. At a
    block's end the service that each message still needs is rescaled to its new rate. The fluid is integrated exactly,
    whatever a message's length, and arrivals and departures cost O(log n) for n active devices.

    A device's own messages follow each other in the order in which they were sent (access); there is no other
    waiting. A message leaves at the first whole nanosecond by which its last bit has been carried.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        rates: Of a device and a chunk index: the rates that it would have with the whole band [bit/ns], > 0, in the
            blocks of that chunk. Asked for no later chunk than the present one.
        chunk_blocks: Blocks in a chunk.
        block_ns: Length of a block in nanoseconds; blocks start at time zero.
        header_bits: Added to each message's payload.
        one_way_delay_s: Fixed delay from the end of the air to the receiver [s].
        scale: Multiplies all rates, which can then be shared by bands of different width.
    """

    def __init__(
        self,
        env: simpy.Environment,
        rates: Callable[[int, int], Sequence[float]],
        chunk_blocks: int,
        block_ns: int,
        header_bits: int,
        one_way_delay_s: float,
        scale: float = 1.0,
    ) -> None:
        super().__init__(env, header_bits, one_way_delay_s)
        self._rates = rates
        self._scale = scale
        self._chunk_blocks = chunk_blocks
        self._block_ns = block_ns
        self._active: list[tuple[float, int, _Message]] = []  # heap of (service at which it leaves, start order, it)
        self._sending: dict[int, deque[_Message] | None] = {}  # per device with a message: those behind it, if any
        self._starts = 0
        self._idle_blocks = 0  # since anything left, counted once per active device
        self._weights: dict[int, float] = {}  # of devices whose weight was set; 1 of others
        self._service = 0.0  # since the block's start, or since the band was last idle if that is later
        self._now_ns = 0  # up to when service is accounted
        self._block = 0
        self._block_end_ns = 0
        self._due_ns = 0  # when something happens next: a departure or the block's end
        self._timer: FastTimeout | None = None
        self._timer_ns = 0
        self._busy_ns = 0

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``."""
        device = packet.device
        bits = packet.payload_bits + self.header_bits
        self.num_messages += 1
        self.bits_accepted += bits
        now_ns = int(self.env.now)
        message = _Message(self.env, device, bits, now_ns)
        if device not in self._sending:
            self._advance(now_ns)
            self._sending[device] = None
            self._start(message)
            self._plan()
        elif behind := self._sending[device]:
            behind.append(message)
        else:
            self._sending[device] = deque([message])
        return message

    def set_weight(self, device: int, weight: float) -> None:
        """Give a device another share from now on, a message under way included."""
        now_ns = int(self.env.now)
        self._advance(now_ns)
        self._weights[device] = weight
        for place, (leaves_at, order, message) in enumerate(self._active):
            if message.device == device:
                left = (leaves_at - self._service) * message.weight
                message.weight = weight
                self._active[place] = (self._service + left / weight, order, message)
                heapq.heapify(self._active)
                break
        if self._active:
            self._plan()

    @property
    def _total_weight(self) -> float:
        """Sum of the weights of those that are active."""
        return sum(message.weight for _, _, message in self._active) if self._weights else len(self._active)

    def expected_bps(self, device: int) -> float:
        """Rate in the last complete block at the share that the device has, or would have on joining now."""
        own = self._weights.get(device, 1.0)
        sharers = self._total_weight + (own if device not in self._sending else 0)
        return self.whole_bps(device) * own / sharers

    def whole_bps(self, device: int) -> float:
        """Rate in the last complete block with the whole band."""
        chunk, offset = divmod(int(self.env.now) // self._block_ns - 1, self._chunk_blocks)
        return self._scale * self._rates(device, chunk)[offset] * 1e9

    def utilisation(self) -> float:
        """Share of the time since zero in which somebody was active."""
        now = int(self.env.now)
        ongoing = now - self._now_ns if self._active else 0
        return (self._busy_ns + ongoing) / max(1, now)

    def _advance(self, now_ns: int) -> None:
        """Bring service up to now; something is due at every block's end while anybody is active: none is skipped."""
        if self._active:
            self._service += (now_ns - self._now_ns) / self._total_weight
            self._busy_ns += now_ns - self._now_ns
        else:
            self._service = 0.0
            self._block = now_ns // self._block_ns
            self._block_end_ns = (self._block + 1) * self._block_ns
        self._now_ns = now_ns

    def _start(self, message: _Message) -> None:
        message.started_ns = self._now_ns
        chunk, offset = divmod(self._block, self._chunk_blocks)
        message.chunk = rates = self._rates(message.device, chunk)
        message.rate = rate = self._scale * rates[offset]
        message.weight = self._weights.get(message.device, 1.0)
        self._starts += 1
        leaves_at = self._service + message.bits / rate / message.weight
        heapq.heappush(self._active, (leaves_at, self._starts, message))

    def _plan(self) -> None:
        """Note when the earliest departure or the block's end is due; a timer that fires before will look again."""
        now_ns = due_ns = self._now_ns
        needed = (self._active[0][0] - self._service) * self._total_weight
        if needed > ROUNDING_NS:
            due_ns += math.ceil(needed - ROUNDING_NS)
            due_ns = min(due_ns, self._block_end_ns)
        self._due_ns = due_ns
        if self._timer is None or due_ns < self._timer_ns:
            # The timer that it replaces fires unheard.
            self._timer_ns = due_ns
            self._timer = FastTimeout(self.env, due_ns - now_ns, self._wake)

    def _wake(self, timer: FastTimeout) -> None:
        if timer is not self._timer:
            return
        self._timer = None
        if not self._active:
            return
        now_ns = self._timer_ns
        if now_ns < self._due_ns:
            # Others have joined since: a share is smaller. Service is accounted when something happens, not now.
            self._timer_ns = self._due_ns
            self._timer = FastTimeout(self.env, self._due_ns - now_ns, self._wake)
            return
        self._advance(now_ns)
        while self._active and self._active[0][0] <= self._service + ROUNDING_NS:
            self._depart(heapq.heappop(self._active)[2])
        if self._active and self._now_ns == self._block_end_ns:
            self._enter_next_block()
        if self._active:
            self._plan()

    def _depart(self, message: _Message) -> None:
        self._idle_blocks = 0
        air_ns = self._now_ns - message.started_ns
        access_ns = message.started_ns - message.sent_ns
        message.succeed_later(
            Delivery(access_ns, air_ns, 0, self.transport_ns, message.bits, air_ns), self.transport_ns
        )
        if behind := self._sending[message.device]:
            self._start(behind.popleft())
        else:
            del self._sending[message.device]

    def _enter_next_block(self) -> None:
        """Rescale what each message still needs to the new block's rates, and restart the service clock."""
        self._idle_blocks += len(self._active)
        if self._idle_blocks > MAX_IDLE_BLOCKS:
            raise RunError(
                f"nothing has left the link for {MAX_IDLE_BLOCKS} blocks of {self._block_ns * 1e-9:g} s, in which "
                f"{len(self._active)} devices send; the messages are too large for the band and the SNR"
            )
        self._block += 1
        self._block_end_ns += self._block_ns
        chunk, offset = divmod(self._block, self._chunk_blocks)
        if offset == 0:
            for _, _, message in self._active:
                message.chunk = self._rates(message.device, chunk)
        service, scale = self._service, self._scale
        rescaled = []
        for leaves_at, order, message in self._active:
            rate = scale * message.chunk[offset]
            rescaled.append(((leaves_at - service) * message.rate / rate, order, message))
            message.rate = rate
        heapq.heapify(rescaled)
        self._active = rescaled
        self._service = 0.0
