"""Antenna gain: omnidirectional, the TR 38.901 sector element (Table 7.3-1), and vertical columns of elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_positive, require_whole

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


# Least array factor: a null is filled by scattering and by errors of the weights.
_MIN_ARRAY_FACTOR = 1e-5


@dataclass(frozen=True)
class ColumnAntenna:
    """A vertical column of N equal elements behind one port, tilted electrically (TR 38.901 7.3, TR 36.873 7.1).

    ``G(phi, theta) = G_E(phi, theta) + 10 log10 |1/sqrt(N) sum_{n<N} exp(j 2 pi n d (cos theta - cos theta_tilt))|^2``

    Attributes:
        num_elements: N; 1 is the element alone.
        tilt_deg: zenith angle theta_tilt of the main beam, 90 is the horizon, 102 is 12 degrees of downtilt.
        boresight_deg: azimuth of the maximum.
        spacing_wavelengths: d.
        max_gain_dbi, beamwidth_deg, max_attenuation_db: of the element, see `SectorAntenna`.
        is_omni_in_azimuth: the azimuth cut of the element is flat (a site without sectors).

    Example:
        >>> round(float(ColumnAntenna(10, 102.0).gain_towards_dbi(0.0, 95.0)), 3)
        11.951
    """

    num_elements: int = 10
    tilt_deg: float = 102.0
    boresight_deg: float = 0.0
    spacing_wavelengths: float = 0.5
    max_gain_dbi: float = 8.0
    beamwidth_deg: float = 65.0
    max_attenuation_db: float = 30.0
    is_omni_in_azimuth: bool = False

    def __post_init__(self) -> None:
        require_whole("num_elements", self.num_elements, 1, 64)
        require_between("tilt_deg", self.tilt_deg, 0, 180)
        require_between("spacing_wavelengths", self.spacing_wavelengths, 0.1, 10)
        self._element()

    def _element(self) -> SectorAntenna:
        return SectorAntenna(self.boresight_deg, 0.0, self.max_gain_dbi, self.beamwidth_deg, self.max_attenuation_db)

    def gain_towards_dbi(self, azimuth_deg: npt.ArrayLike, zenith_deg: npt.ArrayLike) -> Array:
        """Gain towards directions, dBi; zenith 90 is the horizon, above 90 looks down. Broadcasts."""
        azimuth, zenith = np.broadcast_arrays(
            np.asarray(azimuth_deg, dtype=np.float64), np.asarray(zenith_deg, dtype=np.float64)
        )
        if self.is_omni_in_azimuth:
            azimuth = np.full(azimuth.shape, self.boresight_deg)
        phase = self.spacing_wavelengths * (np.cos(np.deg2rad(zenith)) - np.cos(np.deg2rad(self.tilt_deg)))
        factor = np.maximum(array_factor(self.num_elements, phase), _MIN_ARRAY_FACTOR)
        return np.asarray(self._element().gain_towards_dbi(azimuth, zenith) + 10 * np.log10(factor))


def array_factor(num_elements: int, turns: npt.ArrayLike) -> Array:
    """``|1/sqrt(N) sum_{n<N} exp(j 2 pi n x)|^2`` of a uniform linear array, N where all phases agree. [...].

    Args:
        num_elements: N.
        turns: x, phase step from element to element beyond that of the weights, in turns, [...].
    """
    x = np.pi * np.asarray(turns, dtype=np.float64)
    sine = np.sin(x)
    # At whole turns the quotient of sines tends to N.
    is_aligned = np.abs(sine) < 1e-9
    ratio = np.sin(num_elements * x) / np.where(is_aligned, 1.0, sine)
    return np.where(is_aligned, float(num_elements), ratio**2 / num_elements)


Antenna = OmniAntenna | SectorAntenna | ColumnAntenna


def direction_deg(
    displacement_m: npt.ArrayLike, bs_height_m: npt.ArrayLike, ut_height_m: npt.ArrayLike
) -> tuple[Array, Array]:
    """(azimuth, zenith) in degrees from a base station to devices displaced by [..., 2] metres."""
    offsets = np.asarray(displacement_m, dtype=np.float64)
    azimuth = np.rad2deg(np.arctan2(offsets[..., 1], offsets[..., 0]))
    horizontal = np.hypot(offsets[..., 0], offsets[..., 1])
    zenith = np.rad2deg(np.arctan2(horizontal, np.subtract(ut_height_m, bs_height_m)))
    return azimuth, zenith
