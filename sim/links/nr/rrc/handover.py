"""Handover by event A3: filtered measurements, offset, hysteresis, time to trigger (TS 38.331 5.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_FILTER_PERIOD_S = 0.2
"""Period that the filter coefficient is for: of intra-frequency measurements (TS 38.133 9.2.5.2)."""


def filter_weight(k: int, period_s: float) -> float:
    """Weight of a new measurement, a = 1/2^(k/4) per 200 ms, at another measurement period (TS 38.331 5.5.3.2)."""
    kept = 1 - 2 ** (-k / 4)
    return float(1 - kept ** (period_s / _FILTER_PERIOD_S))


class EventA3:
    """Event A3 of all devices towards all cells.

    Its entry condition is M_n - hysteresis > M_p + offset, M being filtered gains of neighbour and serving cell in dB.
    A device reports, and is handed over to the strongest neighbour, for which all measurements of the time to trigger
    met that condition (TS 38.331 5.5.4.1). The leaving condition, M_n + hysteresis < M_p + offset, says when reports
    of a cell that was not acted upon end; here the handover follows the first report at once.

    Args:
        num_devices, num_cells: Of all cells.
        offset_db, hysteresis_db, time_to_trigger_s: Of the event.
        weight: Of a new measurement in the filter, see ``filter_weight``.
    """

    def __init__(
        self,
        num_devices: int,
        num_cells: int,
        offset_db: float,
        hysteresis_db: float,
        time_to_trigger_s: float,
        weight: float,
    ) -> None:
        self._offset_db, self._hysteresis_db = offset_db, hysteresis_db
        self._time_to_trigger_s, self._weight = time_to_trigger_s, weight
        self._filtered_db = np.full((num_devices, num_cells), np.nan)
        self._since_s = np.full((num_devices, num_cells), np.inf)

    def restart(self, gain_db: Array, devices: Indices | None = None) -> None:
        """Begin anew with these measurements: of all devices, or of some after a change of cell or a gap."""
        rows = slice(None) if devices is None else devices
        self._filtered_db[rows] = gain_db[rows]
        self._since_s[rows] = np.inf

    def measure(self, gain_db: Array, serving: Indices, now_s: float) -> list[tuple[int, int]]:
        """Take in one measurement of all devices.

        Args:
            gain_db: [num_devices, num_cells].
            serving: Cell of each device, [num_devices].
            now_s: Time of the measurement.

        Returns:
            Devices to be handed over, with their new cells; the caller moves them and calls ``moved``.
        """
        self._filtered_db += self._weight * (gain_db - self._filtered_db)
        rows = np.arange(len(serving))
        above_db = self._filtered_db - self._filtered_db[rows, serving][:, None] - self._offset_db
        self._since_s = np.where(above_db > self._hysteresis_db, np.minimum(self._since_s, now_s), np.inf)
        # Times are sums of periods in double precision.
        due = now_s - self._since_s >= self._time_to_trigger_s - 1e-9
        moves = []
        for device in np.flatnonzero(due.any(axis=1)).tolist():
            best = int(np.where(due[device], self._filtered_db[device], -np.inf).argmax())
            moves.append((device, best))
        return moves

    def moved(self, device: int) -> None:
        """A device has changed its cell: its events are judged against the new one from now on."""
        self._since_s[device] = np.inf
