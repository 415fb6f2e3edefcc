"""Path loss, LoS probability, O2I loss and noise against reference vectors and as functions."""

import numpy as np
import pytest

from channels.line_of_sight import Clutter, los_probability
from channels.noise import noise_power_dbm, snr_db
from channels.penetration import penetration_loss_db, wall_loss_db
from channels.propagation import SCENARIOS, draw_environment_height_m, path_loss_db

BS_HEIGHT_M = {"umi": 10, "uma": 25, "rma": 35, "inh": 3, **{s: 8 for s in SCENARIOS if s.startswith("inf")}}


@pytest.mark.parametrize(
    ("scenario", "distance_m", "los_db", "nlos_db"),
    [
        ("uma", 50, 77.21, 92.51),
        ("uma", 100, 83.14, 103.04),
        ("uma", 200, 89.57, 114.46),
        ("uma", 288.7, 93.04, 120.63),
        ("uma", 500, 98.27, 129.92),
        ("uma", 1000, 109.41, 141.67),
        ("umi", 100, 85.31, 104.64),
        ("umi", 500, 107.11, 129.26),
        ("rma", 500, 98.61, 118.82),
        ("rma", 1000, 105.46, 130.42),
    ],
)
def test_vectors_at_3_5_ghz(scenario, distance_m, los_db, nlos_db):
    """TR 38.901 Table 7.4.1-1; checked against ns-3's test vectors; two printed decimals."""
    got = path_loss_db(scenario, distance_m, 3.5, [True, False], BS_HEIGHT_M[scenario], 1.5)
    np.testing.assert_allclose(got, [los_db, nlos_db], atol=0.0051)


@pytest.mark.parametrize(
    ("scenario", "los", "expected"),
    [
        ("umi", True, [71.4, 79.1, 85.3, 91.6, 103.2]),
        ("umi", False, [81.2, 94.2, 104.6, 115.2, 125.8]),
        ("uma", False, [82.6, 92.5, 103.0, 114.5, 126.1]),
        ("rma", False, [76.0, 83.3, 92.7, 103.6, 115.1]),
        ("inf_sh", False, [73.7, 82.4, 89.3, 96.2, 103.1]),
    ],
)
def test_anchors_of_sionna(scenario, los, expected):
    """Values that Sionna 2.2.0 gives at 20, 50, 100, 200, 400 m and 3.5 GHz, one printed decimal."""
    got = path_loss_db(scenario, [20, 50, 100, 200, 400], 3.5, los, BS_HEIGHT_M[scenario], 1.5)
    np.testing.assert_allclose(got, expected, atol=0.0501)


def test_indoor_hotspot_at_equal_heights():
    """InH LoS at 2 GHz, 10 m: 32.4 + 17.3 + 20 log10 2; the path of the power-control cases."""
    assert path_loss_db("inh", 10, 2.0, True, 1.5, 1.5) == pytest.approx(32.4 + 17.3 + 20 * np.log10(2), abs=1e-12)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_loss_grows_with_distance_and_nlos_is_never_below_los(scenario):
    d = np.geomspace(10, 5000, 4000)
    los = path_loss_db(scenario, d, 3.5, True, BS_HEIGHT_M[scenario], 1.5)
    nlos = path_loss_db(scenario, d, 3.5, False, BS_HEIGHT_M[scenario], 1.5)
    assert np.all(nlos >= los)
    # The UMi and UMa two-slope law steps by at most 0.1 dB at the breakpoint, where d2D meets a law in d3D.
    for loss in (los, nlos):
        assert np.all(np.diff(loss) > -1e-9)
        assert np.max(np.diff(loss)) < 0.2


def test_factory_bounds():
    """TR 38.901 Table 7.4.1-1: InF-DL is bounded below by InF-SL; the high-high hall knows LoS only."""
    d = np.array([5.0, 20.0, 100.0])
    assert np.all(path_loss_db("inf_dl", d, 3.5, False, 2, 1.5) >= path_loss_db("inf_sl", d, 3.5, False, 2, 1.5))
    np.testing.assert_array_equal(
        path_loss_db("inf_hh", d, 3.5, False, 8, 7), path_loss_db("inf_hh", d, 3.5, True, 8, 7)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("urban", 100, 3.5, True, 10, 1.5), "valid: umi, uma, rma, inh, inf_sl"),
        (("umi", -1, 3.5, True, 10, 1.5), "distance_2d_m"),
        (("umi", 100, 3500, True, 10, 1.5), "carrier_ghz: got 3500"),
        (("umi", 100, 3.5, True, 10, 1.0), "ut_height_m"),
        (("inh", 0, 3.5, True, 1.5, 1.5), "3-D distance"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match=words):
        path_loss_db(*arguments)


def test_los_probability_of_sionna_anchors():
    """UMi at 20, 50, 100, 200, 400 m as Sionna 2.2.0 gives it (TR 38.901 Table 7.4.2-1)."""
    np.testing.assert_allclose(
        los_probability("umi", [20, 50, 100, 200, 400]), [0.957, 0.52, 0.231, 0.094, 0.045], atol=6e-4
    )


def test_los_probability_by_hand():
    assert los_probability("uma", 18.0) == 1.0
    assert los_probability("uma", 100.0) == pytest.approx(0.18 + np.exp(-100 / 63) * 0.82, rel=1e-12)
    raised = 1 + ((20 - 13) / 10) ** 1.5 * 1.25 * np.exp(-100 / 150)
    expected = min(1.0, (0.18 + np.exp(-100 / 63) * 0.82) * raised)
    assert los_probability("uma", 100.0, 25.0, 20.0) == pytest.approx(expected, rel=1e-12)
    assert los_probability("rma", 1010.0) == pytest.approx(np.exp(-1), rel=1e-12)
    assert los_probability("inh", 6.5) == pytest.approx(0.32, rel=1e-12)
    assert los_probability("inh", 49.0, office="open") == pytest.approx(np.exp(-44 / 70.8), rel=1e-12)
    assert los_probability("inf_hh", 300.0) == 1.0
    sparse_low = los_probability("inf_sl", 50.0, 1.5, 1.5, clutter=Clutter(0.2, 10.0, 2.0))
    assert sparse_low == pytest.approx(np.exp(50 * np.log(0.8) / 10), rel=1e-12)
    sparse_high = los_probability("inf_sh", 50.0, 8.0, 1.5, clutter=Clutter(0.2, 10.0, 2.0))
    assert sparse_high == pytest.approx(np.exp(50 * np.log(0.8) / (10 * 6.5 / 0.5)), rel=1e-12)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_los_probability_is_a_falling_probability(scenario):
    p = los_probability(scenario, np.linspace(0, 2000, 5000), 8.0, 1.5)
    assert np.all((p >= 0) & (p <= 1))
    assert p[0] == 1.0
    # InH open steps from 0.537 up to 0.54 at 49 m, as the table prints it.
    assert np.all(np.diff(p) <= 0.005)


def test_environment_height():
    """h_E is 1 m below 13 m and near the site, else 12, 15, ... m up to hUT - 1.5 m with probability C / (1 + C)."""
    draws = np.random.default_rng(5).random((2, 4000))
    assert np.all(draw_environment_height_m(100.0, 10.5, draws) == 1.0)
    assert np.all(draw_environment_height_m(18.0, 22.5, draws) == 1.0)
    assert set(np.unique(draw_environment_height_m(300.0, 13.5, draws))) == {1.0, 12.0}
    drawn = draw_environment_height_m(300.0, 22.5, draws)
    assert set(np.unique(drawn)) == {1.0, 12.0, 15.0, 18.0, 21.0}
    factor = 0.95**1.5 * 1.25 * 27 * np.exp(-2)
    assert np.mean(drawn > 1) == pytest.approx(factor / (1 + factor), abs=0.03)
    # A higher environment brings the breakpoint nearer: 24 * 21.5 * 4 fc / c = 24 km, or 4 * 10.5 * 4 fc / c = 490 m.
    near, far = (path_loss_db("uma", 1000.0, 3.5, True, 25.0, 22.5, h) for h in (21.0, 1.0))
    assert near > far + 5


def test_wall_losses():
    """TR 38.901 Table 7.4.3-2 at 3.5 GHz: low 12.70 dB, high 26.85 dB; 0.5 dB per indoor metre."""
    np.testing.assert_allclose([float(wall_loss_db(b, 3.5)) for b in ("low", "high")], [12.70, 26.85], atol=0.0051)
    assert penetration_loss_db("low", 3.5, 10.0) - wall_loss_db("low", 3.5) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("num_prb", "scs_khz", "dbm"),
    [
        (273, 30, -94.08),
        (106, 30, -98.18),
        (51, 30, -101.36),
        (10, 30, -108.44),
        (1, 30, -118.44),
        (106, 15, -101.19),
        (66, 120, -94.22),
    ],
)
def test_noise_over_occupied_prbs(num_prb, scs_khz, dbm):
    assert noise_power_dbm(num_prb * 12 * scs_khz * 1e3) == pytest.approx(dbm, abs=0.0051)


@pytest.mark.parametrize(
    ("num_prb", "snrs_db", "shannon_mbps"),
    [
        (273, (-9.84, 0.16, 7.16), (14.0, 100.9, 258.7)),
        (51, (-2.55, 7.45, 14.45), (11.7, 49.8, 89.0)),
        (10, (4.52, 14.52, 21.52), (7.0, 17.5, 25.8)),
        (1, (14.52, 24.52, 31.52), (1.8, 2.9, 3.8)),
    ],
)
def test_uplink_link_budget(num_prb, snrs_db, shannon_mbps):
    """UE at 23 dBm, UMa NLoS 500 m at 3.5 GHz, noise figure 5 dB, base station gains of 8, 18, 25 dBi."""
    loss_db = float(path_loss_db("uma", 500, 3.5, False, 25, 1.5))
    bandwidth_hz = num_prb * 360e3
    snr = snr_db(23.0, np.array([8, 18, 25]) - loss_db, bandwidth_hz, 5.0)
    np.testing.assert_allclose(snr, snrs_db, atol=0.0101)
    np.testing.assert_allclose(bandwidth_hz * np.log2(1 + 10 ** (snr / 10)) / 1e6, shannon_mbps, atol=0.051)


def test_power_limited_uplink_gains_little_from_more_prbs():
    """Five times the PRBs at P_CMAX: 14.0 against 11.7 Mbit/s, not 58."""
    loss_db = float(path_loss_db("uma", 500, 3.5, False, 25, 1.5))
    rate = [w * np.log2(1 + 10 ** (float(snr_db(23.0, 8 - loss_db, w, 5.0)) / 10)) for w in (273 * 360e3, 51 * 360e3)]
    assert 1.0 < rate[0] / rate[1] < 1.25
