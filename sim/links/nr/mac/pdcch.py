"""The downlink control channel: how many grants a slot can announce, by control channel elements (TS 38.211 7.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from sim.links.base import Direction

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_REG_PER_CCE = 6
_LEVELS = (1, 2, 4, 8, 16)
_RE_PER_CCE = 54
"""Resource elements of a CCE without its DMRS: 6 resource element groups of 12, a quarter of them DMRS."""
_DCI_BITS = 64
"""Bits of a grant with its 24-bit CRC: DCI formats 0_1 and 1_1 with few optional fields."""
_MARGIN_DB = 4.0
"""Over the Shannon limit of QPSK: loss of a short polar code, and fading at a miss rate of about 1 %."""
_UNLIMITED = 1 << 30


def num_cce(num_prb: int, num_symbols: int) -> int:
    """Control channel elements of a CORESET over the carrier (TS 38.211 7.3.2.2).

    It is allocated in blocks of six PRBs (TS 38.331 ControlResourceSet); a CCE is six resource element groups, each one
    PRB in one symbol.

    >>> num_cce(51, 1), num_cce(106, 2), num_cce(273, 1)
    (8, 34, 45)
    """
    return num_prb // _REG_PER_CCE * num_symbols


def level_thresholds_db() -> Array:
    """Lowest SNR of aggregation levels 1, 2, 4, 8, 16: 2^(bits / elements) - 1, and a margin. [5]."""
    efficiency = _DCI_BITS / (_RE_PER_CCE * np.array(_LEVELS))
    return np.asarray(10 * np.log10(2**efficiency - 1) + _MARGIN_DB)


def aggregation_levels(snr_db: Array, available: int) -> Indices:
    """CCEs that a grant to each device takes, at most as many as the CORESET has. [num_devices]."""
    rising_db, levels = _steps(available)
    # As many thresholds as the SNR reaches.
    value: Indices = levels.take(rising_db.searchsorted(snr_db, side="right"))
    return value


@cache
def _steps(available: int) -> tuple[Array, Indices]:
    """Thresholds, rising, [5], and the levels below, between and above them, as a CORESET has them, [6]."""
    largest = max((level for level in _LEVELS if level <= available), default=1)
    return level_thresholds_db()[::-1].copy(), np.minimum(np.array([*_LEVELS, _LEVELS[-1]]), largest)[::-1].copy()


class GrantBudget:
    """What a cell can still announce for one direction in one slot.

    Args:
        channel: The cells' control channel.
        cell: Whose.
        max_grants: Grants at most.
        max_cce: CCEs at most.

    Attributes:
        grants_left, cce_left: What is left.
    """

    __slots__ = ("_cell", "_channel", "cce_left", "grants_left")

    def __init__(self, channel: ControlChannel, cell: int, max_grants: int, max_cce: int) -> None:
        self._channel, self._cell = channel, cell
        self.grants_left, self.cce_left = max_grants, max_cce

    def fits(self, cost: int) -> bool:
        """Whether one more grant can be announced that takes so many CCEs."""
        return self.grants_left > 0 and cost <= self.cce_left

    def fits_all(self, costs: Sequence[int]) -> bool:
        """Whether grants of all these costs can be announced."""
        return len(costs) <= self.grants_left and sum(costs) <= self.cce_left

    def take(self, cost: int) -> None:
        """Announce one."""
        self.grants_left -= 1
        self.cce_left -= cost
        self._channel.spend(self._cell, cost)


class ControlChannel:
    """CCEs of all cells, shared by the grants of both directions that a slot announces.

    Args:
        num_prb: PRBs of the carrier.
        num_symbols: Symbols of the CORESET; 0 leaves control unmodelled, and grants are limited in number only.
        num_devices, num_cells: Of all cells.
        max_grants: Grants per slot, cell and direction.

    Attributes:
        costs: CCEs of a grant to each device: its aggregation level, [num_devices]; ``cost_row`` has them as an array.

    Aggregation levels follow the mean SNR of the downlink, or a SINR that changes with what other cells send: then they
    are renewed once a period, for devices that may get a grant (``refresh``).

    Notes: every device can be reached on any free CCEs (no search-space blocking), and none misses its grant.
    """

    def __init__(self, num_prb: int, num_symbols: int, num_devices: int, num_cells: int, max_grants: int) -> None:
        self.num_cce = num_cce(num_prb, num_symbols) if num_symbols else _UNLIMITED
        self._max_grants = max_grants
        self.costs: list[int] = [1] * num_devices
        self.cost_row = np.ones(num_devices, dtype=np.int64)
        self._used, self._common = [0] * num_cells, [0] * num_cells
        self._reserved = 0
        self._sinr_db: Callable[[Indices, int], Array] | None = None
        self._period_slots = 1
        # Period in which each device's level was found last.
        self._renewed = np.full(num_devices, -1, dtype=np.int64)

    def follow(self, sinr_db: Callable[[Indices, int], Array], period_slots: int) -> None:
        """Let levels follow a SINR of the downlink.

        Args:
            sinr_db: That of devices [num_rows] in a slot, [num_rows].
            period_slots: How long a level is kept.
        """
        self._sinr_db, self._period_slots = sinr_db, period_slots

    def refresh(self, devices: Indices, slot: int) -> None:
        """Renew the levels of devices whose period is over, before they are given a grant."""
        if self._sinr_db is None:
            return
        period = slot // self._period_slots
        stale = devices[self._renewed[devices] != period]
        if not len(stale):
            return
        levels = aggregation_levels(self._sinr_db(stale, slot), self.num_cce)
        self._renewed[stale], self.cost_row[stale] = period, levels
        for device, level in zip(stale.tolist(), levels.tolist(), strict=True):
            self.costs[device] = level

    def set_snr(self, snr_db: Array) -> None:
        """Renew the aggregation levels by the mean SNR of the downlink, [num_devices]."""
        if self._sinr_db is not None:
            # Interference is known when they are asked for.
            self._renewed[:] = -1
            return
        self.cost_row = aggregation_levels(snr_db, self.num_cce)
        self.costs = self.cost_row.tolist()

    def open(self, slot: int, downlink_share: float) -> None:
        """Begin a slot, in which the uplink decides first and leaves a share of the CCEs to the downlink.

        A share of a single CCE comes to the whole of it in every other slot.
        """
        self._reserved = int(self.num_cce * downlink_share + (0.5 if slot % 2 else 0.0))
        self._used, self._common = self._common, [0] * len(self._used)

    def budget(self, cell: int, direction: Direction) -> GrantBudget:
        """What a cell may announce in the open slot."""
        reserved = self._reserved if direction == Direction.UPLINK else 0
        return GrantBudget(self, cell, self._max_grants, self.num_cce - reserved - self._used[cell])

    def announce(self, cell: int, direction: Direction, cost: int) -> bool:
        """Announce the only grant of a cell and direction in the open slot, if it fits."""
        reserved = self._reserved if direction == Direction.UPLINK else 0
        fits = cost <= self.num_cce - reserved - self._used[cell]
        if fits:
            self._used[cell] += cost
        return fits

    def spend(self, cell: int, cost: int) -> None:
        """Take CCEs of the open slot."""
        self._used[cell] += cost

    def spend_on_common(self, cell: int, cost: int) -> None:
        """Take CCEs of the slot that is opened next, for what many devices listen to."""
        self._common[cell] = min(self.num_cce, self._common[cell] + cost)
