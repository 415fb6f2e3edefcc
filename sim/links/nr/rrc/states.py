"""Connection states of all devices: released when nothing happens, back by random access or paging."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from channels.addressed import uniforms
from sim.core.clock import to_ns
from sim.links.nr.mac.drx import DrxTimers
from sim.links.nr.mac.entity import MacEntity
from sim.links.nr.mac.slot_callbacks import SlotCallbacks
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.rrc.state_settings import StateSettings

Indices = npt.NDArray[np.int64]
_FRAME_NS = 10_000_000
_ACTIVATION_S = {"inactive": 0.010, "idle": 0.025}
"""TS 38.331 Table 12.1-1: RRC resume 10 ms; RRC setup 10, security activation 5, reconfiguration 10."""


class ConnectionStates:
    """RRC connected, and inactive or idle (TS 38.331 4.2.1).

    A device is released once its last transport block is the inactivity time ago and nothing waits. What it then wants
    to send makes it begin random access at once; what is sent to it waits for its paging occasion. After message 4 it
    is connected when the activation time has passed, with a buffer status report in the message that completes it.

    Args:
        settings: Keys of connection states.
        carrier: The carrier.
        seed: Master seed; devices' paging occasions are at keyed random offsets.
        callbacks: What is to be done in later slots.
        reachable: Whether a device can be granted anything, renewed in place, [num_devices].
        drx: When devices listen.
        start_access: Begins the random access of a device from a slot on.
        is_covered: Whether a device has a cell.

    Attributes:
        released: Whether each device is out of RRC connected, [num_devices].
        active_slot: Slot of each device's last transport block, which the MAC keeps, [num_devices].
        num_setups: Times that each device was connected, [num_devices].
    """

    def __init__(
        self,
        settings: StateSettings,
        carrier: Carrier,
        seed: int,
        callbacks: SlotCallbacks,
        reachable: npt.NDArray[np.bool_],
        drx: DrxTimers,
        start_access: Callable[[int, int], None],
        is_covered: Callable[[int], bool],
    ) -> None:
        assert settings.rrc_inactivity_s is not None
        self._carrier, self._callbacks, self._drx = carrier, callbacks, drx
        self._reachable = reachable
        self._start_access, self._is_covered = start_access, is_covered
        self._inactivity_slots = -(-to_ns(settings.rrc_inactivity_s) // carrier.slot_ns)
        seconds = settings.rrc_activation_s
        if seconds is None:
            seconds = _ACTIVATION_S[settings.rrc_release_to]
        if settings.rrc_release_to == "idle":
            seconds += settings.core_network_s
        self._activation_slots = -(-to_ns(seconds) // carrier.slot_ns)
        count = len(reachable)
        self.released = np.zeros(count, dtype=bool)
        self._cycle_slots = settings.paging_cycle_frames * _FRAME_NS // carrier.slot_ns
        draws = uniforms(seed, "paging offset", entities=np.arange(count), count=1)
        self._offset = np.floor(draws[:, 0] * self._cycle_slots).astype(np.int64)
        self._is_accessing = np.zeros(count, dtype=bool)
        self._is_paged = np.zeros(count, dtype=bool)
        self.active_slot: Indices = np.zeros(count, dtype=np.int64)
        self.num_setups: Indices = np.zeros(count, dtype=np.int64)
        self._setups_before = self.num_setups.copy()
        self._macs: Sequence[MacEntity] = ()

    def attach(self, macs: Sequence[MacEntity]) -> None:
        """Take the MAC entities of both directions; all devices begin released."""
        self._macs = macs
        for device in range(len(self.released)):
            self._release(device, 0)

    # -- leaving ------------------------------------------------------------------------------------------------------

    def _release(self, device: int, slot: int) -> None:
        self.released[device], self._reachable[device] = True, False
        self._drx.release(device, slot)
        for mac in self._macs:
            mac.flush(device, slot)

    def _check(self, device: int, slot: int) -> None:
        """Release a device whose inactivity timer has ended, or look again when it may have."""
        if self.released[device]:
            return
        if any(mac.has_messages(device) for mac in self._macs):
            self._callbacks.schedule(slot + self._inactivity_slots, self._check, device)
            return
        due = int(self.active_slot[device]) + self._inactivity_slots
        if slot < due:
            self._callbacks.schedule(due, self._check, device)
        else:
            self._release(device, slot)

    # -- coming back --------------------------------------------------------------------------------------------------

    def wants(self, device: int, slot: int) -> None:
        """A device has something to send, or was paged; access begins in this slot or later."""
        if self.released[device] and not self._is_accessing[device] and self._is_covered(device):
            self._is_accessing[device] = True
            self._drx.wake(device, slot)
            self._start_access(device, slot)

    def page(self, device: int, slot: int) -> None:
        """The base station has something for a device: it is paged in its next occasion, unless it comes by itself."""
        if not self.released[device] or self._is_accessing[device] or self._is_paged[device]:
            return
        self._is_paged[device] = True
        occasion = slot + 1 + int(self._offset[device] - slot - 1) % self._cycle_slots
        while not self._carrier.pattern.carries_downlink_control(occasion):
            occasion += 1
        self._callbacks.schedule(occasion, self._paged, device)

    def _paged(self, device: int, slot: int) -> None:
        self._is_paged[device] = False
        self.wants(device, slot + 1)

    def access_succeeded(self, device: int, slot: int) -> None:
        """Message 4 has reached a device."""
        if self._activation_slots:
            self._callbacks.schedule(slot + self._activation_slots, self._connect, device)
        else:
            self._connect(device, slot)

    def access_failed(self, device: int, slot: int) -> None:
        """Random access has failed: the device is as it was before, until its messages make it try again."""
        self._is_accessing[device] = False
        self._drx.release(device, slot)

    def _connect(self, device: int, slot: int) -> None:
        self._is_accessing[device] = self.released[device] = False
        self.num_setups[device] += 1
        self.active_slot[device] = slot
        self._callbacks.schedule(slot + self._inactivity_slots, self._check, device)
        if not self._is_covered(device):
            return
        self._reachable[device] = True
        self._drx.granted(device, slot)
        for mac in self._macs:
            mac.count_connecting(device, slot * self._carrier.slot_ns)
            mac.resume(device, slot)

    def cell_found(self, device: int, slot: int) -> None:
        """A released device without coverage has a cell again: what waits there makes it begin access."""
        if any(mac.has_messages(device) for mac in self._macs):
            self.wants(device, slot + 1)

    # -- figures ------------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Figures count from now on."""
        self._setups_before = self.num_setups.copy()

    def figures(self, num_devices: int) -> dict[str, float]:
        """Figures of the first devices by name."""
        return {"rrc_setups": float((self.num_setups - self._setups_before)[:num_devices].sum())}
