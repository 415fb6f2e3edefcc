"""Devices on floors, behind walls and in cars: laws of TR 38.901 7.2 and 7.4.3, and draws that belong to a device."""

import numpy as np
import pytest

from channels.addressed import uniforms
from channels.placement import Placement, place_devices

MANY = np.arange(4000)


def test_placement_belongs_to_the_device():
    few, many = (place_devices(3, ids, "umi", 3.5, 1.0) for ids in ([4, 5], np.arange(1000)))
    np.testing.assert_array_equal(few.penetration_db, many.penetration_db[4:6])
    np.testing.assert_array_equal(few.height_m, many.height_m[4:6])
    half = place_devices(3, np.arange(1000), "umi", 3.5, 0.5)
    assert np.mean(half.is_indoor) == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 1000))
    np.testing.assert_array_equal(half.penetration_db[half.is_indoor], many.penetration_db[half.is_indoor])
    assert np.all(half.penetration_db[~half.is_indoor] == 0)
    np.testing.assert_array_equal(many.of(np.array([7, 3])).height_m, many.height_m[[7, 3]])


def test_penetration_of_low_loss_buildings():
    """Mean 12.70 dB of wall and 0.5 dB per metre, min(U, U) of 25 m being 25/3 m in the mean; sigma_P 4.4 dB."""
    place = place_devices(1, MANY, "umi", 3.5, 1.0)
    assert place.indoor_distance_m.mean() == pytest.approx(25 / 3, abs=0.4)
    assert place.penetration_db.mean() == pytest.approx(12.70 + 0.5 * 25 / 3, abs=0.35)
    wall = place.penetration_db - 0.5 * place.indoor_distance_m
    assert wall.std() == pytest.approx(4.4, abs=0.25)


def test_mixed_buildings_are_half_of_each():
    low, high, mixed = (
        place_devices(1, MANY, "uma", 3.5, 1.0, kind).penetration_db for kind in ("low", "high", "mixed")
    )
    is_high = mixed == high
    assert np.all(is_high ^ (mixed == low))
    assert is_high.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / len(MANY)))


def test_floors():
    """h = 3 (n - 1) + 1.5 m, n uniform in 1..N, N uniform in 4..8 (TR 38.901 Table 7.2-1)."""
    height = place_devices(2, MANY, "uma", 3.5, 1.0).height_m
    floors, counts = np.unique(np.rint((height - 1.5) / 3 + 1).astype(int), return_counts=True)
    assert floors.tolist() == list(range(1, 9))
    np.testing.assert_allclose(height, 3 * (np.rint((height - 1.5) / 3)) + 1.5)
    expected = [np.mean([(n <= top) / top for top in range(4, 9)]) for n in floors]
    np.testing.assert_allclose(counts / len(MANY), expected, atol=4 * np.sqrt(0.2 / len(MANY)))
    outdoors = place_devices(2, MANY, "uma", 3.5, 0.0).height_m
    assert np.all(outdoors == 1.5)
    assert np.all(place_devices(2, MANY, "rma", 3.5, 1.0).height_m == 1.5)
    assert np.all(place_devices(2, MANY, "umi", 3.5, 1.0, num_floors=(1, 1), ut_height_m=1.7).height_m == 1.7)


def test_cars():
    """N(9, 5) dB with plain windows, N(20, 5) with metallised ones (TR 38.901 7.4.3.2); nobody is in both."""
    for windows, mean_db in (("plain", 9.0), ("metallised", 20.0)):
        place = place_devices(1, MANY, "rma", 0.7, 0.5, car_share=1.0, car_windows=windows)
        loss = place.penetration_db[~place.is_indoor]
        # What the floor at 0.1 dB cuts off N(9, 5) lifts its mean by 0.07 dB.
        assert loss.mean() == pytest.approx(mean_db, abs=0.5)
        assert loss.std() == pytest.approx(5.0, abs=0.4)
        assert np.all(place.indoor_distance_m[~place.is_indoor] == 0)


def test_in_the_open():
    place = Placement.in_the_open(3, 1.7)
    assert place.height_m.tolist() == [1.7] * 3
    assert not place.is_indoor.any()
    assert not place.penetration_db.any()


def test_refusals():
    with pytest.raises(ValueError, match=r"scenario \(with indoor devices\): got 'inh'"):
        place_devices(1, [0], "inh", 3.5, 0.5)
    with pytest.raises(ValueError, match="building: got 'glass'; valid: low, high, mixed"):
        place_devices(1, [0], "umi", 3.5, 0.5, "glass")
    with pytest.raises(ValueError, match="num_floors: got 5 to 4"):
        place_devices(1, [0], "umi", 3.5, 0.5, num_floors=(5, 4))


def test_keyed_uniforms():
    """An entity's numbers do not depend on other entities; uniform, and uncorrelated between neighbours."""
    table = uniforms(1, "test", "site", 3, entities=np.arange(20_000), count=6)
    np.testing.assert_array_equal(uniforms(1, "test", "site", 3, entities=[17], count=2)[0], table[17, :2])
    assert np.all((table >= 0) & (table < 1))
    counts = np.histogram(table, bins=100, range=(0, 1))[0]
    expected = table.size / 100
    # Chi-squared of 99 degrees of freedom: 160 is beyond the 0.01 % point.
    assert np.sum((counts - expected) ** 2 / expected) < 160
    columns = np.corrcoef(table.T) - np.eye(6)
    assert np.abs(columns).max() < 4 / np.sqrt(20_000)
    assert abs(np.corrcoef(table[:-1, 0], table[1:, 0])[0, 1]) < 4 / np.sqrt(20_000)
    assert not np.any(uniforms(2, "test", "site", 3, entities=[17], count=2) == table[17, :2])
