"""Devices that may get new blocks in a slot: what they need, and which PRB groups their reports hold for good."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from sim.links.nr.mac.schedulers.base import Array, Indices

_FEW = 16
"""Candidates up to which their places are told apart faster as numbers than as arrays."""


@dataclass(slots=True)
class Candidates:
    """Devices that may get a new block in a slot, of all cells or of one.

    Attributes:
        devices: Rising within each cell, [num_queues].
        needed: PRBs that their backlogs need, [num_queues].
        quality: Reported quality of each PRB group, [num_queues, num_groups].
    """

    devices: Indices
    needed: Indices
    quality: Array

    def __len__(self) -> int:
        return len(self.devices)

    def by_cell(self, serving: Indices, num_cells: int) -> dict[int, Candidates]:
        """Those of each cell that has any; serving is the cell of each device, [num_devices]."""
        if not len(self):
            return {}
        if num_cells == 1:
            return {0: self}
        cells = serving.take(self.devices)
        order = cells.argsort(kind="stable")
        devices, needed, quality = self.devices.take(order), self.needed.take(order), self.quality.take(order, axis=0)
        sorted_cells = cells.take(order).tolist()
        starts = [place for place, cell in enumerate(sorted_cells) if not place or cell != sorted_cells[place - 1]]
        return {
            sorted_cells[start]: Candidates(devices[start:end], needed[start:end], quality[start:end])
            for start, end in zip(starts, [*starts[1:], len(order)], strict=True)
        }

    def parted(self, chosen: Collection[int]) -> tuple[Candidates, Candidates]:
        """Those among some devices, and the others."""
        if len(self) <= _FEW:
            inside: list[int] = []
            outside: list[int] = []
            for place, device in enumerate(self.devices.tolist()):
                (inside if device in chosen else outside).append(place)
            if not outside:
                return self, self._first(0)
            return (self._taken(inside), self._taken(outside)) if inside else (self._first(0), self)
        if len(self) < len(chosen):
            rows = np.array([device in chosen for device in self.devices.tolist()])
        else:
            rows = np.zeros(len(self), dtype=bool)
            for device in chosen:
                place = self.devices.searchsorted(device)
                if place < len(rows) and self.devices[place] == device:
                    rows[place] = True
        count = np.count_nonzero(rows)
        if count == len(rows):
            return self, self._first(0)
        if not count:
            return self._first(0), self
        return self._at(rows), self._at(~rows)

    def without(self, chosen: Collection[int]) -> Candidates:
        """Those that are not among some devices."""
        return self.parted(chosen)[1]

    def joined(self, others: Candidates) -> Candidates:
        """These and others of the same cell, in order."""
        if not len(others):
            return self
        order = np.concatenate([self.devices, others.devices]).argsort(kind="stable")
        return Candidates(
            np.concatenate([self.devices, others.devices])[order],
            np.concatenate([self.needed, others.needed])[order],
            np.concatenate([self.quality, others.quality])[order],
        )

    def _first(self, count: int) -> Candidates:
        return Candidates(self.devices[:count], self.needed[:count], self.quality[:count])

    def _taken(self, places: list[int]) -> Candidates:
        return Candidates(self.devices.take(places), self.needed.take(places), self.quality.take(places, axis=0))

    def _at(self, rows: np.typing.NDArray[np.bool_]) -> Candidates:
        return Candidates(self.devices[rows], self.needed[rows], self.quality[rows])
