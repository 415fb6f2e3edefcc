"""What the propagation models and 3GPP's bands have no values for, as keys of the ``nr`` link and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from channels.geometry import SiteLayout
from channels.line_of_sight import default_clutter
from channels.nr import num_prb
from channels.penetration import MAX_INDOOR_DISTANCE_M
from channels.placement import FLOOR_HEIGHT_M

Misfit = tuple[str, str]
_UT_HEIGHT_M = {"umi": (1.0, 22.5), "uma": (1.0, 22.5), "rma": (1.0, 10.0)}
"""Device heights of TR 38.901 Table 7.4.1-1; those of streets begin above the environment height of 1 m."""
_RMA_BS_HEIGHT_M = (10.0, 150.0)
_RMA_MAX_GHZ = 30.0


def height_misfits(
    scenario: str,
    ut_height_m: float,
    bs_height_m: float,
    max_floor: int,
    is_los_drawn: bool,
) -> Iterator[Misfit]:
    """Heights beyond TR 38.901 Table 7.4.1-1, or for which Table 7.4.2-1 has no probability of line of sight.

    Args:
        scenario: Propagation scenario.
        ut_height_m: Height of devices on the ground floor.
        bs_height_m: Height of base stations.
        max_floor: Highest floor on which a device may be, 1 is the ground floor.
        is_los_drawn: Whether line of sight is by probability.
    """
    if scenario == "rma" and not _RMA_BS_HEIGHT_M[0] <= bs_height_m <= _RMA_BS_HEIGHT_M[1]:
        yield "bs_height_m", f"got {bs_height_m:g}; valid in rma: {_RMA_BS_HEIGHT_M[0]:g} to {_RMA_BS_HEIGHT_M[1]:g}"
    if scenario in _UT_HEIGHT_M:
        low, high = _UT_HEIGHT_M[scenario]
        climb_m = FLOOR_HEIGHT_M * (max_floor - 1)
        is_low = ut_height_m < low if scenario == "rma" else ut_height_m <= low
        if is_low or ut_height_m + climb_m > high:
            text = f"got {ut_height_m:g}; valid in {scenario}: {'' if scenario == 'rma' else 'above '}{low:g}"
            upstairs = f", as indoor devices are on up to {max_floor} floors (floors)" if climb_m else ""
            yield "ut_height_m", f"{text} to {high - climb_m:g}{upstairs}"
    if scenario in ("inf_sh", "inf_dh") and is_los_drawn:
        limit = min(default_clutter(scenario).height_m, bs_height_m)
        if ut_height_m >= limit:
            yield "ut_height_m", f"got {ut_height_m:g}; valid in {scenario}: 1 to below {limit:g}, or los: los or nlos"


def indoor_misfits(scenario: str, indoor_share: float) -> Iterator[Misfit]:
    """Devices in buildings, where there are none."""
    if indoor_share and scenario not in MAX_INDOOR_DISTANCE_M:
        valid = ", ".join(MAX_INDOOR_DISTANCE_M)
        yield "indoor_share", f"got {indoor_share:g} in {scenario}, which is indoors; valid: 0, or scenario {valid}"


def band_misfits(
    bandwidth_mhz: float, scs_khz: int, carrier_ghz: float, frequency_range: str | None
) -> Iterator[Misfit]:
    """Widths and subcarrier spacings that no band of the range has (TS 38.101-1, -2 5.3.5).

    Args:
        bandwidth_mhz, scs_khz, carrier_ghz: As the keys of these names.
        frequency_range: Of the carrier, or None where that is open.
    """
    try:
        num_prb(bandwidth_mhz, scs_khz, frequency_range)
    except ValueError as error:
        key, _, text = str(error).partition(" ")
        name = str(frequency_range).upper()
        yield key.rstrip(":"), text.replace(f"in {name}", f"in {name} (carrier_ghz {carrier_ghz:g})")


def carrier_misfits(scenario: str, carrier_ghz: float) -> Iterator[Misfit]:
    """Carriers beyond the model (TR 38.901 Table 7.4.1-1 note 2)."""
    if scenario == "rma" and carrier_ghz > _RMA_MAX_GHZ:
        yield "carrier_ghz", f"got {carrier_ghz:g}; valid in rma: 0.5 to {_RMA_MAX_GHZ:g}"


def place_misfits(
    layout: SiteLayout,
    heights_m: tuple[float, float],
    positions_m: Sequence[tuple[float, float]] | None,
    distances_m: Iterable[float] | None,
) -> Iterator[Misfit]:
    """Devices within a base station's antenna, where heights are the same.

    Args:
        layout: Sites.
        heights_m: Of base stations and devices.
        positions_m, distances_m: As the keys of these names.
    """
    if heights_m[0] != heights_m[1]:
        return
    where = f"devices and base stations are {heights_m[0]:g} m high"
    if positions_m:
        off_m = np.asarray(positions_m, dtype=np.float64)[:, None] - layout.site_positions_m()
        if not np.hypot(*np.moveaxis(off_m, -1, 0)).all():
            yield "positions_m", f"one is that of a site, and {where}; valid: other positions, or ut_height_m"
    elif distances_m is not None and 0.0 in distances_m:
        yield "distances_m", f"got 0, and {where}; valid: above 0, or another ut_height_m"
