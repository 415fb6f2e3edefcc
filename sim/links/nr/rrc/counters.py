"""What has happened to the devices' radio links, in all and by device."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PING_PONG_NS = 1_000_000_000
"""A handover back to the cell before within this time is a ping-pong (TR 36.839 5.2.1.2)."""


class LinkCounters:
    """Counters of all devices.

    Args:
        num_devices: Of all cells.

    Attributes:
        handovers, failures: Of each device, [num_devices].
        interrupted_ns: Time without a radio link of each device until it was found again, [num_devices].
        ping_pong: Handovers of each device back to the cell before within a second, [num_devices].
        num_waited: Messages sent by or to devices out of coverage.
        num_failed_messages: Messages that failed for lack of a radio link.
    """

    def __init__(self, num_devices: int) -> None:
        self.handovers = np.zeros(num_devices, dtype=np.int64)
        self.failures = np.zeros(num_devices, dtype=np.int64)
        self.interrupted_ns = np.zeros(num_devices, dtype=np.int64)
        self.ping_pong = np.zeros(num_devices, dtype=np.int64)
        self.num_waited = self.num_failed_messages = 0
        self._since_ns = 0
        self._before = np.zeros(num_devices, dtype=np.int64)
        self._last: dict[int, tuple[int, int]] = {}

    def handover(self, device: int, old: int, new: int, at_ns: int) -> None:
        """Count one, from an old to a new cell."""
        self.handovers[device] += 1
        left, when_ns = self._last.get(device, (-1, 0))
        if left == new and at_ns - when_ns <= _PING_PONG_NS:
            self.ping_pong[device] += 1
        self._last[device] = (old, at_ns)

    def handovers_of(self, device: int) -> int:
        """Handovers of a device since the run began."""
        return int(self._before[device] + self.handovers[device])

    def interrupted(self, device: int, start_ns: int, end_ns: int) -> None:
        """Count a time without a radio link that has ended, as far as it is in the window."""
        self.interrupted_ns[device] += max(0, end_ns - max(start_ns, self._since_ns))

    def restart(self, now_ns: int) -> None:
        """Count from now on."""
        self._since_ns = now_ns
        self._before += self.handovers
        for row in (self.handovers, self.failures, self.interrupted_ns, self.ping_pong):
            row[:] = 0
        self.num_waited = self.num_failed_messages = 0

    def figures(
        self, now_ns: int, num_devices: int | None = None, lost_since_ns: npt.NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """Figures of the first devices by name, units in the names.

        Args:
            now_ns: End of what is counted.
            num_devices: Of these devices; of all if left out.
            lost_since_ns: Since when a device is without a radio link, infinity if it has one, [num_devices].
        """
        elapsed_s = (now_ns - self._since_ns) / 1e9
        interrupted_ns = self.interrupted_ns.astype(np.float64)
        if lost_since_ns is not None:
            interrupted_ns += np.maximum(0.0, now_ns - np.maximum(lost_since_ns, self._since_ns))
        handovers = self.handovers[:num_devices]
        total = int(handovers.sum())
        minutes = len(handovers) * elapsed_s / 60
        return {
            "handovers": float(total),
            "handovers_per_device_minute": total / minutes if minutes else 0.0,
            "ping_pong_share": float(self.ping_pong[:num_devices].sum()) / total if total else float("nan"),
            "radio_link_failures": float(self.failures[:num_devices].sum()),
            "interrupted_s": float(interrupted_ns[:num_devices].sum()) / 1e9,
            "outage_messages": float(self.num_waited),
            "failed_messages": float(self.num_failed_messages),
        }
