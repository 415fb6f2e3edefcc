"""Large-scale gains put together: sums of their parts, functions of position, sectors."""

import numpy as np
import pytest

from channels.antenna import SectorAntenna
from channels.geometry import SECTOR_BORESIGHTS_DEG, SiteLayout, drop_devices
from channels.large_scale import LargeScaleModel, coupling_gain_db
from channels.line_of_sight import los_probability
from channels.placement import Placement
from channels.propagation import SCENARIOS


def test_without_luck_it_is_the_path_loss():
    model = LargeScaleModel("uma", SiteLayout(1), 3.5, seed=1, los_state="nlos", shadowing=False)
    state = model.state([[500.0, 0.0]])
    assert state.path_gain_db[0, 0] == pytest.approx(-129.92, abs=0.0051)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_gives_finite_gains(scenario):
    model = LargeScaleModel(scenario, SiteLayout(1, 100.0), 3.5, seed=1)
    state = model.state(drop_devices(50, 57.0, seed=1, min_distance_m=1.0))
    assert np.all(np.isfinite(state.path_gain_db))
    np.testing.assert_allclose(state.path_gain_db, state.shadowing_db - state.path_loss_db, atol=1e-9)


def test_a_move_and_company_redraw_nothing():
    model = LargeScaleModel("umi", SiteLayout(7, 200.0), 3.5, seed=3)
    positions = drop_devices(40, 115.0, seed=3)
    before = model.state(positions).path_gain_db
    model.state(positions + 17.0)
    np.testing.assert_array_equal(model.state(positions).path_gain_db, before)
    np.testing.assert_array_equal(model.state(positions[7:9]).path_gain_db, before[7:9])
    moved = model.state(positions + np.array([0.01, 0.0]))
    same_state = moved.is_los == model.state(positions).is_los
    assert np.mean(same_state) > 0.97
    assert np.max(np.abs(moved.path_gain_db - before)[same_state]) < 2.0


def indoors(loss_db, indoor_m=0.0, height_m=1.5):
    """One device outdoors and one with a given loss, indoor distance and height."""
    return Placement(
        np.array([False, True]), np.array([0.0, indoor_m]), np.array([0.0, loss_db]), np.array([1.5, height_m])
    )


def test_indoor_devices_lose_their_wall():
    positions = np.array([[100.0, 0.0], [100.0, 0.0]])
    model = LargeScaleModel("umi", SiteLayout(1), 3.5, 1, shadowing=False, los_state="nlos", placement=indoors(13.0))
    gain = model.state(positions).path_gain_db[:, 0]
    assert gain[0] - gain[1] == pytest.approx(13.0)
    alone = model.state(positions[1:], devices=np.array([1])).path_gain_db[:, 0]
    assert alone[0] == gain[1]


def test_line_of_sight_indoors_goes_by_the_outdoor_distance():
    """UMi, 60 m in all and 8 m inside: P(LoS) of 52 m, 0.500, not of 60 m, 0.432 (TR 38.901 Table 7.4.2-1)."""
    assert los_probability("umi", [52.0, 60.0]) == pytest.approx([0.500, 0.432], abs=5e-4)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = 60 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inside = np.full(60, True)
    share = []
    for indoor_m in (0.0, 8.0):
        place = Placement(inside, np.full(60, indoor_m), np.full(60, 13.0), np.full(60, 1.5))
        seen = [
            LargeScaleModel("umi", SiteLayout(1), 3.5, seed, shadowing=False, placement=place).state(ring).is_los
            for seed in range(60)
        ]
        share.append(np.mean(seen))
    # A ring of 377 m and a state that holds for 50 m: some eight looks each, 480 in all; three standard errors.
    assert share == pytest.approx([0.432, 0.500], abs=0.07)
    assert share[1] > share[0] + 0.03


def test_upper_floors_are_nearer_to_the_sky():
    positions = np.array([[100.0, 0.0], [100.0, 0.0]])
    place = indoors(0.0, height_m=22.5)
    for scenario in ("umi", "uma"):
        state = LargeScaleModel(scenario, SiteLayout(1), 3.5, 1, shadowing=False, los_state="nlos", placement=place)
        gain = state.state(positions).path_gain_db[:, 0]
        # 0.3 and 0.6 dB per metre of height, and a distance in space that changes little.
        assert gain[1] - gain[0] == pytest.approx({"umi": 6.3, "uma": 12.6}[scenario], abs=1.0)
        zenith = state.state(positions).zenith_deg[:, 0]
        assert zenith[0] > 90
        assert (zenith[1] < 90) == (scenario == "umi")


def test_sectors_face_their_devices():
    """A device dropped in a sector hears that sector best, and its gain is the path plus 8 dBi at most."""
    model = LargeScaleModel("uma", SiteLayout(1), 3.5, seed=2)
    cells = [SectorAntenna(boresight_deg=b) for b in SECTOR_BORESIGHTS_DEG]
    for sector in range(3):
        state = model.state(drop_devices(30, 280.0, seed=4, sector=sector, min_distance_m=35.0))
        gains = coupling_gain_db(state, np.zeros(3, dtype=int), cells)
        assert np.all(np.argmax(gains, axis=1) == sector)
        assert np.all(gains <= state.path_gain_db[:, [0]] + 8.0)


def test_rma_shadowing_widens_beyond_the_breakpoint():
    """sigma 4 dB before and 6 dB beyond dBP = 2 pi hBS hUT fc / c = 3849 m (TR 38.901 Table 7.4.1-1)."""
    model = LargeScaleModel("rma", SiteLayout(1), 3.5, seed=1, los_state="los")
    angle = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    near, far = (model.state(ring * r).shadowing_db.std() for r in (3500.0, 4200.0))
    # 22 km of ring hold about 300 independent shadows: 4 standard errors are 16 %.
    assert near == pytest.approx(4.0, rel=0.16)
    assert far == pytest.approx(6.0, rel=0.16)
