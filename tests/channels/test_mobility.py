"""Positions as functions of time."""

import numpy as np
import pytest

from channels.geometry import drop_devices
from channels.mobility import FixedPositions, LinearMotion, RandomWaypoint, make_mobility


def test_fixed_and_linear():
    start = np.array([[0.0, 0.0], [10.0, -5.0]])
    np.testing.assert_array_equal(FixedPositions(start).positions_m(1e6), start)
    line = LinearMotion(start, [10.0, 2.0], [0.0, 90.0])
    np.testing.assert_allclose(line.positions_m(3.0), [[30.0, 0.0], [10.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(line.positions_m(3.0, np.array([1])), [[10.0, 1.0]], atol=1e-12)


def waypoints(n=20, **kwargs):
    return RandomWaypoint(drop_devices(n, 200.0, seed=1), 8.0, 200.0, seed=1, **kwargs)


def test_random_waypoint_is_a_function_of_time():
    """Any order of questions, any subset, a new object: the same positions."""
    times = np.linspace(0, 500, 60)
    forward = waypoints()
    positions = np.stack([forward.positions_m(t) for t in times])
    again = waypoints()
    for k in np.random.default_rng(0).permutation(60):
        np.testing.assert_array_equal(again.positions_m(times[k]), positions[k])
    np.testing.assert_array_equal(again.positions_m(times[7], np.array([3, 11])), positions[7][[3, 11]])
    assert np.all(np.linalg.norm(positions, axis=-1) <= 200.0 + 1e-9)


def test_random_waypoint_keeps_its_speed_and_is_addressed():
    walk = waypoints()
    times = np.arange(0, 60, 0.01)
    track = np.stack([walk.positions_m(t) for t in times])
    steps = np.linalg.norm(np.diff(track, axis=0), axis=-1)
    assert np.all(steps <= 8.0 * 0.01 + 1e-9)
    # A step is shorter only where it holds a waypoint.
    assert np.mean(steps > 8.0 * 0.01 - 1e-6) > 0.99
    few = RandomWaypoint(drop_devices(20, 200.0, seed=1)[5:7], 8.0, 200.0, seed=1, device_ids=[5, 6])
    np.testing.assert_array_equal(few.positions_m(333.0), waypoints().positions_m(333.0)[5:7])


def test_factory():
    start = np.array([[20.0, 0.0]])
    assert isinstance(make_mobility("fixed", start, 3.0, 100.0, 0), FixedPositions)
    assert make_mobility("fixed", start, 3.0, 100.0, 0).speeds_m_s.tolist() == [3.0]
    both = make_mobility("random_waypoint", np.tile(start, (2, 1)), [0.0, 3.0], 100.0, 0)
    assert (both.positions_m(9.0)[0] == start[0]).all() and (both.positions_m(9.0)[1] != start[0]).any()
    moved = make_mobility("linear", start, 3.0, 100.0, 0).positions_m(10.0) - start
    assert np.linalg.norm(moved) == pytest.approx(30.0)
    with pytest.raises(ValueError, match="valid: fixed, linear, random_waypoint"):
        make_mobility("levy", start, 3.0, 100.0, 0)
    with pytest.raises(ValueError, match="positions_m"):
        FixedPositions([1.0, 2.0, 3.0])
