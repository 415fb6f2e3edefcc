"""The shadowing field: its autocorrelation, its law, and that nothing is redrawn by a move or by company."""

import numpy as np
import pytest

from channels.shadowing import (
    CorrelatedField,
    LineOfSightMap,
    ShadowingMap,
    los_state_correlation_m,
    shadowing_parameters,
    shadowing_states,
)

NUM_FIELDS = 400


@pytest.mark.parametrize("correlation_m", [13.0, 50.0])
def test_autocorrelation_is_exponential_in_any_direction(correlation_m):
    """E[s(x) s(x + d)] = exp(-d / d_corr) over 400 fields x 16 distant places; 4 standard errors are 0.05."""
    lags = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 4.0]) * correlation_m
    rng = np.random.default_rng(0)
    places = rng.uniform(-1000, 1000, (16, 2)) * correlation_m
    for angle in (0.0, 1.1):
        points = places[:, None] + lags[:, None] * np.array([np.cos(angle), np.sin(angle)])
        values = np.stack([CorrelatedField(correlation_m, seed, "test").values(points) for seed in range(NUM_FIELDS)])
        got = np.mean(values[:, :, :1] * values, axis=(0, 1))
        np.testing.assert_allclose(got, np.exp(-lags / correlation_m), atol=0.05)


def test_one_field_along_one_long_track():
    """A single realisation walked over 400 correlation distances has the same law, without help from averaging fields.

    The error of a time average over 400 d_corr is about sqrt(2 / 400) = 0.07; two of them are allowed.
    """
    step_m, correlation_m = 1.0, 13.0
    track = np.stack([np.arange(0, 400 * correlation_m, step_m), np.zeros(int(400 * correlation_m / step_m))], axis=1)
    values = CorrelatedField(correlation_m, 3, "track").values(track)
    values = (values - values.mean()) / values.std()
    for lag in (1, 5, 10, 13, 20):
        got = np.mean(values[:-lag] * values[lag:])
        assert got == pytest.approx(np.exp(-lag / correlation_m), abs=0.14)


def test_values_are_standard_gaussian():
    values = np.concatenate([CorrelatedField(10.0, s, "g").values([[0.0, 0.0], [5e3, 0.0]]) for s in range(2000)])
    assert values.mean() == pytest.approx(0.0, abs=4 / np.sqrt(4000))
    assert values.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * 4000))
    assert np.mean(np.abs(values) < 1.959964) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_a_centimetre_changes_centimetres_worth():
    """A move of 1 cm keeps correlation exp(-0.01 / 13): the rms change is sigma sqrt(2 * 0.01 / 13) = 0.31 dB."""
    here = np.random.default_rng(1).uniform(-300, 300, (500, 2))
    shadow = ShadowingMap("umi", 1, 0)
    change = shadow.shadowing_db(here + np.array([0.01, 0.0]), "nlos") - shadow.shadowing_db(here, "nlos")
    assert np.sqrt(np.mean(change**2)) < 2 * 7.82 * np.sqrt(2 * 0.01 / 13)
    assert np.max(np.abs(change)) < 2.0


def test_never_redrawn():
    """Out and back, alone or in company, in any order, in a new object: the same bits."""
    positions = np.random.default_rng(2).uniform(-500, 500, (300, 2))
    one = ShadowingMap("uma", 9, 2)
    together = one.shadowing_db(positions, "nlos")
    one.shadowing_db(positions + 123.0, "los")
    np.testing.assert_array_equal(one.shadowing_db(positions, "nlos"), together)
    np.testing.assert_array_equal(ShadowingMap("uma", 9, 2).shadowing_db(positions[::-1], "nlos")[::-1], together)
    alone = [float(one.shadowing_db(p, "nlos")) for p in positions[:20]]
    np.testing.assert_array_equal(alone, together[:20])


def test_sites_seeds_and_states_are_independent():
    positions = np.random.default_rng(3).uniform(-2e4, 2e4, (4000, 2))
    base = ShadowingMap("uma", 1, 0)
    reference = base.shadowing_db(positions, "nlos") / 6
    for other in (
        ShadowingMap("uma", 1, 1).shadowing_db(positions, "nlos") / 6,
        ShadowingMap("uma", 2, 0).shadowing_db(positions, "nlos") / 6,
        base.shadowing_db(positions, "los") / 4,
    ):
        assert abs(np.mean(reference * other)) < 0.1


def test_devices_near_each_other_share_their_shadow():
    """Correlation between devices is the field's: 0.9 at 1.37 m and below 0.1 beyond 30 m in UMi NLoS."""
    values = np.stack(
        [ShadowingMap("umi", s, 0).shadowing_db([[0, 0], [1.37, 0], [0, 40]], "nlos") for s in range(800)]
    )
    correlation = np.corrcoef(values.T)
    assert correlation[0, 1] == pytest.approx(0.9, abs=0.03)
    assert abs(correlation[0, 2]) < 0.05 + 4 / np.sqrt(800)


def test_laws_of_the_scenarios():
    """TR 38.901 Tables 7.4.1-1 and 7.5-6."""
    assert (shadowing_parameters("umi", "nlos").sigma_db, shadowing_parameters("umi", "nlos").correlation_m) == (
        7.82,
        13.0,
    )
    assert (shadowing_parameters("uma", "los").sigma_db, shadowing_parameters("uma", "los").correlation_m) == (
        4.0,
        37.0,
    )
    assert (shadowing_parameters("rma", "nlos").sigma_db, shadowing_parameters("rma", "nlos").correlation_m) == (
        8.0,
        120.0,
    )
    assert (shadowing_parameters("inh", "nlos").sigma_db, shadowing_parameters("inh", "nlos").correlation_m) == (
        8.03,
        6.0,
    )
    assert (shadowing_parameters("umi", "o2i").sigma_db, shadowing_parameters("umi", "o2i").correlation_m) == (7.0, 7.0)
    assert shadowing_states("inf_hh") == ("los",)
    assert los_state_correlation_m("rma") == 60.0
    with pytest.raises(ValueError, match="state of inh: got 'o2i'; valid: los, nlos"):
        shadowing_parameters("inh", "o2i")


def test_los_state_has_its_probability_and_is_consistent():
    """Share of LoS equals P over independent places; along a 200 m walk the state flips a few times only."""
    far_apart = np.random.default_rng(5).uniform(-1e5, 1e5, (4000, 2))
    for p in (0.1, 0.5, 0.9):
        got = np.mean(LineOfSightMap("umi", 4, 0).is_los(far_apart, p))
        assert got == pytest.approx(p, abs=0.05)
    track = np.stack([np.arange(200.0), np.zeros(200)], axis=1)
    flips = [np.count_nonzero(np.diff(LineOfSightMap("umi", s, 0).is_los(track, 0.5))) for s in range(60)]
    # Independent draws would flip 100 times.
    assert np.mean(flips) < 25
    here = LineOfSightMap("umi", 4, 0).is_los(track, 0.5)
    np.testing.assert_array_equal(LineOfSightMap("umi", 4, 0).is_los(track[50:60], 0.5), here[50:60])
