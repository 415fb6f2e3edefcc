"""Closed forms that the simulator is held against: capacity, diversity, outage, Doppler, queues, fairness."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from channels._validation import require_between, require_positive, require_whole

Array = npt.NDArray[np.float64]


def _scaled_exp1(x: Array) -> Array:
    """e^x E1(x) without overflow."""
    large = x > 500
    safe = np.where(large, 500.0, x)
    # Asymptotic series of E1 beyond the range of exp(); its error there is below 1e-13.
    series = (1 - 1 / x + 2 / x**2 - 6 / x**3 + 24 / x**4) / x
    return np.where(large, series, np.exp(safe) * special.exp1(safe))


def ergodic_rayleigh_bps_hz(mean_snr_db: npt.ArrayLike) -> Array:
    """``E log2(1 + g |h|^2) = e^(1/g) E1(1/g) / ln 2`` for Rayleigh fading of mean SNR g. Broadcasts."""
    inverse = 10 ** (-np.asarray(mean_snr_db, dtype=np.float64) / 10)
    return np.asarray(_scaled_exp1(inverse) / math.log(2))


@cache
def _quadrature() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return np.asarray(nodes), np.asarray(weights)


def pf_gain(num_devices: int, mean_snr_db: float) -> float:
    """Throughput of proportional fair over round robin: N devices, i.i.d. Rayleigh of equal mean SNR, full buffers.

    ``E log2(1 + g max|h|^2) / E log2(1 + g |h|^2)``; tends to the harmonic number H_N at low SNR. The expectation of
    the maximum is integrated over its distribution (1 - e^-x)^N, which stays accurate where the alternating sum
    sum_k (-1)^(k-1) C(N, k) e^(k/g) E1(k/g) cancels.
    """
    if num_devices < 1:
        raise ValueError(f"num_devices: got {num_devices}; valid: >= 1")
    g = 10 ** (float(mean_snr_db) / 10)
    # E f(X) = int f'(x) P(X > x) dx, with f = log(1 + g x); [0, 60 + log N] holds all but e^-60 of the mass.
    nodes, weights = _quadrature()
    upper = 60 + math.log(num_devices)
    # x = upper * u^2 puts nodes near zero, where f' is steep at high SNR.
    u = (nodes + 1) / 2
    x = upper * u**2
    tail = -np.expm1(num_devices * np.log1p(-np.exp(-x)))
    best = float(np.sum(weights / 2 * g / (1 + g * x) * tail * 2 * upper * u))
    return best / (float(ergodic_rayleigh_bps_hz(mean_snr_db)) * math.log(2))


def outage_probability(mean_snr_db: npt.ArrayLike, rate_bps_hz: npt.ArrayLike) -> Array:
    """``P(log2(1 + g |h|^2) < R) = 1 - exp(-(2^R - 1) / g)``, Rayleigh. Broadcasts."""
    return chase_outage_probability(mean_snr_db, rate_bps_hz, 1)


def chase_outage_probability(mean_snr_db: npt.ArrayLike, rate_bps_hz: npt.ArrayLike, num_rounds: int) -> Array:
    """Outage after chase combining of M independent Rayleigh rounds: 1 - e^-x sum_{k<M} x^k / k!, x = (2^R - 1) / g."""
    require_whole("num_rounds", num_rounds, 1)
    require_between("rate_bps_hz", rate_bps_hz, 0, np.inf)
    threshold = (2 ** np.asarray(rate_bps_hz, dtype=np.float64) - 1) * 10 ** (-np.asarray(mean_snr_db) / 10)
    return np.asarray(special.gammainc(num_rounds, threshold))


def mrc_outage(rate_bps_hz: npt.ArrayLike, mean_snr_db: npt.ArrayLike, num_rx: int) -> Array:
    """Outage of maximum-ratio combining over L independent Rayleigh branches, each of mean SNR g. Broadcasts.

    ``P(log2(1 + g sum_l |h_l|^2) < R) = 1 - e^-x sum_{k<L} x^k / k!, x = (2^R - 1) / g``.

    Args:
        rate_bps_hz: R, >= 0.
        mean_snr_db: mean SNR of one branch.
        num_rx: L, >= 1.
    """
    require_whole("num_rx", num_rx, 1)
    return chase_outage_probability(mean_snr_db, rate_bps_hz, num_rx)


def ergodic_mimo_bps_hz(num_tx: int, num_rx: int, mean_snr_db: npt.ArrayLike) -> Array:
    """E log2 det(I + g / n_tx H H^H) of an i.i.d. Rayleigh channel, equal power on all antennas (open loop). [...].

    An unordered eigenvalue of H H^H (Telatar, Eur. Trans. Telecommun. 10(6), 1999), with m = min, n = max, follows
    p(x) = 1/m sum_{k<m} k! / (k + n - m)! L_k^(n-m)(x)^2 x^(n-m) e^-x, integrated by quadrature. One transmit antenna
    is maximum-ratio combining.

    Args:
        num_tx, num_rx: antennas, 1 to 64.
        mean_snr_db: g, total transmit power over the noise of one receive antenna.
    """
    for name, count in (("num_tx", num_tx), ("num_rx", num_rx)):
        require_whole(name, count, 1, 64)
    small, large = min(num_tx, num_rx), max(num_tx, num_rx)
    nodes, weights = _quadrature()
    # Eigenvalues end near (sqrt m + sqrt n)^2; beyond it the density falls faster than e^-x.
    upper = (math.sqrt(small) + math.sqrt(large)) ** 2 + 60
    # x = upper * u^3 puts nodes near zero, where the logarithm is steep at high SNR.
    u = (nodes + 1) / 2
    x = upper * u**3
    excess = large - small
    density = np.zeros_like(x)
    for k in range(small):
        log_scale = math.lgamma(k + 1) - math.lgamma(k + excess + 1)
        root = np.exp((log_scale + excess * np.log(x) - x) / 2) * special.eval_genlaguerre(k, excess, x)
        density += root**2
    mass = density * weights / 2 * 3 * upper * u**2  # [num_nodes]
    per_antenna = 10 ** (np.asarray(mean_snr_db, dtype=np.float64) / 10) / num_tx
    return np.asarray(np.log1p(per_antenna[..., None] * x) @ mass / math.log(2))


def jakes_autocorrelation(max_doppler_hz: npt.ArrayLike, lag_s: npt.ArrayLike) -> Array:
    """J0(2 pi fd tau), the autocorrelation of isotropic Rayleigh fading. Broadcasts."""
    return np.asarray(special.j0(2 * np.pi * np.asarray(max_doppler_hz, dtype=np.float64) * np.asarray(lag_s)))


def jain_index(values: npt.ArrayLike) -> float:
    """(sum x)^2 / (N sum x^2): 1 when all are equal, 1/N when one has everything. NaN for no or all-zero values."""
    x = np.asarray(values, dtype=np.float64)
    power = float(x.size * np.sum(x**2))
    return float(np.sum(x)) ** 2 / power if power > 0 else math.nan


def harq_mean_delay(round_trip: npt.ArrayLike, error_probability: npt.ArrayLike) -> Array:
    """Mean delay added by unlimited retransmissions that fail independently: RTT p / (1 - p), in the unit of RTT."""
    require_between("error_probability", error_probability, 0, np.nextafter(1, 0))
    p = np.asarray(error_probability, dtype=np.float64)
    return np.asarray(np.asarray(round_trip) * p / (1 - p))


def mm1_sojourn(utilisation: npt.ArrayLike) -> Array:
    """Mean time in an M/M/1 queue, in mean service times: 1 / (1 - rho)."""
    require_between("utilisation", utilisation, 0, np.nextafter(1, 0))
    return np.asarray(1 / (1 - np.asarray(utilisation, dtype=np.float64)))


def mm1_sojourn_quantile(utilisation: npt.ArrayLike, probability: npt.ArrayLike) -> Array:
    """Quantile of the (exponential) M/M/1 time in system, in mean service times: -ln(1 - p) / (1 - rho)."""
    require_between("probability", probability, 0, np.nextafter(1, 0))
    return -np.log1p(-np.asarray(probability, dtype=np.float64)) * mm1_sojourn(utilisation)


def mg1_wait(arrival_rate: npt.ArrayLike, mean_service: npt.ArrayLike, mean_squared_service: npt.ArrayLike) -> Array:
    """Pollaczek-Khinchine mean wait before service, lambda E[S^2] / (2 (1 - rho)), in the unit of the service time."""
    require_positive("mean_service", mean_service)
    rate = np.asarray(arrival_rate, dtype=np.float64)
    utilisation = rate * np.asarray(mean_service)
    require_between("arrival_rate * mean_service", utilisation, 0, np.nextafter(1, 0))
    return np.asarray(rate * np.asarray(mean_squared_service) / (2 * (1 - utilisation)))


def md1_sojourn(utilisation: npt.ArrayLike) -> Array:
    """Mean time in an M/D/1 queue, in service times: 1 + rho / (2 (1 - rho))."""
    return 1 + mg1_wait(utilisation, 1.0, 1.0)


def preamble_collision(num_devices: npt.ArrayLike, num_preambles: npt.ArrayLike = 54) -> Array:
    """Probability that a device's preamble is sent by another, too: ``1 - (1 - 1/P)^(n - 1)``. Broadcasts.

    Args:
        num_devices: n >= 1, which draw evenly in one random access occasion.
        num_preambles: P >= 1 of contention-based access.
    """
    require_between("num_devices", num_devices, 1, np.inf)
    require_between("num_preambles", num_preambles, 1, np.inf)
    count, preambles = np.asarray(num_devices, dtype=np.float64), np.asarray(num_preambles, dtype=np.float64)
    return np.asarray(1 - (1 - 1 / preambles) ** (count - 1))


def drx_mean_wait_s(cycle_s: npt.ArrayLike, on_s: npt.ArrayLike) -> Array:
    """Mean wait of a message at a random time for a device that listens for D of each cycle T: ``(T - D)^2 / 2T``.

    Args:
        cycle_s: T > 0.
        on_s: D, 0 to T.
    """
    require_positive("cycle_s", cycle_s)
    cycle, on = np.asarray(cycle_s, dtype=np.float64), np.asarray(on_s, dtype=np.float64)
    require_between("on_s / cycle_s", on / cycle, 0, 1)
    return np.asarray((cycle - on) ** 2 / (2 * cycle))
