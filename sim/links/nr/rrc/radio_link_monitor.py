"""Radio link monitoring: out-of-synchronisation indications and T310 (TS 38.133 8.1, TS 38.331 5.3.10)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class RadioLinkMonitor:
    """Counters and timers of all devices.

    ``n310`` measurements below ``out_db`` in a row start T310, ``n311`` above ``in_db`` in a row stop it; a radio link
    fails when T310 ends.

    Args:
        num_devices: Of all cells.
        out_db, in_db: SINR thresholds Qout and Qin.
        n310, n311, t310_s: Of the clause.
    """

    def __init__(self, num_devices: int, out_db: float, in_db: float, n310: int, n311: int, t310_s: float) -> None:
        self._out_db, self._in_db = out_db, in_db
        self._n310, self._n311, self._t310_s = n310, n311, t310_s
        self._num_out = np.zeros(num_devices, dtype=np.int64)
        self._num_in = np.zeros(num_devices, dtype=np.int64)
        self._started_s = np.full(num_devices, np.inf)

    def measure(self, sinr_db: Array, now_s: float) -> Indices:
        """Take in one measurement of all devices, [num_devices]; returns those whose radio link has failed."""
        is_out, is_in = sinr_db < self._out_db, sinr_db > self._in_db
        self._num_out = np.where(is_out, self._num_out + 1, 0)
        self._num_in = np.where(is_in, self._num_in + 1, 0)
        runs = np.isfinite(self._started_s)
        starts = ~runs & (self._num_out >= self._n310)
        stops = runs & (self._num_in >= self._n311)
        self._started_s = np.where(starts, now_s, np.where(stops, np.inf, self._started_s))
        return np.flatnonzero(now_s - self._started_s >= self._t310_s - 1e-9)

    def restart(self, device: int) -> None:
        """A device has a new cell, or none: forget what was counted."""
        self._num_out[device] = self._num_in[device] = 0
        self._started_s[device] = np.inf
