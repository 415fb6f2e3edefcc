"""Fading worked out for slots to come together with the one asked about: many slots at once take little longer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_MAX_SLOTS = 8
_MAX_PAUSE = 256
_MAX_ROWS = 128
"""Of all slots together. Beyond that a row costs as much among others as alone, and some will not be asked about."""


class GainsAhead:
    """Gains of devices that are asked about slot after slot.

    As long as questions come for one slot after the other, each block of slots that is worked out at once is twice as
    long as the one before it; what was worked out in vain halves the next. Where devices take turns, so that blocks
    lack some that are asked about, it is tried again after ever longer pauses.

    Args:
        evaluate: Gains in a slot of a device each, slots and devices [num_rows], to [num_rows, num_groups].
        following: The slot that will be asked about after a slot.
        num_devices: Devices of all cells.
    """

    def __init__(
        self, evaluate: Callable[[Indices, Indices], Array], following: Callable[[int], int], num_devices: int
    ) -> None:
        self._evaluate, self._following = evaluate, following
        self._length, self._next = 1, -1
        # Questions that are answered one by one after a block that lacked a device, and how many after the next one.
        self._waits, self._pause = 0, 1
        # Slots of the block, those of them that nobody has asked about yet, its devices, and those asked about since.
        self._places: dict[int, int] = {}
        self._unasked: set[int] = set()
        self._known: set[int] = set()
        self._asked: set[int] = set()
        self._rows = np.zeros(num_devices, dtype=np.int64)
        self._gains = np.empty((0, 0, 0))

    def of(self, slot: int, devices: Indices) -> Array:
        """Gains of some devices in a slot. [num_devices, num_groups]."""
        place = self._places.get(slot)
        if place is None:
            return self._begin(slot, devices)
        self._unasked.discard(slot)
        names = devices.tolist()
        self._asked.update(names)
        if not self._known.issuperset(names):
            return self._evaluate(np.full(len(devices), slot), devices)
        return np.asarray(self._gains[place].take(self._rows.take(devices), axis=0))

    def _begin(self, slot: int, devices: Indices) -> Array:
        """Work out a new block, of this slot and perhaps some more, for all devices asked about of late."""
        if self._waits:
            self._waits -= 1
            self._asked, self._next = set(devices.tolist()), self._following(slot)
            return self._evaluate(np.full(len(devices), slot), devices)
        if self._places and not self._unasked:
            self._pause = 1
        is_steady = slot == self._next and not self._unasked
        self._length = min(2 * self._length, _MAX_SLOTS) if is_steady else max(1, self._length // 2)
        self._known = self._asked.union(devices.tolist())
        names = sorted(self._known)
        self._asked = set(devices.tolist())
        slots = [slot]
        while len(slots) < min(self._length, _MAX_ROWS // max(1, len(names))):
            slots.append(self._following(slots[-1]))
        self._next = self._following(slots[-1])
        self._places, self._unasked = {at: place for place, at in enumerate(slots)}, set(slots[1:])
        if len(slots) == 1:
            self._places.clear()
            return self._evaluate(np.full(len(devices), slot), devices)
        self._rows[names] = np.arange(len(names))
        gains = self._evaluate(np.repeat(slots, len(names)), np.tile(np.array(names), len(slots)))
        self._gains = gains.reshape(len(slots), len(names), -1)
        return np.asarray(self._gains[0].take(self._rows.take(devices), axis=0))


class GainsWithNext:
    """Gains of devices that take turns, with those of the devices that are known to be next.

    Args:
        evaluate: As for `GainsAhead`.
    """

    def __init__(self, evaluate: Callable[[Indices, Indices], Array]) -> None:
        self._evaluate = evaluate
        # Slot and devices that will be asked about, and those whose gains are known.
        self._expected: tuple[int, list[int]] | None = None
        self._known: tuple[int, list[int], Array] | None = None

    def expect(self, slot: int, devices: list[int]) -> None:
        """The next question will probably be followed by one about these devices in a later slot."""
        self._expected = slot, devices

    def clear(self) -> None:
        """Forget what has been worked out: fading is another from now on."""
        self._known = None

    def of(self, slot: int, devices: Indices) -> Array:
        """Gains of some devices in a slot. [num_devices, num_groups]."""
        known, self._known = self._known, None
        if known is not None and known[0] == slot and known[1] == devices.tolist():
            self._expected = None
            return known[2]
        expected, self._expected = self._expected, None
        if expected is None:
            return self._evaluate(np.full(len(devices), slot), devices)
        later, names = expected
        count = len(devices)
        slots = np.full(count + len(names), later)
        slots[:count] = slot
        gains = self._evaluate(slots, np.concatenate([devices, np.array(names)]))
        self._known = later, names, gains[count:]
        return gains[:count]
