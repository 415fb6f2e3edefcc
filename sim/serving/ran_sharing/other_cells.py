"""Cells on the GPU that are not simulated: how many have data in each slot, by chance and by the time of day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channels.addressed import generator
from sim.core.clock import NS_PER_S
from sim.serving.ran_sharing.load_profiles import profile_factors

if TYPE_CHECKING:
    from sim.serving.ran_sharing.settings import RanSharingSettings

Floats = npt.NDArray[np.float64]

# Slots whose numbers are drawn together; a slot's number depends on the slot alone, not on the order of queries.
BLOCK_SLOTS = 4096


class OtherCells:
    """Layer-1 work of the cells that are not simulated.

    In each slot each of them has data with a probability, independently, and then fills a share of the slot; one of the
    two follows the time of day.

    Args:
        settings: Keys of ``ran_sharing``.
        slot_ns: Duration of a slot.
        seed: Master seed.
        site: Number of the edge site whose GPU they are on.

    Attributes:
        count: Cells.
        is_constant: Whether they do the same in every slot.
    """

    def __init__(self, settings: RanSharingSettings, slot_ns: int, seed: int, site: int = 0) -> None:
        self.count, self._load = settings.other_cells, settings.other_load
        self._slot_ns, self._seed = slot_ns, seed
        self._site = (site,) if site else ()
        self._active = settings.other_active_share
        profile = settings.other_profile
        self._factors = np.ones(1) if profile is None else np.array(profile_factors(profile))
        self._is_load = settings.other_profile_scales == "load"
        self._day_ns, self._begins_ns = settings.day_s * NS_PER_S, settings.day_begins_s * NS_PER_S
        self.is_constant = self.count * self._load == 0 or (self._active == 1 and bool((self._factors == 1).all()))
        self._block = -1
        self._cells: Floats = np.zeros(0)

    def full_cells(self, first: int, end: int) -> Floats:
        """What they do in each slot of ``[first, end)``, in full cells, [end - first]."""
        if self.is_constant:
            return np.full(max(0, end - first), self.count * self._load)
        parts = []
        for block in range(first // BLOCK_SLOTS, -(-end // BLOCK_SLOTS)):
            start = block * BLOCK_SLOTS
            parts.append(self._of_block(block)[max(first - start, 0) : end - start])
        return np.concatenate(parts) if parts else np.zeros(0)

    def at(self, slot: int) -> float:
        """What they do in a slot, in full cells."""
        if self.is_constant:
            return self.count * self._load
        return float(self._of_block(slot // BLOCK_SLOTS)[slot % BLOCK_SLOTS])

    def _of_block(self, block: int) -> Floats:
        if block != self._block:
            slots = block * BLOCK_SLOTS + np.arange(BLOCK_SLOTS, dtype=np.int64)
            times_ns = (slots * self._slot_ns + self._begins_ns) % self._day_ns
            places = times_ns / self._day_ns * len(self._factors)
            factors = self._factors[places.astype(np.int64)]
            active, load = (1.0, factors) if self._is_load else (factors, np.ones(BLOCK_SLOTS))
            rng = generator(self._seed, "layer 1 of other cells", block, *self._site)
            numbers = rng.binomial(self.count, np.broadcast_to(self._active * active, BLOCK_SLOTS))
            self._block, self._cells = block, numbers * self._load * load
        return self._cells
