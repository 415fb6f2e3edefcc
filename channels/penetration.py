"""Outdoor-to-indoor penetration loss (TR 38.901 7.4.3.1, Tables 7.4.3-1 and -2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice

Array = npt.NDArray[np.float64]
BUILDINGS = ("low", "high")
# Standard deviation of the random term N(0, sigma_P), Table 7.4.3-2.
PENETRATION_SIGMA_DB = {"low": 4.4, "high": 6.5}
# Largest indoor distance by scenario: the smaller of two draws from U(0, max), 7.4.3.1.
MAX_INDOOR_DISTANCE_M = {"umi": 25.0, "uma": 25.0, "rma": 10.0}
_INDOOR_LOSS_DB_PER_M = 0.5
# Mean loss of a car's body by its windows, and the standard deviation, TR 38.901 7.4.3.2.
CAR_LOSS_DB = {"plain": 9.0, "metallised": 20.0}
CAR_LOSS_SIGMA_DB = 5.0


def _parallel_db(*parts: tuple[float, Array]) -> Array:
    """Loss of surfaces side by side: -10 log10 sum share * 10^(-L/10)."""
    return np.asarray(-10 * np.log10(sum(share * 10 ** (-loss / 10) for share, loss in parts)))


def wall_loss_db(building: str, carrier_ghz: npt.ArrayLike) -> Array:
    """Mean loss PL_tw through the outer wall of a "low" (plain glass) or "high" (coated glass) loss building."""
    require_choice("building", building, BUILDINGS)
    require_between("carrier_ghz", carrier_ghz, 0.5, 100)
    fc = np.asarray(carrier_ghz, dtype=np.float64)
    glass, coated_glass, concrete = 2 + 0.2 * fc, 23 + 0.3 * fc, 5 + 4 * fc
    if building == "low":
        return 5 + _parallel_db((0.3, glass), (0.7, concrete))
    return 5 + _parallel_db((0.7, coated_glass), (0.3, concrete))


def penetration_loss_db(building: str, carrier_ghz: npt.ArrayLike, indoor_distance_m: npt.ArrayLike) -> Array:
    """Mean O2I loss: wall + 0.5 dB per metre inside."""
    require_between("indoor_distance_m", indoor_distance_m, 0, np.inf)
    return wall_loss_db(building, carrier_ghz) + _INDOOR_LOSS_DB_PER_M * np.asarray(indoor_distance_m)
