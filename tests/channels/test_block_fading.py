"""Block fading: unit power, Jakes autocorrelation, Rayleigh and Rician laws, keyed random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from channels.block_fading import CHUNK_BLOCKS, NUM_SINUSOIDS, BlockFading


def test_autocorrelation_over_devices_is_j0() -> None:
    doppler_hz, block_s, num_devices = 50.0, 1e-3, 4000
    lags = np.arange(0, 40)
    gains = np.array(
        [BlockFading(7, d, doppler_hz=doppler_hz, block_s=block_s).at(lags + 5) for d in range(num_devices)]
    )
    measured = np.mean(gains * gains[:, :1].conj(), axis=0)
    expected = special.j0(2 * np.pi * doppler_hz * block_s * lags)
    # The mean over n devices of a product of unit mean power has a standard error of at most 1 / sqrt(n).
    assert np.max(np.abs(measured - expected)) < 4 / np.sqrt(num_devices)
    assert expected.min() < -0.4  # the lags reach past the first zero


def test_autocorrelation_along_time_is_near_j0_for_a_single_device() -> None:
    doppler_hz, block_s, num_blocks = 50.0, 1e-3, 400_000
    gains = BlockFading(7, 0, doppler_hz=doppler_hz, block_s=block_s).at(np.arange(num_blocks))
    for lag in (1, 2, 5, 8, 12, 20):
        measured = np.mean(gains[lag:] * gains[:-lag].conj())
        expected = special.j0(2 * np.pi * doppler_hz * block_s * lag)
        # 64 sectors with one random angle each: a few hundredths; see the class docstring.
        assert abs(measured - expected) < 0.05


def test_blocks_of_low_doppler_hardly_change_and_zero_doppler_never_does() -> None:
    slow = BlockFading(1, 0, doppler_hz=9.72, block_s=5e-4).at(np.arange(2000))
    correlation = np.mean(slow[1:] * slow[:-1].conj()).real / np.mean(np.abs(slow) ** 2)
    assert correlation == pytest.approx(0.99977, abs=1e-4)  # J0 at 3 km/h, 3.5 GHz, half a millisecond
    still = BlockFading(1, 0, doppler_hz=0, block_s=5e-4).at([0, 77, 10**9])
    assert np.ptp(np.abs(still)) < 1e-9


@pytest.mark.parametrize("k_factor_db", [None, 0.0, 10.0])
def test_mean_power_is_one_and_the_spread_is_the_law_s(k_factor_db: float | None) -> None:
    power = np.concatenate(
        [
            np.abs(BlockFading(3, d, doppler_hz=100, block_s=0.05, k_factor_db=k_factor_db).at(np.arange(4000))) ** 2
            for d in range(20)
        ]
    )
    k = 0.0 if k_factor_db is None else 10 ** (k_factor_db / 10)
    variance = (1 + 2 * k - 1 / NUM_SINUSOIDS) / (1 + k) ** 2  # of |h|^2, with a finite sum of sinusoids
    # 80 000 nearly independent blocks: 1.5 % covers four standard errors of the mean, 5 % of the variance.
    assert np.mean(power) == pytest.approx(1, abs=0.015)
    assert np.var(power) == pytest.approx(variance, rel=0.05)


def test_chunks_and_single_blocks_agree_to_the_bit_in_any_order_and_before_time_zero() -> None:
    fading = BlockFading(5, 3, "uplink", doppler_hz=30, block_s=0.01)
    blocks = np.array([1000, -1, 0, 33, CHUNK_BLOCKS * 10**6, 1000])
    again = BlockFading(5, 3, "uplink", doppler_hz=30, block_s=0.01)
    assert np.array_equal(fading.at(blocks), again.at(blocks[::-1])[::-1])
    assert np.array_equal(fading.chunk(-1), again.at(np.arange(-CHUNK_BLOCKS, 0)))


def test_chunk_edges_do_not_restart_the_process() -> None:
    gains = BlockFading(5, 3, doppler_hz=5, block_s=1e-3).at(np.arange(CHUNK_BLOCKS * 20))
    steps = np.abs(np.diff(gains))
    at_edges = steps[CHUNK_BLOCKS - 1 :: CHUNK_BLOCKS]
    # |dh| per block is at most 2 pi f_d T sqrt(M): nothing jumps where a chunk begins.
    assert at_edges.max() < 2 * np.pi * 5 * 1e-3 * np.sqrt(NUM_SINUSOIDS)
    assert at_edges.mean() < 2 * steps.mean()


def test_addresses_are_independent() -> None:
    blocks = np.arange(20_000)
    first = BlockFading(1, 0, "uplink", doppler_hz=100, block_s=0.05).at(blocks)
    for other in (
        BlockFading(1, 1, "uplink", doppler_hz=100, block_s=0.05),
        BlockFading(1, 0, "downlink", doppler_hz=100, block_s=0.05),
        BlockFading(2, 0, "uplink", doppler_hz=100, block_s=0.05),
    ):
        assert abs(np.mean(first * other.at(blocks).conj())) < 5 / np.sqrt(len(blocks))


@pytest.mark.parametrize(("key", "value"), [("doppler_hz", -1.0), ("doppler_hz", np.nan), ("block_s", 0.0)])
def test_wrong_arguments_are_named(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        BlockFading(1, 0, **{"doppler_hz": 1.0, "block_s": 1.0, key: value})
