"""Thermal noise power and signal-to-noise ratio of a link budget."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_positive

# kT at 290 K as link budgets write it (exactly -173.98 dBm/Hz).
THERMAL_NOISE_DBM_HZ = -174.0
GNB_NOISE_FIGURE_DB = 5.0


def noise_power_dbm(bandwidth_hz: npt.ArrayLike, noise_figure_db: npt.ArrayLike = 0.0) -> npt.NDArray[np.float64]:
    """N = -174 + 10 log10 B + NF. Broadcasts."""
    require_positive("bandwidth_hz", bandwidth_hz)
    bandwidth_db = 10 * np.log10(np.asarray(bandwidth_hz, dtype=np.float64))
    return np.asarray(THERMAL_NOISE_DBM_HZ + bandwidth_db + np.asarray(noise_figure_db))


def snr_db(
    tx_power_dbm: npt.ArrayLike,
    path_gain_db: npt.ArrayLike,
    bandwidth_hz: npt.ArrayLike,
    noise_figure_db: npt.ArrayLike = GNB_NOISE_FIGURE_DB,
) -> npt.NDArray[np.float64]:
    """Link budget: transmit power + path gain (antenna gains - losses) - noise over the band. Broadcasts."""
    return np.asarray(
        np.asarray(tx_power_dbm) + np.asarray(path_gain_db) - noise_power_dbm(bandwidth_hz, noise_figure_db)
    )
