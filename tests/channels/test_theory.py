"""Closed forms against their known values and against independent evaluation."""

import re

import numpy as np
import pytest
from scipy import special

from channels import theory
from channels.antenna import ColumnAntenna
from channels.fading import doppler_hz
from channels.harq import incremental_gain_db


def test_ergodic_rayleigh_capacity():
    """e^(1/g) E1(1/g) / ln 2."""
    expected = [0.1321, 0.8603, 1.7160, 2.9065, 4.3302, 5.8840, 9.1436]
    np.testing.assert_allclose(theory.ergodic_rayleigh_bps_hz([-10, 0, 5, 10, 15, 20, 30]), expected, atol=5.1e-5)
    # Low SNR: g / ln 2, to first order.
    assert theory.ergodic_rayleigh_bps_hz(-60) == pytest.approx(1e-6 / np.log(2), rel=2e-6)


def alternating_gain(n, g):
    total = sum((-1) ** (k - 1) * special.comb(n, k) * np.exp(k / g) * special.exp1(k / g) for k in range(1, n + 1))
    return total / (np.exp(1 / g) * special.exp1(1 / g))


def test_pf_gain():
    assert theory.pf_gain(2, 0) == pytest.approx(1.3941, abs=5.1e-5)
    assert theory.pf_gain(4, 0) == pytest.approx(1.7765, abs=5.1e-5)
    for n in (1, 2, 3, 8, 16):
        for snr_db in (-10, 0, 10, 20):
            assert theory.pf_gain(n, snr_db) == pytest.approx(alternating_gain(n, 10 ** (snr_db / 10)), rel=1e-7)


def test_pf_gain_tends_to_harmonic_numbers():
    for n, harmonic in ((2, 1.5), (4, 2.0833), (8, 2.7179), (16, 3.3807)):
        assert theory.pf_gain(n, -50) == pytest.approx(harmonic, abs=1e-4)


def test_outage():
    """1 - exp(-(2^R - 1) / g)."""
    np.testing.assert_allclose(
        theory.outage_probability([10, 10, 20], [1, 2, 4]), [0.09516, 0.25918, 0.13929], atol=6e-6
    )


def test_chase_outage():
    got = [theory.chase_outage_probability(10, 2, m) for m in (2, 3, 4)]
    np.testing.assert_allclose(got, [0.036936, 0.0035995, 0.00026581], rtol=2e-5)
    np.testing.assert_allclose(
        [theory.chase_outage_probability(10, 1, m) for m in (2, 3)], [0.004679, 0.0001547], rtol=4e-4
    )
    np.testing.assert_allclose(
        [theory.chase_outage_probability(20, 4, m) for m in (2, 3)], [0.010186, 0.0005029], rtol=2e-4
    )


@pytest.mark.parametrize(
    ("speed_kmh", "doppler", "lags_ms", "expected"),
    [
        (3, 9.72, [0.5, 1, 5, 10], [0.99977, 0.99907, 0.97681, 0.90886]),
        (30, 97.22, [1, 2, 5], [0.90886, 0.66024, -0.27792]),
        (120, 388.9, [0.5, 1, 2], [0.66024, -0.01989, -0.21384]),
    ],
)
def test_jakes_autocorrelation(speed_kmh, doppler, lags_ms, expected):
    """Reference values use fd = v fc / 3e8; the exact speed of light moves them by less than 1e-3."""
    assert doppler_hz(speed_kmh / 3.6, 3.5) == pytest.approx(doppler, rel=1e-3)
    reference = theory.jakes_autocorrelation(speed_kmh / 3.6 * 3.5e9 / 3e8, np.array(lags_ms) * 1e-3)
    np.testing.assert_allclose(reference, expected, atol=6e-6)
    ours = theory.jakes_autocorrelation(doppler_hz(speed_kmh / 3.6, 3.5), np.array(lags_ms) * 1e-3)
    np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_queues():
    """M/M/1 and M/D/1 time in system in service times; M/G/1 with exponential service is M/M/1."""
    rho = np.array([0.5, 0.7, 0.8, 0.9, 0.95])
    np.testing.assert_allclose(theory.mm1_sojourn(rho), [2, 10 / 3, 5, 10, 20], rtol=1e-12)
    np.testing.assert_allclose(theory.md1_sojourn(rho), [1.5, 2.1667, 3, 5.5, 10.5], atol=5e-5)
    np.testing.assert_allclose(1 + theory.mg1_wait(rho, 1.0, 2.0), theory.mm1_sojourn(rho), rtol=1e-12)
    np.testing.assert_allclose(theory.mm1_sojourn_quantile([0.5, 0.9], 0.95), [5.99, 29.96], atol=5e-3)
    with pytest.raises(ValueError, match="utilisation"):
        theory.mm1_sojourn(1.0)


def test_harq_delay_law():
    """RTT of 3 slots (FDD) and 5 slots (DDDSU) of 0.5 ms at p = 0.1: 0.167 and 0.278 ms; and by simulation."""
    np.testing.assert_allclose(theory.harq_mean_delay([1.5, 2.5], 0.1), [0.167, 0.278], atol=5e-4)
    failures = np.random.default_rng(0).geometric(0.7, 200_000) - 1
    assert 4 * failures.mean() == pytest.approx(float(theory.harq_mean_delay(4, 0.3)), rel=0.02)


def test_jain():
    assert theory.jain_index([3, 3, 3, 3]) == pytest.approx(1.0)
    assert theory.jain_index([1, 0, 0, 0]) == pytest.approx(0.25)
    assert np.isnan(theory.jain_index([0, 0]))


def test_mrc_outage():
    """R = 2 bit/s/Hz at 10 dB per branch with 1, 2 and 4 branches; one branch is plain Rayleigh outage."""
    got = [float(theory.mrc_outage(2.0, 10.0, branches)) for branches in (1, 2, 4)]
    np.testing.assert_allclose(got, [0.2592, 0.03694, 2.658e-4], rtol=4e-4)
    np.testing.assert_allclose(theory.mrc_outage(1.0, [0, 10, 20], 1), theory.outage_probability([0, 10, 20], 1.0))
    with pytest.raises(ValueError, match="num_rx: got 0"):
        theory.mrc_outage(2.0, 10.0, 0)


def test_ergodic_mimo():
    """Maximum-ratio combining at 0 and 10 dB, open loop 2x2 and 4x4 at 10 dB, one by one against the closed form."""
    np.testing.assert_allclose(theory.ergodic_mimo_bps_hz(1, 2, [0, 10]), [1.4427, 4.0586], atol=5.1e-5)
    np.testing.assert_allclose(theory.ergodic_mimo_bps_hz(1, 4, [0, 10]), [2.2104, 5.1811], atol=5.1e-5)
    assert theory.ergodic_mimo_bps_hz(2, 2, 10.0) == pytest.approx(5.546, rel=0.01)
    assert theory.ergodic_mimo_bps_hz(4, 4, 10.0) == pytest.approx(10.938, rel=0.01)
    snr_db = np.arange(-20, 41, 5)
    np.testing.assert_allclose(
        theory.ergodic_mimo_bps_hz(1, 1, snr_db), theory.ergodic_rayleigh_bps_hz(snr_db), rtol=1e-11
    )


@pytest.mark.parametrize(("num_tx", "num_rx", "snr_db"), [(2, 4, 20.0), (4, 2, 0.0), (4, 4, 10.0), (16, 16, 10.0)])
def test_ergodic_mimo_is_the_mean_of_draws(num_tx, num_rx, snr_db):
    """2000 channels drawn at random; four standard errors."""
    draw = np.random.default_rng(7)
    shape = (2000, num_rx, num_tx)
    channel = (draw.normal(size=shape) + 1j * draw.normal(size=shape)) / np.sqrt(2)
    gram = channel @ channel.conj().transpose(0, 2, 1)
    rates = np.linalg.slogdet(np.eye(num_rx) + 10 ** (snr_db / 10) / num_tx * gram)[1] / np.log(2)
    bound = 4 * rates.std() / np.sqrt(len(rates))
    assert theory.ergodic_mimo_bps_hz(num_tx, num_rx, snr_db) == pytest.approx(rates.mean(), abs=bound)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.mrc_outage(-1, 10, 2), "rate_bps_hz: got -1; valid: 0 to inf"),
        (lambda: theory.outage_probability(10, np.nan), "rate_bps_hz: got nan; valid: 0 to inf"),
        (lambda: theory.drx_mean_wait_s(0.04, 0.05), "on_s / cycle_s: got 1.25; valid: 0 to 1"),
        (lambda: theory.drx_mean_wait_s(0.0, 0.0), "cycle_s: got 0.0; valid: finite and > 0"),
        (lambda: theory.preamble_collision(0), "num_devices: got 0; valid: 1 to inf"),
        (lambda: theory.preamble_collision([2, 3], 0), "num_preambles: got 0; valid: 1 to inf"),
    ],
)
def test_what_has_no_meaning_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_limits_are_valid():
    assert theory.mrc_outage(0, 10, 2) == theory.preamble_collision(1) == theory.drx_mean_wait_s(0.04, 0.04) == 0


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: theory.mrc_outage(2, 10, 1.5), "num_rx: got 1.5"),
        (lambda: theory.ergodic_mimo_bps_hz(2.5, 1, 0), "num_tx: got 2.5"),
        (lambda: theory.ergodic_mimo_bps_hz(2, 65, 0), "num_rx: got 65"),
        (lambda: incremental_gain_db(2, 0.5, 1000, 1.5), "num_transmissions: got 1.5"),
        (lambda: ColumnAntenna(2.5, 100), "num_elements: got 2.5"),
    ],
)
def test_counts_are_whole_numbers(call, name):
    with pytest.raises(ValueError, match=f"{name}; valid: whole numbers, 1 "):
        call()
