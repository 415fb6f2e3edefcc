"""Discontinuous reception: when connected devices listen to the control channel (TS 38.321 5.7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.addressed import uniforms

_NEVER = 1 << 60


class DrxTimers:
    """Active time of all devices, in slots.

    A device listens in the on-duration of each cycle, until the inactivity timer that every grant of new data starts
    has ended, and from a scheduling request to its grant. The retransmission timers are taken to be as long as needed:
    a device always hears of retransmissions.

    Args:
        seed: Master seed; devices' cycles start at keyed random offsets.
        num_devices: Devices of all cells.
        cycle_slots: Cycle, or 0: then all devices listen always.
        on_slots: On-duration.
        inactivity_slots: Inactivity timer.
    """

    def __init__(self, seed: int, num_devices: int, cycle_slots: int, on_slots: int, inactivity_slots: int) -> None:
        self.cycle_slots, self.on_slots, self._inactivity_slots = cycle_slots, on_slots, inactivity_slots
        self.is_used = cycle_slots > on_slots
        draws = uniforms(seed, "drx offset", entities=np.arange(num_devices), count=1)
        self._offset = np.floor(draws[:, 0] * cycle_slots).astype(np.int64)
        self._active_until = np.zeros(num_devices, dtype=np.int64)
        self._asking_from = np.full(num_devices, _NEVER, dtype=np.int64)
        self._settled = np.zeros(num_devices, dtype=np.int64)
        self._awake_slots = np.zeros(num_devices, dtype=np.int64)
        self._is_released = np.zeros(num_devices, dtype=bool)
        self._released_slots = np.zeros(num_devices, dtype=np.int64)

    def listening(self, slot: int) -> npt.NDArray[np.bool_]:
        """Which devices listen in a slot. [num_devices]."""
        in_on = (slot - self._offset) % self.cycle_slots < self.on_slots
        return np.asarray(in_on | (slot < self._active_until) | (slot >= self._asking_from))

    def listens_at(self, device: int, slot: int) -> int:
        """First slot from this one on in which a device listens."""
        if not self.is_used or slot < self._active_until[device]:
            return slot
        into = int(slot - self._offset[device]) % self.cycle_slots
        in_on = slot if into < self.on_slots else slot + self.cycle_slots - into
        return min(in_on, max(slot, int(self._asking_from[device])))

    def granted(self, device: int, slot: int) -> None:
        """A grant of new data restarts the inactivity timer, and answers a scheduling request."""
        if self.is_used:
            self.settle(device, slot)
            self._asking_from[device] = _NEVER
            self._active_until[device] = max(int(self._active_until[device]), slot + 1 + self._inactivity_slots)

    def asks(self, device: int, slot: int) -> None:
        """A scheduling request, sent in a slot, keeps a device listening until its grant."""
        if self.is_used:
            self._asking_from[device] = min(int(self._asking_from[device]), slot)

    def stops_asking(self, device: int, slot: int) -> None:
        """A request has become needless, or was dropped with the radio link."""
        if self.is_used:
            self.settle(device, slot)
            self._asking_from[device] = _NEVER

    # -- connection states ------------------------------------------------------------------------------------------

    def release(self, device: int, slot: int) -> None:
        """A device leaves RRC connected: it listens to paging alone."""
        self.settle(device, slot)
        self._is_released[device] = True
        self._asking_from[device] = _NEVER

    def wake(self, device: int, slot: int) -> None:
        """A device begins random access: it listens until it is granted something."""
        self.settle(device, slot)
        self._is_released[device] = False
        self.asks(device, slot)

    # -- time awake ---------------------------------------------------------------------------------------------------

    def settle(self, device: int, slot: int) -> None:
        """Count the slots before ``slot`` in which a device has listened."""
        start = int(self._settled[device])
        if slot <= start:
            return
        if self._is_released[device]:
            self._released_slots[device] += slot - start
        elif not self.is_used:
            self._awake_slots[device] += slot - start
        else:
            asks = max(start, min(slot, int(self._asking_from[device])))
            until = min(asks, max(start, int(self._active_until[device])))
            on = self._on_slots_before(device, asks) - self._on_slots_before(device, until)
            self._awake_slots[device] += until - start + on + slot - asks
        self._settled[device] = slot

    def awake_slots(self, device: int, slot: int) -> int:
        """Slots before ``slot`` in which a device has listened since the run began."""
        self.settle(device, slot)
        return int(self._awake_slots[device])

    def released_slots(self, device: int, slot: int) -> int:
        """Slots before ``slot`` in which a device was out of RRC connected since the run began."""
        self.settle(device, slot)
        return int(self._released_slots[device])

    def _on_slots_before(self, device: int, slot: int) -> int:
        """Slots of on-durations before a slot, from a whole cycle before slot 0 on."""
        cycles, rest = divmod(slot - int(self._offset[device]) + self.cycle_slots, self.cycle_slots)
        return cycles * self.on_slots + min(rest, self.on_slots)
