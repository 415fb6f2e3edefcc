"""Candidates of a slot: each cell gets its own devices, in order, with what they need."""

from __future__ import annotations

import numpy as np

from sim.links.nr.mac.candidates import Candidates


def candidates(devices: list[int]) -> Candidates:
    """Devices that need ten times their number, with a quality that names them."""
    ids = np.array(devices, dtype=np.intp)
    return Candidates(ids, 10 * ids, np.array([[device, -device] for device in devices], dtype=np.float64))


def check(found: Candidates, devices: list[int]) -> None:
    assert found.devices.tolist() == devices
    assert found.needed.tolist() == [10 * device for device in devices]
    assert found.quality.tolist() == [[device, -device] for device in devices]


def test_each_cell_gets_its_own_devices_whichever_order_cells_serve_them_in():
    """Devices 0 to 5 are served by cells 2, 0, 2, 0, 1, 2; device 4 and cell 3 have nothing to do."""
    serving = np.array([2, 0, 2, 0, 1, 2], dtype=np.intp)
    found = candidates([0, 1, 2, 3, 5]).by_cell(serving, 4)
    assert sorted(found) == [0, 2]
    check(found[0], [1, 3])
    check(found[2], [0, 2, 5])


def test_one_cell_gets_all_and_none_gets_nothing():
    serving = np.zeros(3, dtype=np.intp)
    check(candidates([0, 2]).by_cell(serving, 1)[0], [0, 2])
    assert candidates([]).by_cell(serving, 2) == {}


def test_parts_join_to_the_whole_in_order():
    inside, outside = candidates([1, 3, 4, 7]).parted({3, 7, 9})
    check(inside, [3, 7])
    check(outside, [1, 4])
    check(inside.joined(outside), [1, 3, 4, 7])
