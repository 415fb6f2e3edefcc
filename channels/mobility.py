"""Where devices are at any time: fixed, on a straight line, or by random waypoints; pure functions of (seed, t)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_points, require_positive
from channels.addressed import generator

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Mobility(Protocol):
    """Positions of devices at a time."""

    speeds_m_s: Array

    def positions_m(self, time_s: float, devices: Indices | None = None) -> Array:
        """Positions at a time >= 0 of all devices or those indexed. [num_devices, 2]."""


class FixedPositions:
    """Devices that stay where they are.

    Args:
        positions_m: [num_devices, 2].
        speeds_m_s: speed that the fading sees though the mean position stays (people and cars move around a device).
    """

    def __init__(self, positions_m: npt.ArrayLike, speeds_m_s: npt.ArrayLike = 0.0) -> None:
        self._positions = require_points("positions_m", positions_m).reshape(-1, 2)
        require_between("speeds_m_s", speeds_m_s, 0, 1000)
        self.speeds_m_s = np.broadcast_to(np.asarray(speeds_m_s, dtype=np.float64), len(self._positions)).copy()

    def positions_m(self, time_s: float, devices: Indices | None = None) -> Array:  # noqa: ARG002
        """The fixed positions. [num_devices, 2]."""
        return self._positions if devices is None else self._positions[devices]


class LinearMotion:
    """Devices that move along straight lines at constant speed, for ever.

    Args:
        positions_m: positions at time 0, [num_devices, 2].
        speeds_m_s, headings_deg: speed and azimuth, scalars or [num_devices].
    """

    def __init__(self, positions_m: npt.ArrayLike, speeds_m_s: npt.ArrayLike, headings_deg: npt.ArrayLike) -> None:
        self._start = require_points("positions_m", positions_m).reshape(-1, 2)
        require_between("speeds_m_s", speeds_m_s, 0, 1000)
        self.speeds_m_s = np.broadcast_to(np.asarray(speeds_m_s, dtype=np.float64), len(self._start)).copy()
        heading = np.deg2rad(np.broadcast_to(np.asarray(headings_deg, dtype=np.float64), len(self._start)))
        self._velocity = self.speeds_m_s[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)

    def positions_m(self, time_s: float, devices: Indices | None = None) -> Array:
        """Start + velocity * time. [num_devices, 2]."""
        rows: slice | Indices = slice(None) if devices is None else devices
        return np.asarray(self._start[rows] + self._velocity[rows] * time_s)


def random_headings_deg(seed: int, device_ids: npt.ArrayLike) -> Array:
    """A uniform heading per device, addressed by (seed, device). [num_devices]."""
    return np.array([generator(seed, "heading", int(d)).uniform(0, 360) for d in np.asarray(device_ids).ravel()])


class RandomWaypoint:
    """Devices that walk at constant speed from waypoint to waypoint, uniform in a disc, without pauses.

    Args:
        positions_m: positions at time 0, [num_devices, 2].
        speeds_m_s: scalar or [num_devices]; at 0 a device stays at its first position.
        radius_m, centre_m: the disc of waypoints.
        seed: waypoint n of a device is addressed by (seed, device id, n).
        device_ids: [num_devices]; None numbers from 0.

    Notes: the current leg is remembered, so asking for growing times is cheap; a time before it walks again from the
    start, with the same answer.
    """

    def __init__(
        self,
        positions_m: npt.ArrayLike,
        speeds_m_s: npt.ArrayLike,
        radius_m: float,
        seed: int,
        centre_m: tuple[float, float] = (0.0, 0.0),
        device_ids: npt.ArrayLike | None = None,
    ) -> None:
        self._first = require_points("positions_m", positions_m).reshape(-1, 2).copy()
        count = len(self._first)
        require_between("speeds_m_s", speeds_m_s, 0, 1000)
        require_positive("radius_m", radius_m)
        self.speeds_m_s = np.broadcast_to(np.asarray(speeds_m_s, dtype=np.float64), count).copy()
        self._ids = np.arange(count) if device_ids is None else np.asarray(device_ids)
        self._radius_m, self._centre, self._seed = float(radius_m), np.asarray(centre_m, dtype=np.float64), seed
        self._leg = np.full(count, -1)
        self._from, self._to = self._first.copy(), self._first.copy()
        self._start_s, self._end_s = np.zeros(count), np.zeros(count)

    def positions_m(self, time_s: float, devices: Indices | None = None) -> Array:
        """Positions on the current legs. [num_devices, 2]."""
        require_between("time_s", time_s, 0, np.inf)
        wanted = np.arange(len(self._ids)) if devices is None else np.asarray(devices)
        for row in wanted[(time_s < self._start_s[wanted]) | (time_s >= self._end_s[wanted])]:
            self._walk(int(row), time_s)
        span = self._end_s[wanted] - self._start_s[wanted]
        share = (time_s - self._start_s[wanted]) / span
        return np.asarray(self._from[wanted] + share[:, None] * (self._to[wanted] - self._from[wanted]))

    def _walk(self, row: int, time_s: float) -> None:
        """Advance one device's leg until it holds `time_s`."""
        if time_s < self._start_s[row]:
            self._leg[row], self._end_s[row], self._to[row] = -1, 0.0, self._first[row]
        while time_s >= self._end_s[row]:
            self._leg[row] += 1
            self._from[row], self._start_s[row] = self._to[row], self._end_s[row]
            self._to[row] = self._waypoint(row)
            length_m = float(np.hypot(*(self._to[row] - self._from[row])))
            speed_m_s = float(self.speeds_m_s[row])
            self._end_s[row] = self._start_s[row] + length_m / speed_m_s if speed_m_s else np.inf

    def _waypoint(self, row: int) -> Array:
        draw = generator(self._seed, "waypoint", int(self._ids[row]), int(self._leg[row]))
        radius_m, angle = self._radius_m * np.sqrt(draw.random()), draw.uniform(0, 2 * np.pi)
        return np.asarray(self._centre + radius_m * np.array([np.cos(angle), np.sin(angle)]))


MOBILITY_MODELS = ("fixed", "linear", "random_waypoint")


def make_mobility(
    model: str, positions_m: npt.ArrayLike, speed_m_s: npt.ArrayLike, radius_m: float, seed: int
) -> Mobility:
    """The mobility named in a scenario; ValueError lists the models. Linear motion takes a random heading each.

    Args:
        model: One of ``MOBILITY_MODELS``.
        positions_m: Positions at time 0, [num_devices, 2].
        speed_m_s: Of all devices, or of each, [num_devices]; those of speed 0 stay where they are.
        radius_m: Of the disc of waypoints.
        seed: Of headings and waypoints.
    """
    require_choice("mobility", model, MOBILITY_MODELS)
    positions = require_points("positions_m", positions_m).reshape(-1, 2)
    if model == "fixed" or not np.any(speed_m_s):
        return FixedPositions(positions, speed_m_s)
    if model == "linear":
        return LinearMotion(positions, speed_m_s, random_headings_deg(seed, np.arange(len(positions))))
    return RandomWaypoint(positions, speed_m_s, radius_m, seed)
