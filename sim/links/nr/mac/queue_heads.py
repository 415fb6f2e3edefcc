"""What schedulers see of the message that each queue serves next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim.links.nr.mac.schedulers.base import Array, Indices
from sim.links.nr.rlc.logical_channels import LogicalChannel, LogicalChannels
from sim.links.nr.rlc.message import Message
from sim.links.nr.rlc.send_queue import SendQueue


class QueueHeads:
    """First messages of all queues of a direction; arrays follow when they are read, which most schedulers never do.

    A queue that has become empty is seen with its last message.

    Args:
        channels: Logical channels of each device, [num_devices].
        budget_ns: Time in which a message without a deadline should arrive.
    """

    def __init__(self, channels: Sequence[tuple[LogicalChannel, ...]], budget_ns: int) -> None:
        count = len(channels)
        self._channels, self._budget_ns = channels, budget_ns
        # Of queues that have changed since arrays were read: the first message and its bytes that wait.
        self._changed: dict[int, tuple[Message | None, int]] = {}
        self._sent_ns = np.zeros(count, dtype=np.int64)
        self._deadline_ns = np.zeros(count, dtype=np.int64)
        self._tokens = np.ones(count)
        self._num_bytes = np.zeros(count, dtype=np.int64)
        self._is_critical = np.array([own[0].is_delay_critical for own in channels], dtype=bool)

    def note(self, device: int, queue: SendQueue | LogicalChannels) -> None:
        """A device's queue has changed."""
        head = queue.head
        if head is None and device in self._changed:
            head = self._changed[device][0]
        self._changed[device] = head, queue.head_bytes

    def _renew(self) -> None:
        for device, (head, num_bytes) in self._changed.items():
            self._num_bytes[device] = num_bytes
            if head is None:
                continue
            packet = head.packet
            deadline = packet.deadline_ns
            self._sent_ns[device] = head.sent_ns
            self._deadline_ns[device] = head.sent_ns + self._budget_ns if deadline is None else deadline
            self._tokens[device] = packet.tokens_at_stake
            self._is_critical[device] = self._channels[device][head.channel].is_delay_critical
        self._changed.clear()

    @property
    def sent_ns(self) -> Indices:
        """When they were sent, [num_devices]."""
        self._renew()
        return self._sent_ns

    @property
    def deadline_ns(self) -> Indices:
        """When they are due, [num_devices]."""
        self._renew()
        return self._deadline_ns

    @property
    def tokens(self) -> Array:
        """Tokens that they may unblock, [num_devices]."""
        self._renew()
        return self._tokens

    @property
    def num_bytes(self) -> Indices:
        """Bytes of them that wait, [num_devices]."""
        self._renew()
        return self._num_bytes

    @property
    def is_critical(self) -> npt.NDArray[np.bool_]:
        """Whether they are of a delay-critical 5QI, [num_devices]."""
        self._renew()
        return self._is_critical
