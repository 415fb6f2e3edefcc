"""How many PRBs a device's backlog is worth: by its reported channel and by its power headroom."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np
import numpy.typing as npt

from sim.links.nr.carrier_settings import MIN_BLOCK_BYTES
from sim.links.nr.mac.power_sharing import spread_gains
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.small_scale import are_many

Indices = npt.NDArray[np.int64]
_NUM_WIDTHS = 12


@cache
def kernels() -> ModuleType:
    """`report_kernels`, imported when it is first needed."""
    from sim.links.nr.mac import report_kernels

    return report_kernels


class GrantWidths:
    """Widths of grants by what waits.

    Within its power headroom (TS 38.213 7.7.1) a device's SINR per PRB does not depend on the width, and a block's size
    follows from the table at one MCS. Beyond it the power is spread thinner, the MCS falls, and each further PRB brings
    less; the sizes there are kept for some widths, and found when a backlog first asks for them: most never do.

    Args:
        carrier: The carrier.
        num_devices: Devices of all cells.
        mcs: MCS to begin with.
        spread_mcs: MCS of devices by width, [num_rows] to [num_rows, num_widths], read beyond the headroom only; the
            same at all widths if left out.

    Attributes:
        mcs: MCS of each device over the whole carrier at its headroom's width, [num_devices].
        headroom_prb: PRBs up to which a device's power meets the target of its power control, [num_devices].
        max_prb: PRBs beyond which it would not carry the lowest MCS, [num_devices].
        headroom_bytes: Block of a full slot at ``mcs`` and ``headroom_prb``, [num_devices].
        smallest_prb: PRBs of the smallest useful grant of each device, [num_devices].
        spread_gains: What PRBs beyond the headroom bring, see `power_sharing`.
        gain_row: Row of it of each device, [num_devices].
        grid: Widths for which sizes beyond the headroom are kept, [num_widths].
    """

    def __init__(
        self,
        carrier: Carrier,
        num_devices: int,
        mcs: int,
        spread_mcs: Callable[[Indices], Indices] | None = None,
    ) -> None:
        self._carrier, self._spread_mcs = carrier, spread_mcs
        self._sizes = carrier.block_bytes(carrier.symbols)
        self._is_compiled = are_many(num_devices)
        self.mcs = np.full(num_devices, mcs, dtype=np.int64)
        self.headroom_prb = np.full(num_devices, carrier.num_prb, dtype=np.int64)
        self.max_prb = self.headroom_prb.copy()
        self.grid: Indices = np.unique(np.geomspace(1, carrier.num_prb, _NUM_WIDTHS).round().astype(np.int64))
        self._beyond = np.zeros((num_devices, len(self.grid)), dtype=np.int64)
        # Which devices' rows of it are still to be found; until then the largest block is no more than that of any MCS.
        self._is_open = np.zeros(num_devices, dtype=bool)
        self._max_bytes = self._sizes.max(axis=0)
        # PRBs of the smallest useful grant within the headroom, [num_mcs].
        self._min_prb = (self._sizes < MIN_BLOCK_BYTES).sum(axis=1)
        self.headroom_bytes = self._sizes[self.mcs, self.headroom_prb]
        self._full_bytes = self.headroom_bytes.copy()
        self.smallest_prb = np.ones(num_devices, dtype=np.int64)
        self.spread_gains = spread_gains(float(np.inf))
        self.gain_row = np.zeros(num_devices, dtype=np.int64)
        self._renew_sizes(np.arange(num_devices))

    def use_compiled_code(self) -> None:
        """Go on with compiled code, to the same PRBs."""
        self._is_compiled = True

    def set_power(self, headroom_prb: Indices, max_prb: Indices) -> None:
        """Renew what the devices' power allows."""
        self.max_prb = max_prb
        self.headroom_prb = np.clip(headroom_prb, 1, max_prb)
        self._is_open[:] = False
        self._renew_sizes(np.arange(len(max_prb)))

    def set_mcs(self, rows: Indices, mcs: Indices) -> None:
        """Renew the MCS at the headroom's width of some devices, whose channels are known anew.

        Args:
            rows: Devices, [num_rows].
            mcs: [num_rows].
        """
        if self._is_compiled:
            power, found = (self.headroom_prb, self.max_prb), (self.headroom_bytes, self._full_bytes, self.smallest_prb)
            tables = self._sizes, self._max_bytes, self._min_prb
            if kernels().renew_widths(rows, mcs, *tables, power, self.mcs, found, self._is_open, MIN_BLOCK_BYTES):
                self._renew_smallest(rows)
        else:
            self._is_open[rows] = True
            self.mcs[rows] = mcs
            self._renew_sizes(rows)

    def full_bytes(self, devices: Indices) -> Indices:
        """Largest block of a full slot on any width up to ``max_prb``. [num_devices]."""
        self._find_beyond(devices)
        return self._full_bytes[devices]

    def _renew_sizes(self, rows: Indices) -> None:
        headroom, widest = self.headroom_prb[rows], self.max_prb[rows]
        self.headroom_bytes[rows] = own = self._sizes[self.mcs[rows], headroom]
        self._full_bytes[rows] = np.where(headroom < widest, self._max_bytes[widest], own)
        self.smallest_prb[rows] = np.minimum(self._min_prb.take(self.mcs[rows]), widest)
        self._renew_smallest(rows)

    def _renew_smallest(self, rows: Indices) -> None:
        """The smallest useful grant of devices that need more than their headroom for it."""
        beyond = rows[self.headroom_bytes.take(rows) < MIN_BLOCK_BYTES]
        if len(beyond):
            min_bytes = np.full(len(beyond), MIN_BLOCK_BYTES)
            self.smallest_prb[beyond] = self.needed(beyond, min_bytes, self._carrier.symbols)

    def _find_beyond(self, devices: Indices) -> None:
        """Find the sizes beyond the headroom of those devices whose are not known."""
        rows = devices[self._is_open[devices] & (self.headroom_prb[devices] < self.max_prb[devices])]
        if not len(rows):
            return
        self._is_open[rows] = False
        mcs = self.mcs[rows, None] if self._spread_mcs is None else self._spread_mcs(rows)
        self._beyond[rows] = found = np.maximum.accumulate(self._sizes[mcs, self.grid], axis=1)
        last = np.searchsorted(self.grid, self.max_prb[rows], side="right") - 1
        self._full_bytes[rows] = np.maximum(self.headroom_bytes[rows], found[np.arange(len(rows)), last])

    def needed(self, devices: Indices, want_bytes: Indices, num_symbols: int) -> Indices:
        """PRBs that so many bytes need in a slot of so many symbols, at most ``max_prb``. [num_devices]."""
        if not self._is_compiled:
            return self._needed(devices, want_bytes, num_symbols)
        found = np.empty(len(devices), dtype=np.int64)
        sizes, bytes_of = self._carrier.block_bytes(num_symbols), (self.headroom_bytes, self._full_bytes)
        if kernels().needed_prb(devices, want_bytes, sizes, self.mcs, self.max_prb, bytes_of, found):
            wide = (found < 0).nonzero()[0]
            found[wide] = self._needed(devices[wide], want_bytes[wide], num_symbols)
        return found

    def _needed(self, devices: Indices, want_bytes: Indices, num_symbols: int) -> Indices:
        """`needed` by NumPy."""
        needed = self.max_prb.take(devices)
        # Blocks of a full slot are the largest: who wants more needs all PRBs in any slot.
        fits = want_bytes <= self._full_bytes.take(devices)
        if not np.logical_or.reduce(fits):
            return needed
        within = want_bytes <= self.headroom_bytes.take(devices)
        small = within.nonzero()[0]
        if len(small):
            sizes = self._carrier.block_bytes(num_symbols)
            enough = (sizes[self.mcs[devices[small]]] < want_bytes[small, None]).sum(axis=1)
            needed[small] = np.minimum(enough, needed[small])
        wide = (fits & ~within).nonzero()[0]
        if len(wide):
            wide = wide[want_bytes[wide] <= self.full_bytes(devices[wide])]
        if len(wide):
            whole_slot = want_bytes[wide] * self._carrier.symbols // num_symbols
            step = (self._beyond[devices[wide]] < whole_slot[:, None]).sum(axis=1)
            width = self.grid[np.minimum(step, len(self.grid) - 1)]
            needed[wide] = np.clip(width, self.headroom_prb[devices[wide]], needed[wide])
        return needed
