"""Where sites and devices stand: single site or hexagonal layout with wrap-around, uniform drops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_choice, require_points, require_positive
from channels.addressed import generator

Array = npt.NDArray[np.float64]
# Cluster size -> (rings of sites, lattice step (i, j) to the next cluster, i^2 + ij + j^2 = size).
_CLUSTERS = {1: (0, (1, 0)), 7: (1, (2, 1)), 19: (2, (3, 2))}
_CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SECTOR_BORESIGHTS_DEG = (30.0, 150.0, 270.0)


def _lattice_point(i: int, j: int, inter_site_distance_m: float) -> Array:
    return inter_site_distance_m * np.array([i + 0.5 * j, np.sqrt(3) / 2 * j])


@dataclass(frozen=True)
class SiteLayout:
    """Sites on a hexagonal lattice; site 0 stands at the origin, neighbours at 0, 60, ... degrees.

    Attributes:
        num_sites: 1, 7 or 19.
        inter_site_distance_m: distance of neighbouring sites; the cell's circumradius is ISD / sqrt(3).
        wrap_around: the cluster is repeated over the whole plane (a torus), so that every site sees full interference
            and a device that drives on for ever keeps meeting sites. None is True but for a single site.
    """

    num_sites: int = 1
    inter_site_distance_m: float = 500.0
    wrap_around: bool | None = None

    def __post_init__(self) -> None:
        require_choice("num_sites", self.num_sites, tuple(_CLUSTERS))
        require_positive("inter_site_distance_m", self.inter_site_distance_m)

    @property
    def is_torus(self) -> bool:
        """Whether the cluster is repeated over the plane."""
        return self.num_sites > 1 if self.wrap_around is None else self.wrap_around

    @property
    def cell_radius_m(self) -> float:
        """Circumradius of the hexagonal cell."""
        return float(self.inter_site_distance_m / np.sqrt(3))

    def site_positions_m(self) -> Array:
        """Positions of the sites, by ring and angle. [num_sites, 2]."""
        rings, _ = _CLUSTERS[self.num_sites]
        steps = range(-rings, rings + 1)
        nodes = [(i, j) for i in steps for j in steps if max(abs(i), abs(j), abs(i + j)) <= rings]
        points = [_lattice_point(i, j, self.inter_site_distance_m) for i, j in nodes]
        points.sort(
            key=lambda p: (round(float(np.hypot(*p)), 6), round(float(np.arctan2(p[1], p[0]) % (2 * np.pi)), 6))
        )
        return np.array(points)

    def cluster_shifts_m(self) -> Array:
        """Translations to the cluster itself and its six nearest copies. [1 or 7, 2]."""
        if not self.is_torus:
            return np.zeros((1, 2))
        _, (i, j) = _CLUSTERS[self.num_sites]
        # A rotation of the lattice by 60 degrees takes (i, j) to (-j, i + j).
        shifts = [(0, 0)]
        for _turn in range(6):
            shifts.append((i, j))
            i, j = -j, i + j
        return np.array([_lattice_point(a, b, self.inter_site_distance_m) for a, b in shifts])

    def displacements_m(self, positions_m: npt.ArrayLike) -> Array:
        """Vector from the nearest copy of each site to each device. [num_devices, 2] -> [num_devices, num_sites, 2]."""
        positions = require_points("positions_m", positions_m)
        # [devices, sites, 2]
        offsets = positions[:, None, :] - self.site_positions_m()
        return self._wrapped(offsets) if self.is_torus else offsets

    def _wrapped(self, offsets: Array) -> Array:
        """The shortest of each offset and its translations by the torus' lattice. [..., 2] -> [..., 2].

        With two shortest lattice vectors 60 degrees apart, the nearest lattice point to any place is one of the four
        corners of the parallelogram that holds it.
        """
        basis = self._cluster_basis_m()
        corners = np.floor(offsets @ np.linalg.inv(basis))
        # [..., corners, 2]
        moved = offsets[..., None, :] - (corners[..., None, :] + _CORNERS) @ basis
        nearest = np.argmin(np.sum(moved**2, axis=-1), axis=-1)
        return np.take_along_axis(moved, nearest[..., None, None], axis=-2)[..., 0, :]

    def _cluster_basis_m(self) -> Array:
        """Two translations, 60 degrees apart, that make the cluster's copies tile the plane. [2, 2]."""
        _, (i, j) = _CLUSTERS[self.num_sites]
        return np.array([_lattice_point(a, b, self.inter_site_distance_m) for a, b in ((i, j), (-j, i + j))])

    def distances_2d_m(self, positions_m: npt.ArrayLike) -> Array:
        """Horizontal distance of each device to the nearest copy of each site. [num_devices, num_sites]."""
        return np.asarray(np.linalg.norm(self.displacements_m(positions_m), axis=-1))


def in_hexagon(offsets_m: npt.ArrayLike, radius_m: float) -> npt.NDArray[np.bool_]:
    """Whether points relative to the centre lie in the cell's hexagon (vertices at 30, 90, ... degrees). [...]."""
    offsets = require_points("offsets_m", offsets_m)
    angles = np.deg2rad([0.0, 60.0, 120.0])
    normals = np.stack([np.cos(angles), np.sin(angles)])
    return np.asarray(np.all(np.abs(offsets @ normals) <= radius_m * np.sqrt(3) / 2 * (1 + 1e-12), axis=-1))


def drop_devices(
    num_devices: int,
    cell_radius_m: float,
    seed: int,
    centre_m: tuple[float, float] = (0.0, 0.0),
    sector: int | None = None,
    min_distance_m: float = 10.0,
    first_device: int = 0,
) -> Array:
    """Devices uniform over a hexagonal cell or one of its sectors, no nearer than `min_distance_m`. [num_devices, 2].

    A device's position depends on (seed, its number) alone. A sector is the rhombus of centre and three vertices
    around its boresight (30, 150, 270 degrees).
    """
    if num_devices < 0:
        raise ValueError(f"num_devices: got {num_devices}; valid: >= 0")
    require_positive("cell_radius_m", cell_radius_m)
    if sector is not None:
        require_choice("sector", sector, (0, 1, 2))
    if not 0 <= min_distance_m < cell_radius_m:
        raise ValueError(f"min_distance_m: got {min_distance_m}; valid: 0 to below cell_radius_m = {cell_radius_m:g}")
    positions = [
        _drop_one(generator(seed, "drop", first_device + device), cell_radius_m, sector, min_distance_m)
        for device in range(num_devices)
    ]
    return np.asarray(np.array(positions).reshape(num_devices, 2) + np.asarray(centre_m))


def _drop_one(draw: np.random.Generator, radius_m: float, sector: int | None, min_distance_m: float) -> Array:
    while True:
        chosen = int(draw.integers(3)) if sector is None else sector
        sides = np.deg2rad(SECTOR_BORESIGHTS_DEG[chosen] + np.array([-60.0, 60.0]))
        point = radius_m * (draw.random(2) @ np.stack([np.cos(sides), np.sin(sides)], axis=1))
        if np.hypot(*point) >= min_distance_m:
            return np.asarray(point)
