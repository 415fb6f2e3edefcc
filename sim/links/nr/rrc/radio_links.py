"""Radio links of all devices: measurements, handover, radio link failure, re-establishment, outages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sim.core.clock import NS_PER_S, to_ns
from sim.links.base import Direction
from sim.links.nr.mac.entity import MacEntity
from sim.links.nr.mac.slot_callbacks import SlotCallbacks
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.interference import Interference
from sim.links.nr.rrc.counters import LinkCounters
from sim.links.nr.rrc.handover import EventA3, filter_weight
from sim.links.nr.rrc.radio_link_monitor import RadioLinkMonitor
from sim.links.nr.rrc.states import ConnectionStates
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
_CATCH_UP_S = 10.0
"""Measurements missed in a longer pause of the whole network are not made up for: devices have then been idle, and
have chosen their cells anew (TS 38.304 5.2.4)."""
_FAILURES_IN_A_ROW = 3
"""Radio link failures without a delivery between them after which a device is taken to be out of coverage."""


class RadioLinks:
    """Which device has a radio link to which cell.

    A measurement is made every ``large_scale_period_s`` while devices move. At a handover a device's HARQ processes are
    flushed, what was in flight goes back to the RLC's queue, and nothing is granted to it for the interruption time.
    When its radio link fails it looks for a cell at every measurement. Until it has one, messages wait; those that
    have waited for ``outage_timeout_s`` fail.

    Args:
        settings: Keys of the link.
        slot_ns: Duration of a slot.
        channel: Gains, or None: then there is one cell, always in reach.
        interference: Running mean of other cells' power in the downlink, or None.
        callbacks: What is to be done in later slots.
        reachable: Whether a device has a radio link, renewed in place, [num_devices].
        on_renewed: Called when mean gains or serving cells have changed.

    Attributes:
        counters: What has happened so far.
        on_cell_change: Called with device and new cell when that has changed; or None.
    """

    def __init__(
        self,
        settings: NrLinkSettings,
        slot_ns: int,
        channel: RadioChannel | None,
        interference: Interference | None,
        callbacks: SlotCallbacks,
        reachable: npt.NDArray[np.bool_],
        on_renewed: Callable[[], None],
    ) -> None:
        self._settings, self._slot_ns, self._channel = settings, slot_ns, channel
        self._interference, self._callbacks, self._on_renewed = interference, callbacks, on_renewed
        self._reachable = reachable
        self._macs: Sequence[MacEntity] = ()
        self._states: ConnectionStates | None = None
        count = len(reachable)
        self.counters = LinkCounters(count)
        self.on_cell_change: Callable[[int, int], None] | None = None
        self._is_out = np.zeros(count, dtype=bool)
        self._since_ns = np.zeros(count, dtype=np.int64)
        self._failures = np.zeros(count, dtype=np.int64)
        self._timeout_ns = to_ns(settings.outage_timeout_s)
        self._monitor = RadioLinkMonitor(
            count, settings.rlf_out_db, settings.rlf_in_db, settings.n310, settings.n311, settings.t310_s
        )
        self._period_slots = max(1, round(to_ns(settings.large_scale_period_s) / slot_ns))
        self._next_slot = self._period_slots
        self._event: EventA3 | None = None
        if channel is not None and channel.num_cells > 1 and not channel.is_static:
            weight = filter_weight(settings.l3_filter_k, settings.large_scale_period_s)
            self._event = EventA3(
                count,
                channel.num_cells,
                settings.handover_offset_db,
                settings.handover_hysteresis_db,
                settings.time_to_trigger_s,
                weight,
            )
            self._event.restart(channel.gain_db)

    def attach(self, macs: Sequence[MacEntity], states: ConnectionStates | None) -> None:
        """Take the MAC entities of both directions, and the connection states if devices are ever released.

        Devices that no cell reaches are out of coverage from the start.
        """
        self._macs, self._states = macs, states
        if self._channel is not None:
            for device in np.flatnonzero(self._sinr_db(0) < self._settings.rlf_in_db).tolist():
                self._lose(device, 0)

    # -- measurements -------------------------------------------------------------------------------------------------

    def update(self, slot: int) -> None:
        """Make the measurements that are due by a slot."""
        channel = self._channel
        if channel is None or channel.is_static or slot < self._next_slot:
            return
        missed = (slot - self._next_slot) // self._period_slots
        if missed * self._period_slots * self._slot_ns > to_ns(_CATCH_UP_S):
            self._next_slot += missed * self._period_slots
            self._reselect()
        while self._next_slot <= slot:
            self._measure(self._next_slot, slot)
            self._next_slot += self._period_slots
        self._on_renewed()

    def _measure(self, measured_slot: int, slot: int) -> None:
        """One measurement; what follows from it happens in ``slot``."""
        channel = self._channel
        assert channel is not None
        channel.renew_gains(measured_slot)
        now_s = measured_slot * self._slot_ns / NS_PER_S
        moves = self._event.measure(channel.gain_db, channel.serving, now_s) if self._event else []
        channel.renew_links()
        sinr_db = self._sinr_db(slot)
        failed = self._monitor.measure(sinr_db, now_s)
        for device, cell in moves:
            if not self._is_out[device]:
                self._hand_over(device, cell, measured_slot, slot)
        for device in failed.tolist():
            self._monitor.restart(device)
            if self._is_out[device]:
                continue
            if self._is_released(device):
                self._lose(device, slot)
            else:
                self.fail(device, slot)
        for device in np.flatnonzero(self._is_out).tolist():
            self._seek(device, slot)
        if moves:
            channel.renew_links()

    def _is_released(self, device: int) -> bool:
        """Whether a device is out of RRC connected."""
        return self._states is not None and bool(self._states.released[device])

    def is_covered(self, device: int) -> bool:
        """Whether a device has a cell."""
        return not self._is_out[device]

    def _reselect(self) -> None:
        """After a pause: devices camp on their best cells."""
        channel = self._channel
        assert channel is not None
        channel.renew_gains(self._next_slot)
        best = channel.gain_db.argmax(axis=1)
        changed = np.flatnonzero(channel.serving != best).tolist()
        channel.serving[:] = best
        channel.renew_links()
        if self._event is not None:
            self._event.restart(channel.gain_db)
        for device in range(len(self._reachable)):
            self._monitor.restart(device)
        for device in changed:
            self._report_cell(device)

    def _sinr_db(self, slot: int) -> Array:
        """Mean SINR of the downlink of each device in its cell. [num_devices]."""
        assert self._channel is not None
        sinr_db = self._channel.mean_snr_db(Direction.DOWNLINK)
        if self._interference is not None:
            rows = np.arange(len(sinr_db))
            sinr_db -= 10 * np.log10(1 + self._interference.expected_over_noise(slot, rows).mean(axis=1))
        return sinr_db

    def next_needed(self) -> int | None:
        """Next measurement, where a device with messages waits for a cell and may still find one."""
        if self._channel is None or self._channel.is_static or not self._is_out.any():
            return None
        out = np.flatnonzero(self._is_out).tolist()
        waits = any(mac.has_messages(device) for mac in self._macs for device in out)
        return self._next_slot if waits else None

    # -- changes ------------------------------------------------------------------------------------------------------

    def _hand_over(self, device: int, cell: int, measured_slot: int, slot: int) -> None:
        assert self._channel is not None and self._event is not None
        old = int(self._channel.serving[device])
        if self._is_released(device):
            # Cell reselection (TS 38.304 5.2.4), which nobody waits for.
            self._channel.serving[device] = cell
            self._event.moved(device)
            self._monitor.restart(device)
            return
        self.counters.handover(device, old, cell, measured_slot * self._slot_ns)
        self._block(device, slot)
        self._channel.serving[device] = cell
        self._report_cell(device)
        self._event.moved(device)
        self._monitor.restart(device)
        self._resume_after(device, slot, self._settings.handover_interruption_s)

    def _report_cell(self, device: int) -> None:
        if self.on_cell_change is not None and self._channel is not None:
            self.on_cell_change(device, int(self._channel.serving[device]))

    def fail(self, device: int, slot: int) -> None:
        """A radio link has failed: by its SINR, or because the RLC has sent the same bytes too often."""
        self.counters.failures[device] += 1
        self._failures[device] += 1
        self._lose(device, slot)
        if self._failures[device] <= _FAILURES_IN_A_ROW:
            self._seek(device, slot)

    def access_failed(self, device: int, slot: int) -> None:
        """Random access has failed, a radio link failure (TS 38.331 5.3.10.3): who has waited too long fails.

        The rest has a new attempt after a re-establishment, or waits as out of coverage.
        """
        assert self._states is not None
        self._states.access_failed(device, slot)
        self.counters.failures[device] += 1
        self._drop(device, slot)
        self._lose(device, slot)
        self._seek(device, slot)

    def delivered(self, device: int) -> None:
        """A message of a device has arrived: its link carries something."""
        self._failures[device] = 0

    def _lose(self, device: int, slot: int) -> None:
        """A device is without a cell."""
        if self._is_released(device):
            self._since_ns[device] = slot * self._slot_ns
        self._block(device, slot)
        self._is_out[device] = True
        self._callbacks.schedule(slot + self._slots(self._timeout_ns), self._expire, device)

    def _seek(self, device: int, slot: int) -> None:
        """A device without a cell takes the strongest one, if that is strong enough."""
        channel = self._channel
        if channel is not None:
            best = int(channel.gain_db[device].argmax()) if channel.fixed_snr_db is None else 0
            if best != channel.serving[device]:
                channel.serving[device] = best
                channel.renew_links()
                self._report_cell(device)
            if self._sinr_db(slot)[device] < self._settings.rlf_in_db:
                return
            if self._event is not None:
                self._event.restart(channel.gain_db, np.array([device]))
        self._is_out[device] = False
        self._resume_after(device, slot, self._settings.reestablishment_s)

    def _block(self, device: int, slot: int) -> None:
        """Flush what is in flight; nothing is granted until ``_resume``."""
        if self._reachable[device]:
            self._reachable[device] = False
            self._since_ns[device] = slot * self._slot_ns
            for mac in self._macs:
                mac.flush(device, slot)

    def _resume_after(self, device: int, slot: int, delay_s: float) -> None:
        if delay_s:
            self._callbacks.schedule(slot + self._slots(to_ns(delay_s)), self._resume, device)
        else:
            self._resume(device, slot)

    def _resume(self, device: int, slot: int) -> None:
        if self._is_out[device] or self._reachable[device]:
            return
        if self._states is not None and self._is_released(device):
            self._states.cell_found(device, slot)
            return
        self._reachable[device] = True
        start_ns, end_ns = int(self._since_ns[device]), slot * self._slot_ns
        self.counters.interrupted(device, start_ns, end_ns)
        for mac in self._macs:
            mac.count_interruption(device, start_ns, end_ns)
            mac.resume(device, slot)

    def figures(self, now_ns: int, num_devices: int) -> dict[str, float]:
        """Figures of the first devices by name; a time without a radio link that has not ended counts until now."""
        is_lost = ~self._reachable
        if self._states is not None:
            is_lost &= ~self._states.released
        return self.counters.figures(now_ns, num_devices, np.where(is_lost, self._since_ns, np.inf))

    # -- messages without a link --------------------------------------------------------------------------------------

    def waits(self, device: int, slot: int, is_counted: bool = True) -> None:
        """A message has been sent by or to a device that may be out of coverage."""
        if self._is_out[device]:
            self.counters.num_waited += is_counted
            self._callbacks.schedule(slot + self._slots(self._timeout_ns), self._expire, device)

    def _expire(self, device: int, slot: int) -> None:
        """Messages that have waited too long fail."""
        now_ns = slot * self._slot_ns
        if not self._is_out[device] or now_ns - self._since_ns[device] < self._timeout_ns:
            return
        self._drop(device, slot)
        self._failures[device] = 0
        if self._channel is None or self._channel.is_static:
            # Nothing will change, but the next message may try again.
            self._seek(device, slot)

    def _drop(self, device: int, slot: int) -> None:
        """Let messages fail that have waited for the longest time."""
        for mac in self._macs:
            dropped = mac.drop(device, slot * self._slot_ns - self._timeout_ns)
            self.counters.num_failed_messages += dropped

    def _slots(self, duration_ns: int) -> int:
        return -(-duration_ns // self._slot_ns)
