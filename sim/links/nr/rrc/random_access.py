"""Four-step contention-based random access of all cells, message by message (TS 38.321 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from channels.addressed import generator, uniforms
from channels.nr import numerology_of
from sim.core.clock import NS_PER_S, to_ns
from sim.links.base import Direction
from sim.links.nr.mac.modems import Modems
from sim.links.nr.mac.pdcch import ControlChannel
from sim.links.nr.mac.slot_callbacks import SlotCallbacks
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.rrc.state_settings import StateSettings

Indices = npt.NDArray[np.int64]
_FRAME_NS = 10_000_000
_COMMON_CCE = 4
"""Smallest aggregation level of a common search space (TS 38.213 Table 10.1-1)."""
_MSG3_EXTRA_SLOTS = (2, 3, 4, 6)
"""Slots that message 3 comes later than K2 says, by numerology (TS 38.214 Table 6.1.2.1.1-5)."""


class RandomAccess:
    """Preamble, response, message 3, contention resolution.

    A device sends a preamble, drawn evenly, in its cell's next occasion. The base station hears it, cannot tell how
    many devices have sent it, and answers in the first downlink slot after its decision time. All who have sent it then
    send message 3 in the same slot and on the same PRBs. A lone one is answered by message 4. Of several none is
    decoded: their contention timers end, and after a backoff they draw again, until they have sent so many preambles
    that random access has failed.

    Args:
        settings: Keys of connection states.
        carrier: The carrier.
        seed: Master seed.
        serving: Cell of each device, renewed in place, [num_devices].
        num_cells: Cells.
        callbacks: What is to be done in later slots.
        pdcch: Pays for responses and messages 4.
        modems: Pays for preambles and messages 3.
        on_success: Told of a device and the slot of its message 4.
        on_failure: Told of a device and the slot in which its random access has failed.

    Attributes:
        sent, collided, failed: Preambles that each device has sent, those of them that another had too, and random
            accesses that ended without success, [num_devices].
        received: Preambles that each cell has received from devices, several at once counted as one, [num_cells].

    Notes: every preamble is detected (no power ramping), responses come within their window, and messages 2 to 4 are
    lost by collision only. Grants of random access take their share of the control channel; its PRBs are not taken off
    the grid.
    """

    def __init__(
        self,
        settings: StateSettings,
        carrier: Carrier,
        seed: int,
        serving: Indices,
        num_cells: int,
        callbacks: SlotCallbacks,
        pdcch: ControlChannel,
        modems: Modems,
        on_success: Callable[[int, int], None],
        on_failure: Callable[[int, int], None],
    ) -> None:
        self._settings, self._carrier, self._seed, self._serving = settings, carrier, seed, serving
        self._callbacks, self._pdcch, self._modems = callbacks, pdcch, modems
        self._on_success, self._on_failure = on_success, on_failure
        self._period_slots = settings.prach_period_frames * _FRAME_NS // carrier.slot_ns
        self._timer_slots = -(-to_ns(settings.contention_timer_s) // carrier.slot_ns)
        self._msg3_slots = carrier.k2 + carrier.units_per_slot * _MSG3_EXTRA_SLOTS[numerology_of(carrier.scs_khz)]
        self._waiting: dict[int, list[int]] = {}
        self._tries = np.zeros(len(serving), dtype=np.int64)
        self._per_occasion = settings.background_preambles_per_s * settings.prach_period_frames * _FRAME_NS / NS_PER_S
        self.sent, self.collided, self.failed = np.zeros((3, len(serving)), dtype=np.int64)
        self.received = np.zeros(num_cells, dtype=np.int64)
        self._before = np.zeros((3, len(serving)), dtype=np.int64)

    def next_occasion(self, slot: int) -> int:
        """First random access occasion from a slot on: the first uplink slot of its period."""
        period = slot // self._period_slots
        found = self._carrier.next_data(Direction.UPLINK, period * self._period_slots)
        if found >= slot:
            return found
        return self._carrier.next_data(Direction.UPLINK, (period + 1) * self._period_slots)

    def start(self, device: int, slot: int) -> None:
        """A device wants access, from a slot on."""
        self._tries[device] = 0
        self._await_occasion(device, slot)

    def _await_occasion(self, device: int, slot: int) -> None:
        occasion = self.next_occasion(slot)
        waiting = self._waiting.get(occasion)
        if waiting is None:
            waiting = self._waiting[occasion] = []
            self._callbacks.schedule(occasion, self._preambles, waiting)
        waiting.append(device)

    def _draws(self, device: int) -> tuple[float, float]:
        """Of a device's next preamble: which, and how long the backoff after it."""
        row = uniforms(self._seed, "random access", int(self.sent[device]), entities=[device], count=2)[0]
        return float(row[0]), float(row[1])

    def _preambles(self, devices: list[int], slot: int) -> None:
        """Message 1 of all devices that have waited for this occasion."""
        del self._waiting[slot]
        chosen: dict[tuple[int, int], list[int]] = {}
        backoffs: dict[int, float] = {}
        for device in devices:
            which, backoffs[device] = self._draws(device)
            key = int(self._serving[device]), int(which * self._settings.num_preambles)
            chosen.setdefault(key, []).append(device)
        self._modems.on_random_access(devices)
        others = self._others(slot)
        for (cell, preamble), senders in chosen.items():
            self.received[cell] += 1
            self.sent[senders] += 1
            self._tries[senders] += 1
            is_alone = len(senders) == 1 and preamble not in others.get(cell, ())
            if not is_alone:
                self.collided[senders] += 1
            self._respond(cell, senders, is_alone, slot, backoffs)

    def _others(self, slot: int) -> dict[int, set[int]]:
        """Preambles that background users send in an occasion, by cell."""
        if not self._per_occasion:
            return {}
        rng = generator(self._seed, "background preambles", slot)
        counts = rng.poisson(self._per_occasion, len(self.received)).tolist()
        return {cell: set(rng.integers(0, self._settings.num_preambles, count)) for cell, count in enumerate(counts)}

    def _respond(
        self, cell: int, senders: Sequence[int], is_alone: bool, slot: int, backoffs: dict[int, float]
    ) -> None:
        """Message 2, and what follows from it."""
        carrier = self._carrier
        response = self._next_control(slot + 1 + carrier.decision_slots)
        self._callbacks.schedule(response, self._announce, cell)
        msg3 = carrier.next_data(Direction.UPLINK, response + self._msg3_slots)
        self._callbacks.schedule(msg3, self._messages_3, senders)
        if is_alone:
            msg4 = self._next_control(msg3 + 1 + carrier.decision_slots)
            self._callbacks.schedule(msg4, self._announce, cell)
            self._callbacks.schedule(msg4, self._resolved, senders[0])
            return
        for device in senders:
            self._again_after(device, msg3 + self._timer_slots, backoffs[device])

    def _next_control(self, slot: int) -> int:
        """First slot >= ``slot`` with a downlink control channel."""
        while not self._carrier.pattern.carries_downlink_control(slot):
            slot += 1
        return slot

    def _announce(self, cell: int, slot: int) -> None:  # noqa: ARG002
        self._pdcch.spend_on_common(cell, _COMMON_CCE)

    def _messages_3(self, senders: list[int], slot: int) -> None:  # noqa: ARG002
        self._modems.on_random_access(senders)

    def _resolved(self, device: int, slot: int) -> None:
        self._on_success(device, slot)

    def _again_after(self, device: int, slot: int, backoff: float) -> None:
        """Another preamble once a timer has ended and the backoff is over, if there may be another."""
        if self._tries[device] >= self._settings.max_preamble_transmissions:
            self._callbacks.schedule(slot + 1, self._failed, device)
            return
        wait_slots = int(backoff * to_ns(self._settings.ra_backoff_s)) // self._carrier.slot_ns
        self._callbacks.schedule(slot + 1 + wait_slots, self._retry, device)

    def _retry(self, device: int, slot: int) -> None:
        self._await_occasion(device, slot + 1)

    def _failed(self, device: int, slot: int) -> None:
        """A random access problem (TS 38.321 5.1.4, 5.1.5)."""
        self.failed[device] += 1
        self._on_failure(device, slot)

    def restart(self) -> None:
        """Figures count from now on; draws go on where they are."""
        self._before = np.stack((self.sent, self.collided, self.failed))

    def figures(self, num_devices: int) -> dict[str, float]:
        """Figures of the first devices by name."""
        counts = np.stack((self.sent, self.collided, self.failed)) - self._before
        sent, collided, failed = (float(row.sum()) for row in counts[:, :num_devices])
        return {
            "preambles": sent,
            "preamble_collision_share": collided / sent if sent else float("nan"),
            "random_access_failures": failed,
        }
