"""Block fading with Doppler: a device's complex gain at any block, as a pure function of (seed, address, block)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from channels.addressed import generator

CHUNK_BLOCKS = 32
"""Blocks that are evaluated together."""

NUM_SINUSOIDS = 64
"""Plane waves per device; E|h|^4 = 2 - 1/64 instead of 2, which lifts a Rayleigh device's ergodic rate by 0.2-0.3 %."""


class BlockFading:
    """Rayleigh or Rician gain of one device, constant within a block, with Jakes autocorrelation across blocks.

    h(t) = 1/sqrt(M) sum_m exp(j (w_m t + phi_m)),  w_m = 2 pi f_d cos(alpha_m),  E|h|^2 = 1

    One arrival angle alpha_m is drawn uniformly in each of M equal sectors, so that E h(t) h*(t + tau) is exactly
    J0(2 pi f_d tau) over devices and close to it along the time of each (Clarke's isotropic scattering; sum of
    sinusoids with random angles after Zheng and Xiao, IEEE Trans. Commun. 51(6), 2003). A Rician gain adds a
    line-of-sight wave of its own angle and phase that holds K/(K+1) of the power.

    The process has no beginning and never restarts: block indices may be negative and of any size.

    Args:
        seed: Master seed.
        address: Whose gain it is, such as a device index and a direction; other addresses are independent.
        doppler_hz: Maximum Doppler shift [Hz], >= 0; at 0 the gain never changes.
        block_s: Length of a block [s].
        k_factor_db: Rician K factor [dB], or None for Rayleigh.

    Raises:
        ValueError: The Doppler shift is negative, or the block length is not positive.
    """

    def __init__(
        self, seed: int, *address: int | str, doppler_hz: float, block_s: float, k_factor_db: float | None = None
    ) -> None:
        if not 0 <= doppler_hz < math.inf:
            raise ValueError(f"doppler_hz: got {doppler_hz}; valid: finite and >= 0")
        if not 0 < block_s < math.inf:
            raise ValueError(f"block_s: got {block_s}; valid: finite and > 0")
        draws = generator(seed, "block_fading", *address).random((3, NUM_SINUSOIDS))
        angles = 2 * np.pi * (np.arange(NUM_SINUSOIDS) + draws[0]) / NUM_SINUSOIDS
        phases = 2 * np.pi * draws[1]
        power = np.full(NUM_SINUSOIDS, 1 / NUM_SINUSOIDS)
        if k_factor_db is not None:
            k_factor = 10 ** (k_factor_db / 10)
            angles = np.append(angles, 2 * np.pi * draws[2, 0])
            phases = np.append(phases, 2 * np.pi * draws[2, 1])
            power = np.append(power / (k_factor + 1), k_factor / (k_factor + 1))
        step = 2 * np.pi * doppler_hz * block_s * np.cos(angles)  # [num_waves], radians per block
        self._chunk_step = 1j * CHUNK_BLOCKS * step
        self._phases = 1j * phases
        # [CHUNK_BLOCKS, num_waves]: rotation of each wave from the chunk's first block to each of its blocks
        self._rotation = np.sqrt(power) * np.exp(1j * np.outer(np.arange(CHUNK_BLOCKS), step))

    def chunk(self, chunk_index: int) -> npt.NDArray[np.complex128]:
        """Complex gains of blocks [chunk_index * CHUNK_BLOCKS, (chunk_index + 1) * CHUNK_BLOCKS): [CHUNK_BLOCKS]."""
        gains: npt.NDArray[np.complex128] = self._rotation @ np.exp(self._chunk_step * chunk_index + self._phases)
        return gains

    def at(self, block_indices: npt.ArrayLike) -> npt.NDArray[np.complex128]:
        """Complex gains of any blocks, to the bit those of `chunk`: [...] -> [...]."""
        chunk_indices, offsets = np.divmod(np.asarray(block_indices, dtype=np.int64), CHUNK_BLOCKS)
        wanted, inverse = np.unique(chunk_indices, return_inverse=True)
        table = np.stack([self.chunk(int(index)) for index in wanted])  # [num_chunks, CHUNK_BLOCKS]
        gains: npt.NDArray[np.complex128] = table[inverse.reshape(offsets.shape), offsets]
        return gains
