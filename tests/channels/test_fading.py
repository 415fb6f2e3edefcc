"""Fading: Doppler autocorrelation, Rayleigh and Rician laws, frequency correlation, and addressed phases."""

import numpy as np
import pytest
from scipy import stats

from channels.addressed import uniforms
from channels.fading import FadingChannel, IndependentFading, ProfileBank, doppler_hz
from channels.nr import prb_group_centres_hz
from channels.small_scale import small_scale_parameters
from channels.tap_profiles import (
    TDL_MODELS,
    condensed,
    fading_profile,
    rayleigh_profile,
    rician_profile,
    tdl_profile,
    with_k_factor,
)
from channels.theory import ergodic_rayleigh_bps_hz, jakes_autocorrelation

GROUPS_HZ = prb_group_centres_hz(51, 4, 30)


def make(profile, num_devices, speed_kmh, seed=1, **kwargs):
    return FadingChannel(profile, np.full(num_devices, speed_kmh / 3.6), 3.5, GROUPS_HZ, seed, **kwargs)


@pytest.mark.parametrize("model", TDL_MODELS)
def test_tdl_profiles_have_unit_power_and_the_spread_asked_for(model):
    """TR 38.901 Tables 7.7.2-1..5 are normalised to RMS delay spread 1 (to the printed digits)."""
    profile = tdl_profile(model, 100e-9)
    assert profile.rms_delay_spread_s == pytest.approx(100e-9, rel=0.35 if profile.los_power else 0.01)
    assert profile.los_power + profile.powers.sum() == pytest.approx(1.0, abs=1e-12)


def test_k_factors_of_the_los_profiles():
    """TR 38.901 Tables 7.7.2-4 and -5: K of the first tap 13.3 dB and 22 dB."""
    for model, k_db in (("tdl_d", 13.3), ("tdl_e", 22.0)):
        profile = tdl_profile(model, 100e-9)
        assert profile.delays_s[0] == 0.0
        assert 10 * np.log10(profile.los_power / profile.powers[0]) == pytest.approx(k_db, abs=0.06)


@pytest.mark.parametrize("speed_kmh", [3, 30, 120])
def test_autocorrelation_is_bessel(speed_kmh):
    """E[h(t) h*(t + tau)] = J0(2 pi fd tau) over 1500 devices x 13 groups of TDL-A (4 standard errors: 0.06)."""
    channel = make(tdl_profile("tdl_a", 300e-9), 1500, speed_kmh)
    start = channel.frequency_response(12.0)
    for lag_ms in (0.5, 1.0, 2.0, 5.0, 10.0):
        later = channel.frequency_response(12.0 + lag_ms * 1e-3)
        got = np.mean(start.conj() * later)
        expected = jakes_autocorrelation(doppler_hz(speed_kmh / 3.6, 3.5), lag_ms * 1e-3)
        assert got.real == pytest.approx(float(expected), abs=0.06)
        assert got.imag == pytest.approx(0.0, abs=0.06)


def test_first_zero_of_the_autocorrelation():
    """2.4048 / (2 pi fd) = 3.94 ms at 30 km/h and 3.5 GHz."""
    channel = make(rayleigh_profile(), 4000, 30)
    start = channel.frequency_response(0.0)[:, 0]
    lag_s = 2.4048 / (2 * np.pi * doppler_hz(30 / 3.6, 3.5))
    assert lag_s == pytest.approx(3.94e-3, rel=2e-3)
    assert abs(np.mean(start.conj() * channel.frequency_response(float(lag_s))[:, 0])) < 4 / np.sqrt(4000)


@pytest.mark.parametrize("profile", [rayleigh_profile(), tdl_profile("tdl_a", 100e-9), tdl_profile("tdl_c", 300e-9)])
def test_power_is_exponential(profile):
    """|h|^2 of NLoS profiles: Kolmogorov-Smirnov against the unit exponential at the 0.1 % level, 3000 devices."""
    gains = make(profile, 3000, 3).power_gains(3.0)[:, 6]
    assert gains.mean() == pytest.approx(1.0, abs=4 / np.sqrt(3000))
    assert stats.kstest(gains, "expon").pvalue > 1e-3


def test_rician_power_law():
    """|h|^2 of Rician K = 6 dB is noncentral chi-squared; K-S at the 0.1 % level."""
    k = 10**0.6
    gains = make(rician_profile(6.0), 3000, 3).power_gains(3.0)[:, 0].astype(float)
    assert stats.kstest(gains * 2 * (1 + k), stats.ncx2(2, 2 * k).cdf).pvalue > 1e-3


def test_ergodic_capacity_of_flat_rayleigh():
    """Mean of log2(1 + g |h|^2) over 500 devices x 40 independent times: closed form within 1.5 %."""
    channel = make(rayleigh_profile(), 500, 30)
    gains = np.stack([channel.power_gains(t)[:, 0] for t in np.arange(40) * 0.1])
    for snr_db in (0.0, 10.0, 20.0):
        got = np.mean(np.log2(1 + 10 ** (snr_db / 10) * gains.astype(float)))
        assert got == pytest.approx(float(ergodic_rayleigh_bps_hz(snr_db)), rel=0.015)


def test_frequency_correlation_follows_the_delays():
    profile = tdl_profile("tdl_b", 300e-9)
    response = make(profile, 3000, 3).frequency_response(1.0)
    got = np.mean(response * response[:, :1].conj(), axis=0)
    expected = profile.frequency_correlation(GROUPS_HZ - GROUPS_HZ[0])
    np.testing.assert_allclose(got, expected, atol=4 / np.sqrt(3000))


def test_flat_profiles_are_flat():
    gains = make(rayleigh_profile(), 5, 3).power_gains(0.7)
    np.testing.assert_array_equal(gains, np.broadcast_to(gains[:, :1], gains.shape))


@pytest.mark.parametrize("model", ["tdl_a", "tdl_d", "rayleigh", "rician"])
def test_a_device_owns_its_channel(model):
    """Bit for bit: subsets, more devices, other company, other order of questions."""
    profile = fading_profile(model)
    speeds = np.linspace(1, 30, 60)
    crowd = FadingChannel(profile, speeds, 3.5, GROUPS_HZ, 1)
    for tick in (0, 1, 31, 32, 77, 100_001):
        at = tick * 0.5e-3
        everyone = crowd.power_gains(at)
        for first, count in ((0, 1), (3, 1), (17, 2), (30, 16)):
            rows = np.arange(first, first + count)
            np.testing.assert_array_equal(crowd.power_gains(at, rows), everyone[rows])
            few = FadingChannel(profile, speeds[rows], 3.5, GROUPS_HZ, 1, device_ids=rows)
            np.testing.assert_array_equal(few.power_gains(at), everyone[rows])
    np.testing.assert_array_equal(
        crowd.power_gains(0.5e-3), FadingChannel(profile, speeds, 3.5, GROUPS_HZ, 1).power_gains(0.5e-3)
    )


def test_subsets_repeats_and_order_change_nothing():
    """Times and devices asked in any order, devices asked twice, many at once or few: the same bits."""
    channel = make(tdl_profile("tdl_d", 100e-9), 150, 120)
    rows = np.array([5, 5, 140, 30])
    for tick in (3, 40, 41, 2, 1000, 47):
        at = tick * 0.5e-3
        everyone = channel.power_gains(at)
        np.testing.assert_array_equal(channel.power_gains(at, rows), everyone[rows])
        np.testing.assert_allclose(np.abs(channel.frequency_response(at)) ** 2, everyone, rtol=1e-5)


def sum_of_sinusoids(profile, speed_m_s, device, at):
    """The channel of one device by the formula, every sinusoid by itself, phases in extended precision."""
    num_taps = len(profile.powers)
    draws = uniforms(1, "fading", "", entities=[device], count=9 * num_taps + 1)[0]
    doppler = np.longdouble(doppler_hz(speed_m_s, 3.5))
    angles = 2 * np.pi * (np.arange(8)[:, None] + draws[:num_taps]) / 8
    phases = 2 * np.pi * draws[num_taps:-1].reshape(8, num_taps)
    turns = doppler * np.cos(angles) * np.longdouble(at)
    taps = np.exp(1j * (2 * np.pi * (turns - np.rint(turns)).astype(float) + phases)).sum(axis=0)
    response = (np.sqrt(profile.powers / 8) * taps) @ np.exp(-2j * np.pi * np.outer(profile.delays_s, GROUPS_HZ))
    direct = doppler * np.longdouble(0.7 * at)
    start = 2 * np.pi * draws[-1]
    return response + np.sqrt(profile.los_power) * np.exp(1j * (2 * np.pi * float(direct - np.rint(direct)) + start))


def test_no_horizon():
    """A day in, the phases are still those of the formula in extended precision, and the channel still moves."""
    profile = tdl_profile("tdl_d", 100e-9)
    channel = make(profile, 20, 120)
    for at in (0.0, 0.0155, 100.0, 86_400.0):
        expected = np.stack([sum_of_sinusoids(profile, 120 / 3.6, device, at) for device in range(20)])
        np.testing.assert_allclose(channel.frequency_response(at), expected, atol=1e-5)
    assert np.max(np.abs(channel.power_gains(86_400.0) - channel.power_gains(86_400.0005))) > 0.1


def test_links_and_seeds_differ():
    base = make(rayleigh_profile(), 500, 3)
    for other in (make(rayleigh_profile(), 500, 3, seed=2), make(rayleigh_profile(), 500, 3, link="site1")):
        correlation = np.corrcoef(base.power_gains(0.0)[:, 0], other.power_gains(0.0)[:, 0])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(500)


def test_static_devices_do_not_fade_in_time():
    channel = make(tdl_profile("tdl_a", 100e-9), 4, 0)
    np.testing.assert_allclose(channel.power_gains(0.0), channel.power_gains(50.0), rtol=1e-5)


def test_independent_fading():
    draws = IndependentFading(2000, 13, seed=1)
    gains = draws.power_gains(0.5e-3)
    assert stats.kstest(gains[:, 0], "expon").pvalue > 1e-3
    np.testing.assert_array_equal(draws.power_gains(0.5e-3), gains)
    np.testing.assert_array_equal(IndependentFading(100, 13, seed=1).power_gains(0.5e-3), gains[:100])
    np.testing.assert_array_equal(draws.power_gains(0.5e-3, np.array([7])), gains[[7]])
    assert abs(np.corrcoef(gains[:, 0], draws.power_gains(1e-3)[:, 0])[0, 1]) < 0.1


@pytest.mark.parametrize("model", ["tdl_a", "tdl_c", "tdl_d"])
@pytest.mark.parametrize("num_taps", [6, 12])
def test_condensed_profiles(model, num_taps):
    """Power, delay spread and K stay; the frequency correlation over 20 MHz is close."""
    whole = tdl_profile(model, 100e-9)
    few = condensed(whole, num_taps)
    assert len(few.powers) == num_taps
    assert few.rms_delay_spread_s == pytest.approx(whole.rms_delay_spread_s, rel=1e-9)
    assert few.los_power + few.powers.sum() == pytest.approx(1.0)
    assert few.los_power == whole.los_power
    spacing_hz = np.linspace(0, 20e6, 50)
    gap = np.abs(np.abs(few.frequency_correlation(spacing_hz)) - np.abs(whole.frequency_correlation(spacing_hz)))
    assert gap.max() < {6: 0.35, 12: 0.06}[num_taps]


def test_k_factor_and_delay_spread_are_scaled_together():
    for k_db in (-3.0, 9.0, 15.0):
        profile = with_k_factor(tdl_profile("tdl_d", 30e-9), 10 ** (k_db / 10), 50e-9)
        assert profile.k_factor_db == pytest.approx(k_db)
        assert profile.rms_delay_spread_s == pytest.approx(50e-9)
    scattered = with_k_factor(tdl_profile("tdl_a", 30e-9), 0.0, 364e-9)
    assert scattered.los_power == 0
    assert scattered.rms_delay_spread_s == pytest.approx(364e-9)


def test_a_bank_gives_each_device_its_profile():
    """Devices of different profiles and K side by side: each to the bit as it would be among its like."""
    bank = ProfileBank(GROUPS_HZ, 12)
    profiles = [condensed(tdl_profile("tdl_a", 300e-9), 12), condensed(tdl_profile("tdl_d", 50e-9), 12)]
    assert list(bank.add(profiles)) == [0, 1]
    index, k = np.arange(40) % 2, np.where(np.arange(40) % 2, 7.9, 0.0)
    mixed = make(bank, 40, 30, profile_index=index, k_linear=k)
    for which in (0, 1):
        rows = np.flatnonzero(index == which)
        alone = make(bank, len(rows), 30, device_ids=rows, profile_index=index[rows], k_linear=k[rows])
        np.testing.assert_array_equal(alone.power_gains(0.3), mixed.power_gains(0.3)[rows])
    flipped = make(bank, 40, 30, profile_index=index, k_linear=k)
    flipped.use_profiles(1 - index, k[::-1])
    flipped.use_profiles(index, k)
    np.testing.assert_array_equal(flipped.power_gains(0.3), mixed.power_gains(0.3))
    with pytest.raises(ValueError, match="num_taps: got a profile of 23"):
        bank.add([tdl_profile("tdl_a", 100e-9)])


def test_fourth_moment_of_line_of_sight_devices():
    """E|h|^4 / E^2 = 1 + (1 + 2 K) / (1 + K)^2: 1.21 at the 9 dB of UMi, 2 for Rayleigh; 4000 devices."""
    law = small_scale_parameters("umi", "los", 3.5)
    profile = condensed(with_k_factor(tdl_profile("tdl_d", 1e-7), law.median_k_linear, law.median_delay_spread_s), 12)
    gains = make(profile, 4000, 30).power_gains(2.0)[:, ::6].astype(float)
    assert np.mean(gains**2) / np.mean(gains) ** 2 == pytest.approx(1.21, abs=0.03)
    scattered = make(condensed(tdl_profile("tdl_a", 103e-9), 12), 4000, 30).power_gains(2.0)[:, ::6].astype(float)
    assert np.mean(scattered**2) / np.mean(scattered) ** 2 == pytest.approx(2.0, abs=0.15)


def test_refusals():
    with pytest.raises(ValueError, match="valid: tdl_a, tdl_b, tdl_c, tdl_d, tdl_e, rayleigh, rician"):
        fading_profile("cdl_a")
    with pytest.raises(ValueError, match="device_ids"):
        make(rayleigh_profile(), 3, 3, device_ids=[1, 2])
    with pytest.raises(ValueError, match="num_sinusoids: got 7; valid: even"):
        make(rayleigh_profile(), 3, 3, num_sinusoids=7)
    with pytest.raises(ValueError, match="speeds_m_s: got -1"):
        FadingChannel(rayleigh_profile(), [-1.0], 3.5, [0.0], 1)


@pytest.mark.parametrize(("model", "letter"), [("tdl_a", "A"), ("tdl_d", "D")])
def test_statistics_of_sionna_tdl(model, letter):
    """sionna.phy TDL at 300 ns and 30 km/h: spread of |H|^2, of its band mean, frequency and time correlation.

    Tolerances are about four standard errors of each statistic over 1500 links.
    """
    import torch
    from sionna.phy import config
    from sionna.phy.channel import cir_to_ofdm_channel
    from sionna.phy.channel.tr38901 import TDL

    num_links, speed_m_s = 1500, 30 / 3.6
    torch_state = torch.get_rng_state()
    config.seed = 5
    source = TDL(letter, 300e-9, 3.5e9, min_speed=speed_m_s, max_speed=speed_m_s, device="cpu")
    paths, delays = source(num_links, 3, 1000.0)
    response = cir_to_ofdm_channel(torch.tensor(GROUPS_HZ, dtype=torch.float32), paths, delays, normalize=False)
    torch.set_rng_state(torch_state)
    channel = make(tdl_profile(model, 300e-9), num_links, 30)
    ours = np.stack([channel.frequency_response(t * 1e-3) for t in range(3)], axis=1)
    for measure, tolerance in (
        (lambda h: (np.abs(h) ** 2).mean(), 0.06),
        (lambda h: (np.abs(h) ** 2).std(), 0.12),
        (lambda h: (np.abs(h) ** 2).mean(axis=2).std(), 0.08),
        (lambda h: np.abs((h[:, 0, 1:] * h[:, 0, :1].conj()).mean(axis=0)), 0.1),
        (lambda h: np.abs((h[:, 1:] * h[:, :1].conj()).mean(axis=(0, 2))), 0.06),
    ):
        np.testing.assert_allclose(measure(ours), measure(response[:, 0, 0, 0, 0].numpy()), atol=tolerance)
