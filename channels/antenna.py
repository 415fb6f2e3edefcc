"""Antenna gain: omnidirectional, or the TR 38.901 sector element (Table 7.3-1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_positive

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OmniAntenna:
    """The same gain in every direction."""

    gain_dbi: float = 0.0

    def gain_towards_dbi(self, azimuth_deg: npt.ArrayLike, zenith_deg: npt.ArrayLike) -> Array:
        """Gain towards directions, dBi. Broadcasts."""
        return np.full(np.broadcast_shapes(np.shape(azimuth_deg), np.shape(zenith_deg)), self.gain_dbi)


@dataclass(frozen=True)
class SectorAntenna:
    """Element pattern of TR 38.901 Table 7.3-1: G_max - min(A_v + A_h, A_max).

    Attributes:
        boresight_deg: azimuth of the maximum.
        downtilt_deg: the vertical cut is moved down by this angle (zenith 90 + downtilt), the azimuth cut is unchanged.
        max_gain_dbi: 8 dBi for one element; add the array gain of a panel here.
        beamwidth_deg: 3 dB beamwidth of both cuts.
        max_attenuation_db: A_max = SLA_v.
    """

    boresight_deg: float = 0.0
    downtilt_deg: float = 0.0
    max_gain_dbi: float = 8.0
    beamwidth_deg: float = 65.0
    max_attenuation_db: float = 30.0

    def __post_init__(self) -> None:
        require_positive("beamwidth_deg", self.beamwidth_deg)
        require_positive("max_attenuation_db", self.max_attenuation_db)

    def gain_towards_dbi(self, azimuth_deg: npt.ArrayLike, zenith_deg: npt.ArrayLike) -> Array:
        """Gain towards directions, dBi; zenith 90 is the horizon, above 90 looks down. Broadcasts."""
        off_azimuth = (np.asarray(azimuth_deg, dtype=np.float64) - self.boresight_deg + 180) % 360 - 180
        off_zenith = np.asarray(zenith_deg, dtype=np.float64) - 90 - self.downtilt_deg
        horizontal = np.minimum(12 * (off_azimuth / self.beamwidth_deg) ** 2, self.max_attenuation_db)
        vertical = np.minimum(12 * (off_zenith / self.beamwidth_deg) ** 2, self.max_attenuation_db)
        return np.asarray(self.max_gain_dbi - np.minimum(horizontal + vertical, self.max_attenuation_db))


Antenna = OmniAntenna | SectorAntenna


def direction_deg(
    displacement_m: npt.ArrayLike, bs_height_m: npt.ArrayLike, ut_height_m: npt.ArrayLike
) -> tuple[Array, Array]:
    """(azimuth, zenith) in degrees from a base station to devices displaced by [..., 2] metres."""
    offsets = np.asarray(displacement_m, dtype=np.float64)
    azimuth = np.rad2deg(np.arctan2(offsets[..., 1], offsets[..., 0]))
    horizontal = np.hypot(offsets[..., 0], offsets[..., 1])
    zenith = np.rad2deg(np.arctan2(horizontal, np.subtract(ut_height_m, bs_height_m)))
    return azimuth, zenith
