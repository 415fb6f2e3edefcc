"""Where the cells of a city lie: who is whose neighbour, and where the devices of each cell stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from channels.geometry import SiteLayout
from sim.core.errors import InputError
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.settings import NrLinkSettings
from sim.scenario.kinds import MixedDevices
from sim.scenario.schema import MAX_SEED, Scenario

_SEED_STEP = 0x9E3779B97F4A7C15
# Batches of drops after which a cell that serves too few devices is given up.
_MAX_BATCHES = 50


def refuse(scenario: Scenario) -> None:
    """Refuse what cells cannot have as worlds of their own.

    Raises:
        InputError: The scenario has such keys.
    """
    link, devices = scenario.link.settings, scenario.devices
    if not isinstance(link, NrLinkSettings):
        raise InputError(f"a city has cells of link.kind 'nr', got {scenario.link.name!r}", ("link", "kind"))
    checks: list[tuple[bool, str, tuple[str, ...]]] = [
        (link.num_sites == 1, "a city needs neighbours; valid: 7, 19", ("link", "num_sites")),
        (link.sectors_per_site != 1, "a city has one cell per site; valid: 1", ("link", "sectors_per_site")),
        (link.interference != "explicit", "cells of a city are coupled; valid: explicit", ("link", "interference")),
        (link.mobility != "fixed", "devices of a city stay in their cells; valid: fixed", ("link", "mobility")),
        (link.snr_db is not None, "devices of a city have places; valid: left out", ("link", "snr_db")),
        (link.channel != "radio", "cells of a city are coupled; valid: radio", ("link", "channel")),
        (link.positions_m is not None, "devices of a city are dropped; valid: left out", ("link", "positions_m")),
        (link.distances_m is not None, "devices of a city are dropped; valid: left out", ("link", "distances_m")),
        (isinstance(devices, MixedDevices), "devices of a city are alike; valid: one kind", ("devices",)),
        (devices.total_rate_hz is not None, "valid in a city: arrival_rate_hz, of each device", ("devices",)),
        (devices.duration_s is None, "a city is measured over a window; valid: a number", ("devices", "duration_s")),
        (scenario.edge_sites is not None, "each cell of a city has a site already; valid: left out", ("edge", "sites")),
    ]
    for is_wrong, message, key in checks:
        if is_wrong:
            raise InputError(message, key)


@dataclass(frozen=True)
class Cell:
    """One cell of a city.

    Attributes:
        number: Its number.
        own: Its number in its layout of sites.
        neighbours: Number in the city of each other site of that layout.
        link_seed: Keys its link.
        first_device: Number of the first of its devices.
        positions_m: Where they stand in that layout; None for those who are dropped when it is simulated.
        count: How many they are.
    """

    number: int
    own: int
    neighbours: dict[int, int]
    link_seed: int
    first_device: int
    positions_m: tuple[tuple[float, float], ...] | None
    count: int


def lattice_city(scenario: Scenario, num_cells: int) -> list[Cell]:
    """Cells on a hexagonal lattice that closes in itself, each with as many devices as ``devices.count`` says.

    Cell n has the neighbours n + i + b j (modulo the number of cells) at i steps to the right and j steps up and right:
    a twisted torus, with the b that has the fewest neighbours meet. A city of fewer cells than a layout has sites is
    surrounded by copies of itself, as in any wrap-around.
    """
    link: Any = scenario.link.settings
    steps = _steps(link.num_sites, link.inter_site_distance_m)
    b = _step_up(num_cells, steps)
    count = scenario.devices.count
    return [
        Cell(
            number,
            0,
            {site: (number + i + b * j) % num_cells for site, (i, j) in enumerate(steps) if site},
            (scenario.seed + number * _SEED_STEP) & MAX_SEED,
            number * count,
            None,
            count,
        )
        for number in range(num_cells)
    ]


def explicit_city(scenario: Scenario) -> list[Cell]:
    """The very cells of the scenario as one world: its sites, and the devices that each of them serves there."""
    link: Any = scenario.link.settings
    channel = RadioChannel(Carrier(link), link, scenario.devices.count, scenario.seed)
    positions = channel.positions_m(0)
    cells, first = [], 0
    for number in range(channel.num_cells):
        served = positions[channel.serving == number]
        places = tuple((float(x), float(y)) for x, y in served)
        others = {site: site for site in range(channel.num_cells) if site != number}
        cells.append(Cell(number, number, others, scenario.seed, first, places, len(places)))
        first += len(places)
    return cells


def dropped(link: NrLinkSettings, count: int, link_seed: int) -> list[tuple[float, float]]:
    """Places of the first so many devices that the centre serves, of those dropped uniformly over the whole layout.

    Raises:
        InputError: Hardly any device is served by it.
    """
    found: list[tuple[float, float]] = []
    carrier, size = Carrier(link), link.num_sites * count
    for batch in range(_MAX_BATCHES):
        # A seed of its own for each batch's places, and that of the cell for what stands in their way.
        places = RadioChannel(carrier, link, size, (link_seed + 1 + batch) & MAX_SEED).positions_m(0)
        fixed = link.model_copy(update={"positions_m": [(float(x), float(y)) for x, y in places]})
        served = RadioChannel(carrier, fixed, size, link_seed).serving == 0
        found += [(float(x), float(y)) for x, y in places[served]]
        if len(found) >= count:
            return found[:count]
    raise InputError(f"a cell of the city serves {len(found)} of {_MAX_BATCHES * size} devices", ("link",))


@lru_cache(maxsize=8)
def _steps(num_sites: int, inter_site_distance_m: float) -> tuple[tuple[int, int], ...]:
    """Steps along the two axes of the lattice from the first site to each."""
    sites = SiteLayout(num_sites, inter_site_distance_m).site_positions_m() / inter_site_distance_m
    up = np.round(sites[:, 1] / (np.sqrt(3) / 2)).astype(int)
    right = np.round(sites[:, 0] - 0.5 * up).astype(int)
    return tuple(zip(right.tolist(), up.tolist(), strict=True))


def _step_up(num_cells: int, steps: tuple[tuple[int, int], ...]) -> int:
    """The smallest b by which the most neighbours are different cells, and others than the cell itself."""

    def different(b: int) -> int:
        return len({(i + b * j) % num_cells for i, j in steps[1:]} - {0})

    return max(range(1, num_cells), key=lambda b: (different(b), -b))
