"""Cells that are simulated elsewhere: what they have sent, slot by slot, and what a world keeps for them of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Activity:
    """One direction of cells, by slot.

    Attributes:
        slots: Slots in which anything was sent, ascending, [num_slots].
        values: Downlink: share of each PRB group that a cell used. Uplink: power per PRB that arrived at a cell from
            devices of others, at mean gains [mW]. [num_slots, ..., num_groups].
        faded: Uplink: the same with the fading of the slot; None if it is all 1.
    """

    slots: Indices
    values: Values
    faded: Values | None = None

    def of(self, cell: int) -> Activity:
        """One cell's part, without slots in which it is 0."""
        own = self.values[:, cell]
        rows = np.flatnonzero(own.any(axis=1))
        return Activity(self.slots[rows], own[rows], None if self.faded is None else self.faded[rows, cell])


class ActivityLog:
    """Takes what is sent in one direction."""

    def __init__(self) -> None:
        self._slots: list[int] = []
        self._values: list[Values] = []
        self._faded: list[Values] = []

    def add(self, slot: int, values: npt.NDArray[np.float64], faded: npt.NDArray[np.float64] | None = None) -> None:
        """Note a slot; slots come in order, with fading or without, all of them."""
        self._slots.append(slot)
        self._values.append(values.astype(np.float32))
        if faded is not None:
            self._faded.append(faded.astype(np.float32))

    def activity(self, shape: tuple[int, ...]) -> Activity:
        """All of it; ``shape`` is that of one slot's values."""
        values = np.stack(self._values) if self._values else np.zeros((0, *shape), dtype=np.float32)
        faded = np.stack(self._faded) if self._faded else None
        return Activity(np.array(self._slots, dtype=np.int64), values, faded)


def stacked(parts: dict[int, list[Activity]], num_cells: int, num_groups: int) -> Activity:
    """Activities of several cells in one array, by cell; those of the same cell are added up.

    Args:
        parts: Activities of single cells, values [num_slots, num_groups].
        num_cells: Cells of the result.
        num_groups: PRB groups.
    """
    every = [one.slots for own in parts.values() for one in own]
    slots = np.unique(np.concatenate(every)) if every else np.zeros(0, dtype=np.int64)
    values = np.zeros((len(slots), num_cells, num_groups), dtype=np.float32)
    fades = any(one.faded is not None for own in parts.values() for one in own)
    faded = np.zeros_like(values) if fades else None
    for cell, own in parts.items():
        for one in own:
            rows = np.searchsorted(slots, one.slots)
            values[rows, cell] += one.values
            if faded is not None:
                faded[rows, cell] += one.values if one.faded is None else one.faded
    return Activity(slots, values, faded)


class Outside:
    """Replays the activity of cells that are simulated elsewhere.

    Args:
        activity: Values [num_slots, num_cells, num_groups].
    """

    def __init__(self, activity: Activity) -> None:
        self._values = activity.values
        self._faded = activity.values if activity.faded is None else activity.faded
        self._places = {slot: place for place, slot in enumerate(activity.slots.tolist())}
        self._slots: list[int] = activity.slots.tolist()
        self._taken = 0

    def at(self, slot: int) -> Values | None:
        """What is sent in a slot, [num_cells, num_groups]; None if nothing is."""
        place = self._places.get(slot)
        return None if place is None else self._values[place]

    def faded_at(self, slot: int) -> Values | None:
        """`at` with the fading of the slot."""
        place = self._places.get(slot)
        return None if place is None else self._faded[place]

    def before(self, slot: int) -> list[tuple[int, Values]]:
        """Slots before this one that have not been asked for like this, and what was sent in them."""
        first = self._taken
        while self._taken < len(self._slots) and self._slots[self._taken] < slot:
            self._taken += 1
        return [(self._slots[place], self._values[place]) for place in range(first, self._taken)]
