"""Receivers, correlation, precoders and beams against closed forms, brute force and each other."""

import numpy as np
import pytest

from channels.beams import BeamGrid
from channels.codebook import open_loop_precoders, type_one_precoders
from channels.fading import FadingChannel, ProfileBank
from channels.mimo import (
    correlation_matrix,
    correlation_root,
    layer_sinr,
    mismatched_mmse_sinr,
    mmse_sinr,
    mrc_sinr,
    steering_vectors,
    white_mmse_sinr,
)
from channels.mimo_fading import AntennaArrays, MimoFading
from channels.nr import prb_group_centres_hz
from channels.tap_profiles import rayleigh_profile
from channels.theory import ergodic_mimo_bps_hz, mrc_outage

GROUPS_HZ = prb_group_centres_hz(51, 4, 30)


def draws(seed, *shape):
    draw = np.random.default_rng(seed)
    return (draw.normal(size=shape) + 1j * draw.normal(size=shape)) / np.sqrt(2)


def covariances(seed, count, num_rx, num_interferers, power=3.0):
    """Noise of power 1 and some interferers."""
    hits = draws(seed, count, num_rx, num_interferers) * np.sqrt(power)
    return np.eye(num_rx) + hits @ hits.conj().transpose(0, 2, 1)


def flat_links(num_links, arrays, seed=1, k=None, speed_m_s=1.0):
    bank = ProfileBank([0.0], 1)
    bank.add([rayleigh_profile()])
    links = MimoFading(arrays, bank, np.full(num_links, speed_m_s), 3.5, seed, np.arange(num_links))
    if k is not None:
        links.use_profiles(np.zeros(num_links, dtype=int), np.full(num_links, k))
    return links


@pytest.mark.parametrize("num_rx", [1, 2, 4])
def test_maximum_ratio_combining_meets_its_outage(num_rx):
    """R = 2 bit/s/Hz at 10 dB per branch over 20,000 links: .2592, .03694 and 2.658e-4, four standard errors."""
    links = flat_links(20_000, AntennaArrays(num_rx, 1))
    channel = links.matrices(3.0, np.arange(20_000))[:, 0, :, 0].astype(complex)
    sinr = mrc_sinr(channel, np.broadcast_to(0.1 * np.eye(num_rx), (20_000, num_rx, num_rx)))
    np.testing.assert_allclose(sinr, 10 * np.sum(np.abs(channel) ** 2, axis=1), rtol=1e-9)
    expected = float(mrc_outage(2.0, 10.0, num_rx))
    got = np.mean(np.log2(1 + sinr) < 2)
    assert got == pytest.approx(expected, abs=4 * np.sqrt(expected / 20_000) + 1e-4)


@pytest.mark.parametrize(("num_tx", "num_rx"), [(2, 2), (4, 4), (1, 4)])
def test_open_loop_mimo_meets_its_ergodic_rate(num_tx, num_rx):
    """log2 det of the link's own channels and precoders within 1.5 % of the closed form: 10.938 for 4x4 at 10 dB.

    The sum over layers that are decoded one after the other is that capacity, to rounding; without cancellation it is
    less.
    """
    links = flat_links(4000, AntennaArrays(num_rx, num_tx))
    precoder = open_loop_precoders(num_tx, num_tx, 1)[0]
    channel = links.matrices(1.0, np.arange(4000))[:, 0].astype(complex) @ precoder
    noise = np.full(4000, 0.1)
    white = 0.1 * np.broadcast_to(np.eye(num_rx), (4000, num_rx, num_rx))
    capacity = np.linalg.slogdet(np.eye(num_rx) + channel @ channel.conj().transpose(0, 2, 1) / 0.1)[1] / np.log(2)
    assert capacity.mean() == pytest.approx(float(ergodic_mimo_bps_hz(num_tx, num_rx, 10.0)), rel=0.015)
    successive = np.zeros(4000)
    for layer in range(num_tx):
        successive += np.log2(1 + mmse_sinr(channel[:, :, layer:], white)[:, 0])
    np.testing.assert_allclose(successive, capacity, rtol=1e-6)
    together = np.log2(1 + white_mmse_sinr(channel, noise))
    np.testing.assert_allclose(together, np.log2(1 + mmse_sinr(channel, white)), rtol=1e-6)
    assert together.sum(axis=1).mean() <= capacity.mean() + 1e-9


def brute_force_sinr(channel, covariance, weights):
    """SINR of each layer behind given weights, term by term."""
    result = []
    for layer in range(channel.shape[1]):
        w = weights[:, layer]
        wanted = abs(w.conj() @ channel[:, layer]) ** 2
        others = sum(abs(w.conj() @ channel[:, k]) ** 2 for k in range(channel.shape[1]) if k != layer)
        result.append(wanted / (others + (w.conj() @ covariance @ w).real))
    return result


@pytest.mark.parametrize(("num_rx", "num_layers"), [(2, 1), (2, 2), (4, 1), (4, 2), (4, 3), (4, 4)])
def test_mmse_is_the_best_linear_receiver(num_rx, num_layers):
    channel = draws(1, 30, num_rx, num_layers) * 2
    covariance = covariances(2, 30, num_rx, 2)
    best = mmse_sinr(channel, covariance)
    blind = mismatched_mmse_sinr(channel, covariance)
    for index in range(30):
        total = channel[index] @ channel[index].conj().T + covariance[index]
        weights = np.linalg.solve(total, channel[index])
        np.testing.assert_allclose(best[index], brute_force_sinr(channel[index], covariance[index], weights), rtol=1e-9)
        mean = np.trace(covariance[index]).real / num_rx
        weights = np.linalg.solve(channel[index] @ channel[index].conj().T + mean * np.eye(num_rx), channel[index])
        np.testing.assert_allclose(
            blind[index], brute_force_sinr(channel[index], covariance[index], weights), rtol=1e-9
        )
        other = draws(index + 9, num_rx, num_layers)
        assert np.all(best[index] >= brute_force_sinr(channel[index], covariance[index], other))
    assert np.all(best >= blind - 1e-9)


def test_interference_rejection_against_one_strong_interferer():
    """Two antennas null one interferer: what is left of the signal is its part across the interferer's direction."""
    signal, hit = draws(3, 200, 2), draws(4, 200, 2)
    covariance = np.eye(2) + 1e7 * hit[:, :, None] * hit[:, None, :].conj()
    along = np.abs(np.sum(hit.conj() * signal, axis=1)) ** 2 / np.sum(np.abs(hit) ** 2, axis=1)
    expected = np.sum(np.abs(signal) ** 2, axis=1) - along
    np.testing.assert_allclose(layer_sinr(signal[:, :, None], covariance, "mmse_irc")[:, 0], expected, rtol=1e-4)
    assert np.all(layer_sinr(signal[:, :, None], covariance, "mrc")[:, 0] < 1e-2 * expected + 1e-3)
    with pytest.raises(ValueError, match="receiver: got 'zf'; valid: mrc, mmse_irc"):
        layer_sinr(signal[:, :, None], covariance, "zf")


def test_correlation_matrices():
    """TS 36.101 B.2.3.1: exponents 1/9, 4/9 and 1 of four antennas; the root is triangular and gives it back."""
    four = correlation_matrix(4, 0.9)
    np.testing.assert_allclose(four[0], [1, 0.9 ** (1 / 9), 0.9 ** (4 / 9), 0.9])
    np.testing.assert_array_equal(correlation_matrix(2, 0.0), np.eye(2))
    for coefficient in (0.0, 0.3, 0.9, 1.0):
        root = correlation_root(4, coefficient)
        np.testing.assert_allclose(root @ root.T, correlation_matrix(4, coefficient), atol=1e-8)


@pytest.mark.parametrize(("level", "bs", "ue"), [("low", 0.0, 0.0), ("medium", 0.3, 0.9), ("high", 0.9, 0.9)])
def test_channels_are_correlated_as_asked(level, bs, ue):
    links = flat_links(8000, AntennaArrays(2, 2, level))
    channel = links.matrices(0.5, np.arange(8000))[:, 0]
    assert np.mean(np.abs(channel) ** 2, axis=0) == pytest.approx(np.ones((2, 2)), abs=0.06)
    assert np.mean(channel[:, 0, 0] * channel[:, 1, 0].conj()).real == pytest.approx(bs, abs=0.05)
    assert np.mean(channel[:, 0, 0] * channel[:, 0, 1].conj()).real == pytest.approx(ue, abs=0.05)
    assert np.mean(channel[:, 0, 0] * channel[:, 1, 1].conj()).real == pytest.approx(bs * ue, abs=0.05)


def test_more_antennas_leave_the_first_ones_alone():
    small, large = flat_links(50, AntennaArrays(1, 1)), flat_links(50, AntennaArrays(4, 2))
    rows = np.arange(50)
    few = small.matrices(0.4, rows)
    np.testing.assert_array_equal(large.matrices(0.4, rows)[:, :, :1, :1], few)
    np.testing.assert_array_equal(large.matrices(0.4, rows, 1, 1), few)
    np.testing.assert_allclose(large.matrices(0.4, rows)[:, :, :2], large.matrices(0.4, rows, num_bs=2))


def test_one_antenna_is_the_single_channel():
    bank = ProfileBank(GROUPS_HZ, 1)
    bank.add([rayleigh_profile()])
    link = MimoFading(AntennaArrays(), bank, np.ones(5), 3.5, 1, np.arange(5))
    alone = FadingChannel(bank, np.ones(5), 3.5, GROUPS_HZ, 1, np.arange(5) * 64**2)
    np.testing.assert_array_equal(link.matrices(0.7, np.arange(5))[:, :, 0, 0], alone.frequency_response(0.7))


def test_a_strong_direct_path_has_rank_one_unless_polarisations_cross():
    """K = 40 dB: alike antennas give one eigenvalue n_bs n_ue, crossed ones two equal ones, a quarter of it each."""
    rows = np.arange(40)
    for polarisation, expected in (("single", [4.0, 0.0]), ("cross", [1.0, 1.0])):
        links = flat_links(40, AntennaArrays(2, 2, polarisation=polarisation), k=1e4)
        values = np.linalg.svd(links.matrices(0.2, rows)[:, 0], compute_uv=False) ** 2
        np.testing.assert_allclose(values.mean(axis=0), expected, atol=0.05)
    scattered = flat_links(4000, AntennaArrays(2, 2, polarisation="cross"))
    power = np.mean(np.abs(scattered.matrices(0.2, np.arange(4000))[:, 0]) ** 2, axis=0)
    np.testing.assert_allclose(power, np.full((2, 2), 0.5), atol=0.04)
    with pytest.raises(ValueError, match="num_bs with crossed polarisations: got 3"):
        AntennaArrays(3, 2, polarisation="cross")


@pytest.mark.parametrize(
    ("ports", "layers", "count"), [(2, 1, 4), (2, 2, 2), (4, 1, 32), (4, 2, 32), (4, 3, 16), (4, 4, 16)]
)
def test_codebook(ports, layers, count):
    """Sizes of TS 38.214 Tables 5.2.2.2.1-1 and -5 to -8; unit power, equal over ports, layers orthogonal."""
    precoders = type_one_precoders(ports, layers)
    assert precoders.shape == (count, ports, layers)
    grams = precoders.conj().transpose(0, 2, 1) @ precoders
    np.testing.assert_allclose(grams, np.broadcast_to(np.eye(layers) / layers, grams.shape), atol=1e-12)
    np.testing.assert_allclose(np.sum(np.abs(precoders) ** 2, axis=2), 1 / ports, atol=1e-12)
    distinct = {tuple(np.round(p.ravel(), 9)) for p in precoders}
    assert len(distinct) == count


def test_two_port_codebook_by_the_table():
    """Index 0 to 3: [1, 1], [1, j], [1, -1], [1, -j] over sqrt 2; two layers [1 1; 1 -1], [1 1; j -j] over 2."""
    one = type_one_precoders(2, 1)[:, :, 0] * np.sqrt(2)
    np.testing.assert_allclose(one, [[1, 1], [1, 1j], [1, -1], [1, -1j]], atol=1e-12)
    two = type_one_precoders(2, 2) * 2
    np.testing.assert_allclose(two, [[[1, 1], [1, -1]], [[1, 1], [1j, -1j]]], atol=1e-12)


def test_open_loop_precoders_are_white():
    """With as many layers as ports W W^H = I / n in each group; with fewer it is so in the mean over the band."""
    for ports in (2, 4):
        full = open_loop_precoders(ports, ports, 13)
        np.testing.assert_allclose(
            full @ full.conj().transpose(0, 2, 1), np.tile(np.eye(ports) / ports, (13, 1, 1)), atol=1e-12
        )
        one = open_loop_precoders(ports, 1, 2 * ports + 1)
        mean = np.mean(one @ one.conj().transpose(0, 2, 1), axis=0)
        np.testing.assert_allclose(mean, np.eye(ports) / ports, atol=1e-9)


def test_steering():
    np.testing.assert_allclose(np.abs(steering_vectors(4, 0.3)), 1.0)
    np.testing.assert_allclose(steering_vectors(2, 1.0), [1, -1], atol=1e-12)


def test_beams_reach_the_array_gain_at_their_peak():
    """32 ports: 8 x 2 sub-arrays of each polarisation, 12.04 dB; 64: 8 x 4, 15.05 dB; beams overlap at -0.9 dB."""
    for ports, expected in ((32, 16), (64, 32)):
        grid = BeamGrid.of_ports(ports, 3, 100.0)
        azimuth = np.rad2deg(np.arcsin(np.array([-8, 0, 5]) / 16))
        beam = grid.best(azimuth, np.full(3, 90.0))
        assert beam[0].tolist() == [-8, 0, 5]
        zenith = np.rad2deg(np.arccos(np.cos(np.deg2rad(100.0))))
        peak = grid.gain(grid.best(0.0, zenith), 0.0, zenith)
        assert peak == pytest.approx(expected)
        # The best beam of any direction within the sector loses little; that of another direction much.
        angles = np.linspace(-60, 60, 241)
        own = grid.gain(grid.best(angles, 100.0), angles, 100.0)
        assert own.min() > expected * 10**-0.1
        other = grid.gain(grid.best(angles + 40, 100.0), angles, 100.0)
        assert np.median(other) < expected / 15


def test_scattering_flattens_beams():
    """With spread the beam's gain falls towards that of a sub-array; a direct path keeps its share of it."""
    grid = BeamGrid(8, 1)
    beam = grid.best(0.0, 90.0)
    gains = [float(grid.gain(beam, 0.0, 90.0, spread)) for spread in (0.0, 3.0, 10.0, 25.0)]
    assert gains[0] == pytest.approx(8.0)
    assert np.all(np.diff(gains) < 0)
    assert gains[-1] < 4
    with_direct = float(grid.gain(beam, 0.0, 90.0, 25.0, 7.94))
    assert with_direct == pytest.approx((7.94 * 8 + gains[-1]) / 8.94)
