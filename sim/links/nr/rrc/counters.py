"""What has happened to the devices' radio links, in all and by device."""

from __future__ import annotations

import numpy as np

_PING_PONG_NS = 1_000_000_000
"""A handover back to the cell before within this time is a ping-pong (TR 36.839 5.2.1.2)."""


class LinkCounters:
    """Counters of all devices.

    Args:
        num_devices: Of all cells.

    Attributes:
        handovers, failures: Of each device, [num_devices].
        interrupted_ns: Time without a radio link of each device, [num_devices].
        num_ping_pong: Handovers back to the cell before within a second.
        num_waited: Messages sent by or to devices out of coverage.
        num_failed_messages: Messages that failed for lack of a radio link.
    """

    def __init__(self, num_devices: int) -> None:
        self.handovers = np.zeros(num_devices, dtype=np.int64)
        self.failures = np.zeros(num_devices, dtype=np.int64)
        self.interrupted_ns = np.zeros(num_devices, dtype=np.int64)
        self.num_ping_pong = self.num_waited = self.num_failed_messages = 0
        self._before = np.zeros(num_devices, dtype=np.int64)
        self._last: dict[int, tuple[int, int]] = {}

    def handover(self, device: int, old: int, new: int, at_ns: int) -> None:
        """Count one, from an old to a new cell."""
        self.handovers[device] += 1
        left, when_ns = self._last.get(device, (-1, 0))
        if left == new and at_ns - when_ns <= _PING_PONG_NS:
            self.num_ping_pong += 1
        self._last[device] = (old, at_ns)

    def handovers_of(self, device: int) -> int:
        """Handovers of a device since the run began."""
        return int(self._before[device] + self.handovers[device])

    def restart(self) -> None:
        """Count from now on."""
        self._before += self.handovers
        for row in (self.handovers, self.failures, self.interrupted_ns):
            row[:] = 0
        self.num_ping_pong = self.num_waited = self.num_failed_messages = 0

    def figures(self, elapsed_s: float) -> dict[str, float]:
        """Figures of all devices by name, units in the names."""
        total = int(self.handovers.sum())
        minutes = len(self.handovers) * elapsed_s / 60
        return {
            "handovers": float(total),
            "handovers_per_device_minute": total / minutes if minutes else 0.0,
            "ping_pong_share": self.num_ping_pong / total if total else float("nan"),
            "radio_link_failures": float(self.failures.sum()),
            "interrupted_s": float(self.interrupted_ns.sum()) / 1e9,
            "outage_messages": float(self.num_waited),
            "failed_messages": float(self.num_failed_messages),
        }
