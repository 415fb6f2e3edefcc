"""Where devices are used: outdoors, in a car, or on a floor of a building; heights, indoor distances, O2I losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice
from channels.addressed import uniforms
from channels.penetration import (
    BUILDINGS,
    CAR_LOSS_DB,
    CAR_LOSS_SIGMA_DB,
    MAX_INDOOR_DISTANCE_M,
    PENETRATION_SIGMA_DB,
    penetration_loss_db,
)

Array = npt.NDArray[np.float64]
BUILDING_MIXES = (*BUILDINGS, "mixed")
# Share of high-loss buildings in the calibration of TR 38.901 7.8.
_MIXED_HIGH_SHARE = 0.5
# Floors of a building are uniform between these (TR 38.901 Table 7.2-1, by reference to TR 36.873).
NUM_FLOORS = (4, 8)
FLOOR_HEIGHT_M = 3.0
# Scenarios whose indoor devices are spread over floors; in RMa all are at ground level (Table 7.2-3).
_SCENARIOS_WITH_FLOORS = ("umi", "uma")
# A wall does not amplify.
_MIN_LOSS_DB = 0.1


@dataclass(frozen=True)
class Placement:
    """SimulationContext of devices, each [num_devices].

    Attributes:
        is_indoor: in a building.
        indoor_distance_m: d2D-in, from the outer wall to the device; 0 outdoors.
        penetration_db: loss of building or car; 0 in the open.
        height_m: hUT.
    """

    is_indoor: npt.NDArray[np.bool_]
    indoor_distance_m: Array
    penetration_db: Array
    height_m: Array

    @classmethod
    def in_the_open(cls, num_devices: int, height_m: float = 1.5) -> Placement:
        """Devices outdoors, or in a hall, at one height."""
        zeros = np.zeros(num_devices)
        return cls(np.zeros(num_devices, dtype=bool), zeros, zeros, np.full(num_devices, float(height_m)))

    def of(self, devices: npt.NDArray[np.int64]) -> Placement:
        """Those of some devices."""
        return Placement(
            self.is_indoor[devices],
            self.indoor_distance_m[devices],
            self.penetration_db[devices],
            self.height_m[devices],
        )


def place_devices(
    seed: int,
    device_ids: npt.ArrayLike,
    scenario: str,
    carrier_ghz: float,
    indoor_share: float = 0.0,
    building: str = "low",
    car_share: float = 0.0,
    car_windows: str = "plain",
    ut_height_m: float = 1.5,
    num_floors: tuple[int, int] = NUM_FLOORS,
) -> Placement:
    """Draw which devices are indoors or in cars, by (seed, device): no device's draws depend on the others.

    Indoors: loss = wall + 0.5 dB per metre of d2D-in + N(0, sigma_P), d2D-in the smaller of two draws from
    U(0, 25 m) (RMa 10 m) (TR 38.901 7.4.3.1). Height 3 (n - 1) + `ut_height_m`, floor n uniform in 1..N, N uniform in
    `num_floors` (Table 7.2-1; umi and uma). In a car: N(9, 5) dB, N(20, 5) with metallised windows (7.4.3.2).

    Args:
        scenario: umi, uma or rma if anyone is indoors.
        indoor_share: probability of being in a building.
        building: "low" or "high" loss, or "mixed": half the buildings each.
        car_share: probability of being in a car, of devices not in a building.
        car_windows: "plain" or "metallised".
        ut_height_m: height outdoors and on the ground floor.
        num_floors: smallest and largest N; (1, 1) keeps everyone on the ground floor.
    """
    require_between("indoor_share", indoor_share, 0, 1)
    require_between("car_share", car_share, 0, 1)
    require_choice("building", building, BUILDING_MIXES)
    require_choice("car_windows", car_windows, tuple(CAR_LOSS_DB))
    low, high = num_floors
    if not 1 <= low <= high <= 8:
        raise ValueError(f"num_floors: got {low} to {high}; valid: 1 to 8, the smaller first")
    ids = np.atleast_1d(np.asarray(device_ids))
    if indoor_share > 0:
        require_choice("scenario (with indoor devices)", scenario, tuple(MAX_INDOOR_DISTANCE_M))
    draws = uniforms(seed, "placement", entities=ids, count=9).T
    is_indoor = draws[0] < indoor_share
    indoor_m = np.where(is_indoor, np.minimum(draws[1], draws[2]) * MAX_INDOOR_DISTANCE_M.get(scenario, 0.0), 0.0)
    normal = _normals(draws[3:5])
    is_high = draws[5] < {"low": 0.0, "high": 1.0, "mixed": _MIXED_HIGH_SHARE}[building]
    loss = np.zeros(len(ids))
    for kind, chosen in (("low", is_indoor & ~is_high), ("high", is_indoor & is_high)):
        if np.any(chosen):
            mean = penetration_loss_db(kind, carrier_ghz, indoor_m[chosen])
            loss[chosen] = np.maximum(mean + PENETRATION_SIGMA_DB[kind] * normal[chosen], _MIN_LOSS_DB)
    in_car = ~is_indoor & (draws[6] < car_share)
    loss[in_car] = np.maximum(CAR_LOSS_DB[car_windows] + CAR_LOSS_SIGMA_DB * normal[in_car], _MIN_LOSS_DB)
    count = low + np.floor(draws[7] * (high - low + 1))
    floor = 1 + np.floor(draws[8] * count)
    climbs = is_indoor & (scenario in _SCENARIOS_WITH_FLOORS)
    height = ut_height_m + np.where(climbs, FLOOR_HEIGHT_M * (floor - 1), 0.0)
    return Placement(is_indoor, indoor_m, loss, height)


def _normals(pairs: Array) -> Array:
    """Standard normal numbers of pairs of uniform ones (Box and Muller). [2, n] -> [n]."""
    return np.asarray(np.sqrt(-2 * np.log1p(-pairs[0])) * np.cos(2 * np.pi * pairs[1]))
