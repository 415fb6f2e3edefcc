"""The queues of a direction as its scheduler sees them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.links.nr.mac.schedulers.base import Array, Indices
from sim.links.nr.mac.transmission import Transmission


class SchedulerView:
    """The queues of some devices as a scheduler sees them (``QueueView``); each array is made when it is read.

    Args:
        mac: Whose queues.
        devices: Candidates, [num_queues].
        num_prb_needed: PRBs that their backlogs need, [num_queues].
        slots: Slots of grant and data.
    """

    def __init__(self, mac: Transmission, devices: Indices, num_prb_needed: Indices, slots: tuple[int, int]) -> None:
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
        return np.asarray(self._mac.heads.num_bytes[self.device] * per_byte)

    @property
    def head_of_line_s(self) -> Array:
        """Time since the first message was sent."""
        return np.asarray((self._now_ns - self._mac.heads.sent_ns[self.device]) * 1e-9, dtype=np.float64)

    @property
    def time_to_deadline_s(self) -> Array:
        """Time until the first message should arrive."""
        return np.asarray((self._mac.heads.deadline_ns[self.device] - self._now_ns) * 1e-9, dtype=np.float64)

    @property
    def tokens_at_stake(self) -> Array:
        """Tokens that the first message may unblock."""
        return self._mac.heads.tokens[self.device]

    @property
    def weight(self) -> Array:
        """Weights by 5QI, times those that a controller sets."""
        return np.asarray(self._mac.weight[self.device] * self._mac.control_weight[self.device])

    @property
    def is_delay_critical(self) -> npt.NDArray[np.bool_]:
        """Whether the first message is worth nothing beyond its delay budget."""
        return self._mac.heads.is_critical[self.device]

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
