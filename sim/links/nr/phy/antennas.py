"""Antennas of all cells: sector columns with their tilt, and the beams of large arrays towards devices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.antenna import Antenna, ColumnAntenna, OmniAntenna
from channels.beams import BeamGrid
from channels.geometry import SECTOR_BORESIGHTS_DEG
from channels.large_scale import LargeScaleState
from channels.small_scale import small_scale_parameters
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class BaseStationAntennas:
    """What the cells' antennas are like, and the beam that each device is served with.

    Args:
        settings: Keys of the link.

    Attributes:
        cell_site: Site of each cell, [num_cells].
        boresight_deg: Azimuth of each cell's antenna, [num_cells].
        cells: Antenna of each cell: an element, or a column of them.
        has_beams: Whether cells send and receive with beams.
    """

    def __init__(self, settings: NrLinkSettings) -> None:
        sectors = settings.sectors_per_site
        self._settings = settings
        self.cell_site = np.repeat(np.arange(settings.num_sites), sectors)
        one_site = SECTOR_BORESIGHTS_DEG if sectors > 1 else (0.0,)
        self.boresight_deg = np.tile(np.array(one_site), settings.num_sites)
        self.cells = [_antenna(settings, boresight) for boresight in self.boresight_deg.tolist()]
        self.has_beams = settings.beam_ports > 0
        if self.has_beams:
            self._grid = BeamGrid.of_ports(settings.beam_ports, settings.column_elements, settings.tilt_deg)

    def bs_sine(self, state: LargeScaleState, serving: Indices) -> Array:
        """Sine of the azimuth of each link off the boresight of the site's cell. [num_devices, num_sites].

        Of the sectors of a site, the one that serves the device is meant, or at other sites the first.
        """
        first = self.boresight_deg[:: self._settings.sectors_per_site]
        off = state.azimuth_deg - first
        rows = np.arange(len(serving))
        site = self.cell_site[serving]
        off[rows, site] = state.azimuth_deg[rows, site] - self.boresight_deg[serving]
        return np.asarray(np.sin(np.deg2rad(off)))

    def point_beams(self, state: LargeScaleState, is_indoor: npt.NDArray[np.bool_], serving: Indices) -> None:
        """Choose the beam of each device: the one of its cell that points nearest to it."""
        site = self.cell_site
        self._azimuth_deg = state.azimuth_deg[:, site] - self.boresight_deg  # [num_devices, num_cells]
        self._zenith_deg = state.zenith_deg[:, site]
        settings = self._settings
        parameters = [
            small_scale_parameters(settings.scenario, name, settings.carrier_ghz) for name in ("los", "nlos", "o2i")
        ]
        which = np.where(is_indoor[:, None], 2, np.where(state.is_los, 0, 1))[:, site]
        self._spread_deg = np.array([of_state.azimuth_spread_deg for of_state in parameters])[which]
        self._k_linear = np.array([of_state.median_k_linear for of_state in parameters])[which]
        rows = np.arange(len(serving))
        self._beam = self._grid.best(self._azimuth_deg[rows, serving], self._zenith_deg[rows, serving])
        self.serving_gain_db = 10 * np.log10(self.beam_gain(rows, rows, serving))

    def beam_gain(self, served: Indices, towards: Indices, cells: Indices) -> Array:
        """Gain of the beams that serve some devices towards others, over that of a column, linear. [num_links].

        Args:
            served: Devices whose beam is used.
            towards: Devices towards which.
            cells: Cells that use it, [num_links].
        """
        beam = self._beam[0][served], self._beam[1][served]
        return self._grid.gain(
            beam,
            self._azimuth_deg[towards, cells],
            self._zenith_deg[towards, cells],
            self._spread_deg[towards, cells],
            self._k_linear[towards, cells],
        )


def _antenna(settings: NrLinkSettings, boresight_deg: float) -> Antenna:
    is_omni = settings.sectors_per_site == 1
    if is_omni and settings.column_elements == 1:
        return OmniAntenna(settings.gnb_antenna_dbi)
    return ColumnAntenna(
        settings.column_elements,
        settings.tilt_deg,
        boresight_deg,
        max_gain_dbi=settings.gnb_antenna_dbi,
        is_omni_in_azimuth=is_omni,
    )
