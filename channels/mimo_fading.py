"""Small-scale channel matrices of links with several antennas at both ends: correlated scattering and a direct path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice
from channels.fading import FadingChannel, ProfileBank, kernels
from channels.mimo import CORRELATION_LEVELS, correlation_root, steering_vectors

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
POLARISATIONS = ("single", "cross")
_MAX_ANTENNAS = 64


@dataclass(frozen=True)
class AntennaArrays:
    """Antennas at both ends of a link.

    Attributes:
        num_bs, num_ue: antennas of the base station and of the device.
        correlation: "low", "medium" or "high" (TS 36.101 B.2.3): of the scattered paths.
        polarisation: "single": all antennas are alike, each pair has unit mean power. "cross": antennas of either end
            come in two halves of crossed polarisations where there is more than one; the direct path couples like with
            like only, the scattered ones all with half the power.
    """

    num_bs: int = 1
    num_ue: int = 1
    correlation: str = "low"
    polarisation: str = "single"

    def __post_init__(self) -> None:
        for name, count in (("num_bs", self.num_bs), ("num_ue", self.num_ue)):
            require_between(name, count, 1, _MAX_ANTENNAS)
        require_choice("correlation", self.correlation, tuple(CORRELATION_LEVELS))
        require_choice("polarisation", self.polarisation, POLARISATIONS)
        if self.is_crossed:
            for name, count in (("num_bs", self.num_bs), ("num_ue", self.num_ue)):
                if count > 1 and count % 2:
                    raise ValueError(f"{name} with crossed polarisations: got {count}; valid: 1 or even")

    @property
    def is_crossed(self) -> bool:
        """Whether both ends resolve polarisations."""
        return self.polarisation == "cross" and self.num_bs > 1 and self.num_ue > 1

    @property
    def num_pairs(self) -> int:
        """Antenna pairs."""
        return self.num_bs * self.num_ue

    def roots(self) -> tuple[Array, Array]:
        """Lower triangular roots of the correlation at base station and device. [num_bs, num_bs], [num_ue, num_ue]."""
        bs, ue = CORRELATION_LEVELS[self.correlation]
        return self._root(self.num_bs, bs), self._root(self.num_ue, ue)

    def _root(self, count: int, coefficient: float) -> Array:
        if not self.is_crossed:
            return correlation_root(count, coefficient)
        # Crossed halves are uncorrelated.
        return np.asarray(np.kron(np.eye(2), correlation_root(count // 2, coefficient)), dtype=np.float64)

    def direct_path(self, bs_sine: Array, ue_sine: Array) -> npt.NDArray[np.complex64]:
        """Direct path between all antennas at unit power, of links by the sines of its angles. [n, num_bs, num_ue]."""
        halves = 2 if self.is_crossed else 1
        bs = steering_vectors(self.num_bs // halves, bs_sine)
        ue = steering_vectors(self.num_ue // halves, ue_sine)
        outer = bs[:, :, None] * ue[:, None, :]
        if halves == 2:
            crossed = np.zeros((len(outer), self.num_bs, self.num_ue), dtype=outer.dtype)
            b, u = self.num_bs // 2, self.num_ue // 2
            crossed[:, :b, :u], crossed[:, b:, u:] = outer, outer
            outer = crossed
        return outer.astype(np.complex64)


class MimoFading:
    """Channel matrices between the antennas of devices and base stations, by PRB group, at any time.

    H = sqrt(1/(K+1)) L_bs H_w L_ue^T + sqrt(K/(K+1)) exp(j phi(t)) a_bs a_ue^T: H_w independent fading of every pair of
    antennas, L the roots of the correlation matrices, a the steering vectors of half-wavelength rows.

    Args:
        arrays: antennas at both ends.
        bank: tap profiles.
        speeds_m_s: of each link, [num_links].
        carrier_ghz: carrier frequency.
        seed: master seed; a pair's fading is addressed by (seed, link, link id, pair).
        link_ids: identity of each link, [num_links].
        link: distinguishes sets of links, as in `FadingChannel`.
        num_sinusoids: per tap.
        is_compiled: as in `FadingChannel`.
    """

    def __init__(
        self,
        arrays: AntennaArrays,
        bank: ProfileBank,
        speeds_m_s: npt.ArrayLike,
        carrier_ghz: float,
        seed: int,
        link_ids: npt.ArrayLike,
        link: str = "",
        num_sinusoids: int | None = None,
        is_compiled: bool = False,
    ) -> None:
        ids = np.asarray(link_ids, dtype=np.int64)
        self.arrays, self.num_links, self.num_groups = arrays, len(ids), bank.num_groups
        self._num_pairs = arrays.num_pairs
        self._pairs: dict[tuple[int, int], Indices] = {}
        pairs = (ids[:, None] * _MAX_ANTENNAS**2 + self._pair_numbers()).ravel()
        speeds = np.repeat(np.broadcast_to(np.asarray(speeds_m_s, dtype=np.float64), len(ids)), arrays.num_pairs)
        self._scatter = FadingChannel(
            bank, speeds, carrier_ghz, [0.0], seed, pairs, link, num_sinusoids, is_compiled=is_compiled
        )
        self._roots = tuple(root.astype(np.float32) for root in arrays.roots())
        self._is_compiled = is_compiled
        self._is_correlated = arrays.correlation != "low"
        self._scale = np.float32(np.sqrt(0.5) if arrays.is_crossed else 1.0)
        self._amplitudes = np.ones((self.num_links, 2), dtype=np.float32)
        self._direct = np.zeros((self.num_links, arrays.num_bs, arrays.num_ue), dtype=np.complex64)
        self.use_profiles(np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids)))

    def _pair_numbers(self) -> Indices:
        """A number for each pair that does not depend on how many antennas there are. [num_pairs]."""
        bs, ue = np.arange(self.arrays.num_bs), np.arange(self.arrays.num_ue)
        return (bs[:, None] * _MAX_ANTENNAS + ue).ravel()

    def use_profiles(
        self, profile_index: Indices, k_linear: Array, bs_sine: Array | None = None, ue_sine: Array | None = None
    ) -> None:
        """Give each link its tap profile, its K and the angles of its direct path, [num_links] each."""
        num_pairs, k = self.arrays.num_pairs, np.asarray(k_linear, dtype=np.float64)
        self._scatter.use_profiles(np.repeat(profile_index, num_pairs), np.zeros(self.num_links * num_pairs))
        # Of the scattered and the direct part, [num_links, 2].
        self._amplitudes = np.sqrt(np.stack([1 / (1 + k), k / (1 + k)], axis=1)).astype(np.float32)
        self._amplitudes[:, 0] *= self._scale
        self._has_direct = bool(np.any(k > 0))
        if self._has_direct:
            zeros = np.zeros(self.num_links)
            self._direct = self.arrays.direct_path(
                zeros if bs_sine is None else bs_sine, zeros if ue_sine is None else ue_sine
            )

    def use_compiled_code(self) -> None:
        """Go on with compiled code, to the same numbers."""
        self._is_compiled = True
        self._scatter.use_compiled_code()

    def matrices(
        self, time_s: float, links: Indices, num_bs: int | None = None, num_ue: int | None = None
    ) -> npt.NDArray[np.complex64]:
        """Channel matrices of links at one time. [num_links, num_groups, num_bs, num_ue] complex64.

        Args:
            links: row numbers of the links wanted.
            num_bs, num_ue: the first antennas only; None for all.
        """
        arrays = self.arrays
        bs, ue = num_bs or arrays.num_bs, num_ue or arrays.num_ue
        pairs = self._pairs.get((bs, ue))
        if pairs is None:
            pairs = self._pairs[bs, ue] = (np.arange(bs)[:, None] * arrays.num_ue + np.arange(ue)).ravel()
        if self._is_compiled and not self._is_correlated and self._has_direct:
            return self._compiled_matrices(time_s, links, pairs, (bs, ue))
        rows = (links[:, None] * self._num_pairs + pairs).ravel()
        scatter, phasors = self._scatter.response_and_phasors(time_s, rows, len(pairs))
        # [links, bs, ue, groups] -> [links, groups, bs, ue]
        matrix: npt.NDArray[np.complex64] = scatter.reshape(len(links), bs, ue, -1).transpose(0, 3, 1, 2)
        if self._is_correlated:
            left, right = self._roots
            matrix = np.asarray(left[:bs, :bs] @ matrix @ right[:ue, :ue].T, dtype=np.complex64)
        if not self._has_direct:
            return matrix if self._scale == 1 else np.asarray(matrix * self._scale)
        amplitudes = self._amplitudes.take(links, axis=0)
        # The phases of a link's specular path are those of its first pair of antennas.
        path = self._direct.take(links, axis=0)[:, :bs, :ue]
        path *= (phasors[:: len(pairs)] * amplitudes[:, 1])[:, None, None]
        matrix *= amplitudes[:, :1, None, None]
        matrix += path[:, None]
        return matrix

    def _compiled_matrices(
        self, time_s: float, links: Indices, pairs: Indices, shape: tuple[int, int]
    ) -> npt.NDArray[np.complex64]:
        """`matrices` of uncorrelated antennas by compiled code around NumPy's functions and products."""
        bs, ue = shape
        amplitudes = self._amplitudes.take(links, axis=0)
        scatter, direct = self._scatter.compiled_response_of_pairs(time_s, links, pairs, self._num_pairs, amplitudes)
        path = self._direct.take(links, axis=0)[:, :bs, :ue]
        path *= direct[:, None, None]
        kernels().add_direct_path(scatter, amplitudes, path)
        return scatter.reshape(len(links), bs, ue, -1).transpose(0, 3, 1, 2)
