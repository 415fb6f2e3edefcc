"""Uplink transmit power control (TS 38.213 7.1.1, 7.2.1), power headroom (7.7.1), maximum power reduction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive
from channels.nr.numerology import numerology_of

Array = npt.NDArray[np.float64]
FRACTIONAL_ALPHAS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Table 7.1.1-1: TPC command field 0..3 in dB.
TPC_ACCUMULATED_DB = (-1, 0, 1, 3)
TPC_ABSOLUTE_DB = (-4, -1, 1, 4)
POWER_CLASS_3_DBM = 23.0
# Lowest controlled output power of an FR1 UE up to 20 MHz, TS 38.101-1 6.3.1.
MIN_POWER_DBM = -40.0
# Maximum power reduction of CP-OFDM, power class 3, by modulation order: inner and outer allocations [dB], TS 38.101-1
# Table 6.2.2-1.
MAX_POWER_REDUCTION_DB = {2: (1.5, 3.0), 4: (2.0, 3.0), 6: (3.5, 3.5), 8: (6.5, 6.5)}


def max_power_reduction_db(modulation_order: npt.ArrayLike, is_inner: npt.ArrayLike) -> Array:
    """How far a CP-OFDM device of power class 3 may stay below its greatest power, by modulation. Broadcasts.

    Args:
        modulation_order: Qm: 2, 4, 6 or 8.
        is_inner: the allocation is an inner one, see `is_inner_allocation`.

    Notes: 3GPP allows the reduction; it is taken in full here, as a power amplifier without margin needs it.
    """
    order = np.asarray(modulation_order)
    for one in np.unique(order).tolist():
        require_choice("modulation_order", one, tuple(MAX_POWER_REDUCTION_DB))
    table = np.zeros((9, 2))
    for one, pair in MAX_POWER_REDUCTION_DB.items():
        table[one] = pair
    return np.asarray(np.where(np.asarray(is_inner, dtype=bool), table[order, 0], table[order, 1]))


def is_inner_allocation(
    first_prb: npt.ArrayLike, num_prb: npt.ArrayLike, num_carrier_prb: int
) -> npt.NDArray[np.bool_]:
    """Whether an allocation keeps its own half width from both edges (TS 38.101-1 6.2.2). Broadcasts.

    With L PRBs: max(1, L // 2) <= first <= N_RB - max(1, L // 2) - L, and L <= ceil(N_RB / 2).

    Args:
        first_prb: lowest PRB, from 0.
        num_prb: L, from the lowest to the highest PRB.
        num_carrier_prb: N_RB.
    """
    first, width = np.asarray(first_prb), np.asarray(num_prb)
    margin = np.maximum(1, width // 2)
    fits = (margin <= first) & (first <= num_carrier_prb - margin - width)
    return np.asarray(fits & (width <= -(-num_carrier_prb // 2)))


def tpc_command_db(command: int, accumulated: bool = True) -> int:
    """Step in dB of a 2-bit TPC command (TS 38.213 Table 7.1.1-1)."""
    require_choice("command", command, (0, 1, 2, 3))
    return (TPC_ACCUMULATED_DB if accumulated else TPC_ABSOLUTE_DB)[command]


@dataclass(frozen=True)
class UplinkPowerControl:
    """P = P0 + 10 log10(2^mu M_RB) + alpha PL + Delta_TF + f, clamped to [min, P_CMAX] (TS 38.213 7.1.1).

    Attributes:
        p0_dbm: target received power per PRB at 15 kHz.
        alpha: fractional path-loss compensation, one of 0, 0.4 ... 1.
        max_power_dbm: P_CMAX; 23 dBm is power class 3.
        scs_khz: subcarrier spacing, gives the 2^mu term.
    """

    p0_dbm: float = -90.0
    alpha: float = 1.0
    max_power_dbm: float = POWER_CLASS_3_DBM
    min_power_dbm: float = MIN_POWER_DBM
    scs_khz: int = 30

    def __post_init__(self) -> None:
        require_choice("alpha", self.alpha, FRACTIONAL_ALPHAS)
        require_between("p0_dbm", self.p0_dbm, -202, 24)
        require_between("max_power_dbm", self.max_power_dbm, self.min_power_dbm, 43)
        numerology_of(self.scs_khz)

    def unclamped_dbm(
        self,
        num_prb: npt.ArrayLike,
        path_loss_db: npt.ArrayLike,
        closed_loop_db: npt.ArrayLike = 0.0,
        delta_tf_db: npt.ArrayLike = 0.0,
    ) -> Array:
        """Power that the formula asks for before the clamp, dBm. Broadcasts."""
        require_positive("num_prb", num_prb)
        bandwidth_db = 10 * np.log10(2 ** numerology_of(self.scs_khz) * np.asarray(num_prb, dtype=np.float64))
        return np.asarray(
            self.p0_dbm
            + bandwidth_db
            + self.alpha * np.asarray(path_loss_db)
            + np.asarray(delta_tf_db)
            + closed_loop_db
        )

    def transmit_power_dbm(
        self,
        num_prb: npt.ArrayLike,
        path_loss_db: npt.ArrayLike,
        closed_loop_db: npt.ArrayLike = 0.0,
        delta_tf_db: npt.ArrayLike = 0.0,
    ) -> Array:
        """Total PUSCH power over the allocation, dBm. Broadcasts."""
        asked = self.unclamped_dbm(num_prb, path_loss_db, closed_loop_db, delta_tf_db)
        return np.clip(asked, self.min_power_dbm, self.max_power_dbm)

    def power_headroom_db(
        self,
        num_prb: npt.ArrayLike,
        path_loss_db: npt.ArrayLike,
        closed_loop_db: npt.ArrayLike = 0.0,
        delta_tf_db: npt.ArrayLike = 0.0,
    ) -> Array:
        """Type 1 headroom P_CMAX - unclamped power; negative when power-limited (TS 38.213 7.7.1). Broadcasts."""
        return self.max_power_dbm - self.unclamped_dbm(num_prb, path_loss_db, closed_loop_db, delta_tf_db)

    def max_num_prb(self, path_loss_db: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Most PRBs at which the formula stays within P_CMAX, at least 1. Broadcasts."""
        headroom = self.power_headroom_db(1, path_loss_db)
        return np.maximum(1, np.floor(10 ** (headroom / 10) + 1e-9)).astype(np.int64)
