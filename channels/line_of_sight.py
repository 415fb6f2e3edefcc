"""Probability of line of sight by scenario (TR 38.901 Table 7.4.2-1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive
from channels.propagation import SCENARIOS

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clutter:
    """Factory clutter: density r in (0, 1), size d_clutter [m], effective height h_c [m]."""

    density: float
    size_m: float
    height_m: float

    def __post_init__(self) -> None:
        require_between("clutter density", self.density, 1e-6, 1 - 1e-6)
        require_positive("clutter size_m", self.size_m)
        require_positive("clutter height_m", self.height_m)


# Calibration assumptions of TR 38.901 Table 7.8-7.
SPARSE_CLUTTER = Clutter(density=0.2, size_m=10.0, height_m=2.0)
DENSE_CLUTTER = Clutter(density=0.6, size_m=2.0, height_m=6.0)


def default_clutter(scenario: str) -> Clutter:
    """Clutter of an InF scenario in the calibration of TR 38.901 7.8."""
    return SPARSE_CLUTTER if scenario in ("inf_sl", "inf_sh") else DENSE_CLUTTER


def _street(d: Array, scale_m: float) -> Array:
    far = np.maximum(d, 18.0)
    return 18 / far + np.exp(-far / scale_m) * (1 - 18 / far)


def _uma(d: Array, ut_height_m: Array) -> Array:
    factor = np.where(ut_height_m <= 13, 0.0, (np.maximum(ut_height_m - 13, 0) / 10) ** 1.5)
    raised = 1 + factor * 1.25 * (d / 100) ** 3 * np.exp(-d / 150)
    return np.where(d <= 18, 1.0, np.minimum(1.0, _street(d, 63.0) * raised))


def _inh(d: Array, office: str) -> Array:
    if office == "mixed":
        middle, far = np.exp(-(d - 1.2) / 4.7), 0.32 * np.exp(-(d - 6.5) / 32.6)
        return np.where(d <= 1.2, 1.0, np.where(d < 6.5, middle, far))
    middle, far = np.exp(-(d - 5) / 70.8), 0.54 * np.exp(-(d - 49) / 211.7)
    return np.where(d <= 5, 1.0, np.where(d <= 49, middle, far))


def _inf(scenario: str, d: Array, bs_height_m: Array, ut_height_m: Array, clutter: Clutter) -> Array:
    if scenario == "inf_hh":
        return np.ones_like(d)
    decay_m = np.asarray(-clutter.size_m / np.log1p(-clutter.density))
    if scenario in ("inf_sh", "inf_dh"):
        if np.any(ut_height_m >= clutter.height_m) or np.any(bs_height_m <= ut_height_m):
            raise ValueError(
                f"ut_height_m of {scenario}: got {np.max(ut_height_m)}; valid: below the clutter height "
                f"{clutter.height_m} m and below bs_height_m"
            )
        decay_m = decay_m * (bs_height_m - ut_height_m) / (clutter.height_m - ut_height_m)
    return np.asarray(np.exp(-d / decay_m))


def los_probability(
    scenario: str,
    distance_2d_m: npt.ArrayLike,
    bs_height_m: npt.ArrayLike = 25.0,
    ut_height_m: npt.ArrayLike = 1.5,
    office: str = "mixed",
    clutter: Clutter | None = None,
) -> Array:
    """P(LoS) in 0..1 over the outdoor horizontal distance (TR 38.901 Table 7.4.2-1). Broadcasts.

    Args:
        office: "mixed" or "open", for inh only.
        clutter: for inf_* only; None takes the calibration values of Table 7.8-7.
    """
    require_choice("scenario", scenario, SCENARIOS)
    require_choice("office", office, ("mixed", "open"))
    require_between("distance_2d_m", distance_2d_m, 0, np.inf)
    d, bs, ut = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (distance_2d_m, bs_height_m, ut_height_m))
    )
    if scenario == "umi":
        return np.where(d <= 18, 1.0, _street(d, 36.0))
    if scenario == "uma":
        return _uma(d, ut)
    if scenario == "rma":
        return np.minimum(1.0, np.exp(-(d - 10) / 1000))
    if scenario == "inh":
        return _inh(d, office)
    return _inf(scenario, d, bs, ut, clutter or default_clutter(scenario))
