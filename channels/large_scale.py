"""Large-scale gain between every device and every site: path loss, LoS state, shadowing, O2I loss, antenna gains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from channels._validation import require_choice, require_points
from channels.addressed import uniforms
from channels.antenna import Antenna, OmniAntenna, direction_deg
from channels.geometry import SiteLayout
from channels.line_of_sight import Clutter, los_probability
from channels.placement import Placement
from channels.propagation import SCENARIOS, draw_environment_height_m, path_loss_db, rma_breakpoint_m
from channels.shadowing import LineOfSightMap, ShadowingMap, rma_los_sigma_db, shadowing_states

Array = npt.NDArray[np.float64]
BS_HEIGHT_M = {
    "umi": 10.0,
    "uma": 25.0,
    "rma": 35.0,
    "inh": 3.0,
    "inf_sl": 1.5,
    "inf_dl": 1.5,
    "inf_sh": 8.0,
    "inf_dh": 8.0,
    "inf_hh": 8.0,
}
LOS_STATES = ("drawn", "los", "nlos")


@dataclass(frozen=True)
class LargeScaleState:
    """Large-scale values of links at one instant, each [num_devices, num_sites].

    Attributes:
        path_gain_db: total gain without antennas: -(path loss + O2I) + shadowing.
        path_loss_db: median outdoor path loss.
        shadowing_db: shadow fading, added to the gain.
        is_los: line-of-sight state.
        azimuth_deg, zenith_deg: direction of the device from the site.
    """

    path_gain_db: Array
    path_loss_db: Array
    shadowing_db: Array
    is_los: npt.NDArray[np.bool_]
    azimuth_deg: Array
    zenith_deg: Array


@dataclass(frozen=True)
class LargeScaleModel:
    """TR 38.901 large-scale propagation as a function of position alone: a move never redraws anything.

    Attributes:
        scenario: umi, uma, rma, inh, inf_*.
        los_state: "drawn" by the spatially consistent map, or all "los" or all "nlos".
        shadowing: False leaves shadowing out.
        placement: Which devices are indoors or in cars; None puts them in the open at `ut_height_m`. Indoors means O2I
            shadowing, and line of sight by their outdoor distance (Table 7.4.2-1).
        bs_height_m: None takes the scenario's usual height (10, 25, 35, 3, 1.5 or 8 m).
    """

    scenario: str
    layout: SiteLayout
    carrier_ghz: float
    seed: int
    bs_height_m: float | None = None
    ut_height_m: float = 1.5
    los_state: str = "drawn"
    shadowing: bool = True
    office: str = "mixed"
    clutter: Clutter | None = None
    placement: Placement | None = None

    def __post_init__(self) -> None:
        require_choice("scenario", self.scenario, SCENARIOS)
        require_choice("los_state", self.los_state, LOS_STATES)

    @cached_property
    def _shadowing_maps(self) -> list[ShadowingMap]:
        return [ShadowingMap(self.scenario, self.seed, site) for site in range(self.layout.num_sites)]

    @cached_property
    def _los_maps(self) -> list[LineOfSightMap]:
        return [LineOfSightMap(self.scenario, self.seed, site) for site in range(self.layout.num_sites)]

    @property
    def height_m(self) -> float:
        """Base station height in use."""
        return BS_HEIGHT_M[self.scenario] if self.bs_height_m is None else self.bs_height_m

    def state(self, positions_m: npt.ArrayLike, devices: npt.NDArray[np.int64] | None = None) -> LargeScaleState:
        """Large-scale values at positions [num_devices, 2]; `devices` says whose they are, None for all in order."""
        positions = require_points("positions_m", positions_m)
        rows = np.arange(len(positions)) if devices is None else devices
        place = self._placement(rows)
        height = place.height_m[:, None]
        offsets = self.layout.displacements_m(positions)
        distance = np.linalg.norm(offsets, axis=-1)
        is_los = self._is_los(positions, distance, place)
        environment = self._environment_height_m(rows, distance, height)
        loss = path_loss_db(self.scenario, distance, self.carrier_ghz, is_los, self.height_m, height, environment)
        shadow = self._shadowing_db(positions, distance, is_los, place)
        azimuth, zenith = direction_deg(offsets, self.height_m, height)
        gain = shadow - loss - place.penetration_db[:, None]
        return LargeScaleState(gain, loss, shadow, is_los, azimuth, zenith)

    def _placement(self, rows: npt.NDArray[np.int64]) -> Placement:
        if self.placement is None:
            return Placement.in_the_open(len(rows), self.ut_height_m)
        return self.placement.of(rows)

    def _environment_height_m(self, rows: npt.NDArray[np.int64], distance: Array, height: Array) -> Array | float:
        if self.scenario != "uma" or not np.any(height > 13):
            return 1.0
        num_sites = distance.shape[1]
        links = (rows[:, None] * num_sites + np.arange(num_sites)).ravel()
        draws = uniforms(self.seed, "environment height", entities=links, count=2)
        return draw_environment_height_m(distance, height, draws.T.reshape(2, *distance.shape))

    def _is_los(self, positions: Array, distance: Array, place: Placement) -> npt.NDArray[np.bool_]:
        if self.los_state != "drawn":
            return np.full(distance.shape, self.los_state == "los")
        outdoor_m = np.maximum(distance - place.indoor_distance_m[:, None], 0)
        height = place.height_m[:, None]
        probability = los_probability(self.scenario, outdoor_m, self.height_m, height, self.office, self.clutter)
        columns = [one.is_los(positions, probability[:, site]) for site, one in enumerate(self._los_maps)]
        return np.stack(columns, axis=1)

    def _shadowing_db(
        self, positions: Array, distance: Array, is_los: npt.NDArray[np.bool_], place: Placement
    ) -> Array:
        shadow = np.zeros(distance.shape)
        if not self.shadowing:
            return shadow
        inside = place.is_indoor & ("o2i" in shadowing_states(self.scenario))
        for site, shadow_map in enumerate(self._shadowing_maps):
            # A hall that knows LoS only has one set of parameters for both states.
            los = is_los[:, site] | (self.scenario == "inf_hh")
            for state, mask in (("los", los & ~inside), ("nlos", ~los & ~inside), ("o2i", inside)):
                if np.any(mask):
                    is_rma_los = (self.scenario, state) == ("rma", "los")
                    height = place.height_m[mask]
                    sigma = self._rma_sigma_db(distance[mask, site], height) if is_rma_los else None
                    shadow[mask, site] = shadow_map.shadowing_db(positions[mask], state, sigma)
        return shadow

    def _rma_sigma_db(self, distance: Array, height_m: Array) -> Array:
        return rma_los_sigma_db(distance > rma_breakpoint_m(self.height_m, height_m, self.carrier_ghz))


def coupling_gain_db(
    state: LargeScaleState,
    cell_site: npt.NDArray[np.int64],
    cell_antennas: list[Antenna],
    ut_antenna: Antenna | None = None,
) -> Array:
    """Gain between devices and cells with both antennas; a cell is a site with an antenna. [num_devices, num_cells].

    Args:
        cell_site: site of each cell, [num_cells].
        cell_antennas: antenna of each cell, e.g. three sectors per site.
        ut_antenna: device antenna; None is 0 dBi omnidirectional.
    """
    if len(cell_site) != len(cell_antennas):
        raise ValueError(f"cell_antennas: got {len(cell_antennas)}; valid: one per cell, {len(cell_site)}")
    device_antenna = ut_antenna or OmniAntenna(0.0)
    columns = []
    for site, antenna in zip(cell_site, cell_antennas, strict=True):
        azimuth, zenith = state.azimuth_deg[:, site], state.zenith_deg[:, site]
        gain = antenna.gain_towards_dbi(azimuth, zenith) + device_antenna.gain_towards_dbi(azimuth + 180, 180 - zenith)
        columns.append(state.path_gain_db[:, site] + gain)
    return np.stack(columns, axis=1)
