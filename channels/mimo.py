"""Several antennas: spatial correlation, steering, and the SINR behind linear receivers (MRC, MMSE, MMSE-IRC)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating]
RECEIVERS = ("mrc", "mmse_irc")
# Correlation of the outermost antennas of base station and device, TS 36.101 Table B.2.3.2-1 (TS 38.101-4 B.2.3).
CORRELATION_LEVELS = {"low": (0.0, 0.0), "medium": (0.3, 0.9), "high": (0.9, 0.9)}


def correlation_matrix(num_antennas: int, coefficient: float) -> Array:
    """R[i, j] = c^(((i - j) / (n - 1))^2) of a uniform linear array, c that of its ends (TS 36.101 B.2.3.1). [n, n]."""
    require_between("num_antennas", num_antennas, 1, 64)
    require_between("coefficient", coefficient, 0, 1)
    index = np.arange(num_antennas)
    apart = (index[:, None] - index) / max(1, num_antennas - 1)
    return np.where(apart == 0, 1.0, float(coefficient) ** (apart**2))


def correlation_root(num_antennas: int, coefficient: float) -> Array:
    """Lower triangular L with L L^T = R: the first antennas do not depend on how many there are behind. [n, n]."""
    matrix = correlation_matrix(num_antennas, coefficient)
    # Four antennas at 0.9 are singular to rounding; what 36.101 does, too, is to lift the diagonal a little.
    lift = 1e-9 * np.eye(num_antennas)
    return np.asarray(np.linalg.cholesky((matrix + lift) / (1 + 1e-9)))


def steering_vectors(num_antennas: int, sines: npt.ArrayLike, spacing_wavelengths: float = 0.5) -> Complex:
    """exp(j 2 pi n d sin(angle)) of a uniform linear array. [...] -> [..., num_antennas]."""
    turns = spacing_wavelengths * np.asarray(sines, dtype=np.float64)[..., None] * np.arange(num_antennas)
    return np.asarray(np.exp(2j * np.pi * turns))


def mrc_sinr(channel: Complex, covariance: Complex) -> Array:
    """SINR of one layer behind maximum-ratio combining, |g|^4 / (g^H R g). [..., num_rx] -> [...].

    Args:
        channel: g, signal amplitude at each receive antenna, [..., num_rx].
        covariance: R of interference and noise, [..., num_rx, num_rx].
    """
    power = np.sum(np.abs(channel) ** 2, axis=-1)
    disturbance = np.einsum("...i,...ij,...j->...", channel.conj(), covariance, channel).real
    return np.asarray(power**2 / np.maximum(disturbance, 1e-300))


def mmse_sinr(channel: Complex, covariance: Complex) -> Array:
    """SINR of each layer behind the MMSE receiver that knows R (interference rejection). [..., num_layers].

    SINR_l = 1 / [(I + G^H R^-1 G)^-1]_ll - 1; for one layer g^H R^-1 g.

    Args:
        channel: G, amplitude of each layer at each receive antenna, [..., num_rx, num_layers].
        covariance: R of interference and noise, positive definite, [..., num_rx, num_rx].
    """
    hermitian = channel.conj().swapaxes(-1, -2)
    gram = hermitian @ np.linalg.solve(covariance, channel)
    return _from_gram(gram)


def white_mmse_sinr(channel: Complex, noise: npt.ArrayLike) -> Array:
    """`mmse_sinr` for R = noise * I, noise [...]."""
    hermitian = channel.conj().swapaxes(-1, -2)
    gram = (hermitian @ channel) / np.asarray(noise)[..., None, None]
    return _from_gram(gram)


def _from_gram(gram: Complex) -> Array:
    """1 / [(I + A)^-1]_ll - 1 of A [..., L, L]."""
    num_layers = gram.shape[-1]
    if num_layers == 1:
        return np.asarray(gram[..., 0].real)
    if num_layers == 2:
        first, second = 1 + gram[..., 0, 0].real, 1 + gram[..., 1, 1].real
        shared = np.abs(gram[..., 0, 1]) ** 2
        determinant = first * second - shared
        return np.asarray(np.stack([determinant / second, determinant / first], axis=-1) - 1)
    inverse = np.linalg.inv(np.eye(num_layers) + gram)
    return np.asarray(1 / np.diagonal(inverse, axis1=-2, axis2=-1).real - 1)


def mismatched_mmse_sinr(channel: Complex, covariance: Complex) -> Array:
    """SINR of each layer behind the MMSE receiver that takes R for white noise of its mean power. [..., num_layers].

    The layers are separated, other cells' interference is not rejected; with one layer it is maximum-ratio combining.
    Arguments as in `mmse_sinr`.
    """
    num_rx, num_layers = channel.shape[-2:]
    if num_layers == 1:
        return mrc_sinr(channel[..., 0], covariance)[..., None]
    mean = np.trace(covariance, axis1=-2, axis2=-1).real / num_rx
    own = channel @ channel.conj().swapaxes(-1, -2)
    weights = np.linalg.solve(own + mean[..., None, None] * np.eye(num_rx), channel)
    # [..., layer of the receiver, layer received]
    received = np.abs(weights.conj().swapaxes(-1, -2) @ channel) ** 2
    wanted = np.diagonal(received, axis1=-2, axis2=-1)
    disturbance = np.einsum("...il,...ij,...jl->...l", weights.conj(), covariance, weights).real
    return np.asarray(wanted / (received.sum(axis=-1) - wanted + disturbance))


def layer_sinr(channel: Complex, covariance: Complex, receiver: str) -> Array:
    """SINR of each layer behind the receiver named in a scenario: "mrc" or "mmse_irc". [..., num_layers]."""
    require_choice("receiver", receiver, RECEIVERS)
    return mmse_sinr(channel, covariance) if receiver == "mmse_irc" else mismatched_mmse_sinr(channel, covariance)
