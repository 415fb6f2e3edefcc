"""Digital beams of large arrays as gains: a grid of oversampled DFT beams over rows and columns of sub-arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive
from channels.antenna import array_factor

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
# Ports -> (columns N1, rows N2) of sub-arrays of each of two polarisations.
BEAM_PORTS = {32: (8, 2), 64: (8, 4)}
# Laplacian azimuth spectrum of unit RMS as directions of equal power: quantiles at (i + 1/2) / 8, scaled to unit RMS.
_SPREAD = np.array([-1.7694, -0.8346, -0.3999, -0.1136, 0.1136, 0.3999, 0.8346, 1.7694])


@dataclass(frozen=True)
class BeamGrid:
    """Beams of N1 columns and N2 rows of sub-arrays, one polarisation; gains are over one sub-array.

    A beam (m, n) points at sin(theta) sin(phi) = m / (O N1 d_h), cos(theta) = n / (O N2 d_v) + cos(tilt), the
    beams of TS 38.214 5.2.2.2.1 as seen from the array's boresight. Its gain towards a direction is the product of the
    array factors of a row and of a column, N1 N2 at most.

    Attributes:
        num_columns, num_rows: N1, N2.
        oversampling: O1 = O2, beams per sub-array column and row.
        column_spacing_wavelengths: d_h.
        row_spacing_wavelengths: d_v, the height of a sub-array.
        tilt_deg: zenith angle of the sub-arrays' own beam; the rows' beams are laid around it.
    """

    num_columns: int = 8
    num_rows: int = 2
    oversampling: int = 4
    column_spacing_wavelengths: float = 0.5
    row_spacing_wavelengths: float = 0.5
    tilt_deg: float = 90.0

    def __post_init__(self) -> None:
        require_between("num_columns", self.num_columns, 1, 64)
        require_between("num_rows", self.num_rows, 1, 64)
        require_choice("oversampling", self.oversampling, (1, 2, 4))
        require_positive("column_spacing_wavelengths", self.column_spacing_wavelengths)
        require_positive("row_spacing_wavelengths", self.row_spacing_wavelengths)

    @classmethod
    def of_ports(cls, num_ports: int, elements_per_port: int, tilt_deg: float) -> BeamGrid:
        """The grid of 32 or 64 ports on two polarisations, a port being a column of so many elements."""
        require_choice("num_ports", num_ports, tuple(BEAM_PORTS))
        columns, rows = BEAM_PORTS[num_ports]
        return cls(columns, rows, 4, 0.5, 0.5 * elements_per_port, tilt_deg)

    def directions(self, azimuth_deg: npt.ArrayLike, zenith_deg: npt.ArrayLike) -> tuple[Array, Array]:
        """(sin theta sin phi, cos theta) of azimuths relative to boresight and zenith angles. Broadcasts."""
        azimuth, zenith = np.deg2rad(azimuth_deg), np.deg2rad(zenith_deg)
        return np.asarray(np.sin(zenith) * np.sin(azimuth)), np.asarray(np.cos(zenith) + 0 * azimuth)

    def best(self, azimuth_deg: npt.ArrayLike, zenith_deg: npt.ArrayLike) -> tuple[Indices, Indices]:
        """The beam (m, n) that points nearest to a direction. [...]."""
        across, up = self.directions(azimuth_deg, zenith_deg)
        m = np.rint(across * self.oversampling * self.num_columns * self.column_spacing_wavelengths)
        height = up - np.cos(np.deg2rad(self.tilt_deg))
        n = np.rint(height * self.oversampling * self.num_rows * self.row_spacing_wavelengths)
        # Beams of rows repeat where a sub-array's height cannot resolve directions: the one next to the tilt.
        half = self.oversampling * self.num_rows // 2
        return m.astype(np.int64), np.clip(n, -half, half).astype(np.int64)

    def gain(
        self,
        beam: tuple[Indices, Indices],
        azimuth_deg: npt.ArrayLike,
        zenith_deg: npt.ArrayLike,
        spread_deg: npt.ArrayLike = 0.0,
        k_linear: npt.ArrayLike = 0.0,
    ) -> Array:
        """Power gain of beams towards links over that of one sub-array, linear. Broadcasts.

        Args:
            beam: (m, n) of each link, see `best`.
            azimuth_deg, zenith_deg: direction of the link's mean path, azimuth relative to boresight.
            spread_deg: RMS azimuth spread of its scattered power (Laplacian).
            k_linear: direct over scattered power; the direct path comes from the mean direction.
        """
        azimuth = np.asarray(azimuth_deg, dtype=np.float64)
        zenith = np.asarray(zenith_deg, dtype=np.float64)
        spread, k = np.asarray(spread_deg, dtype=np.float64), np.asarray(k_linear, dtype=np.float64)
        direct = self._row_gain(beam[0], azimuth, zenith)
        around = azimuth[..., None] + spread[..., None] * _SPREAD
        scattered = self._row_gain(beam[0][..., None], around, zenith[..., None]).mean(axis=-1)
        row = np.where(spread > 0, (k * direct + scattered) / (k + 1), direct)
        return np.asarray(row * self._column_gain(beam[1], zenith))

    def _row_gain(self, m: Indices, azimuth_deg: Array, zenith_deg: Array) -> Array:
        across, _ = self.directions(azimuth_deg, zenith_deg)
        pointed = m / (self.oversampling * self.num_columns)
        return array_factor(self.num_columns, self.column_spacing_wavelengths * across - pointed)

    def _column_gain(self, n: Indices, zenith_deg: Array) -> Array:
        up = np.cos(np.deg2rad(zenith_deg)) - np.cos(np.deg2rad(self.tilt_deg))
        pointed = n / (self.oversampling * self.num_rows)
        return array_factor(self.num_rows, self.row_spacing_wavelengths * up - pointed)
