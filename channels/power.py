"""Uplink transmit power control (TS 38.213 7.1.1, 7.2.1) and power headroom (7.7.1)."""

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
