"""MCS of codewords over several layers, by the effective SINR with which their receiver will decode them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.eesm import eesm_betas
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Codewords:
    """What one codeword carries over all its layers and PRB groups, whose SINRs differ.

    A receiver maps the SINRs of all layers and groups to an effective one (EESM), whose beta depends on the MCS. The
    layers' mean capacity says more than a codeword carries once the layers are unequal, as those of correlated antennas
    are: of two layers at 30 and 5 dB it is that of two at 18 dB, yet 16QAM is decoded as at 8 dB.

    Args:
        carrier: The carrier.
        errors: Error curves.
        max_sinr: Linear effective SINR beyond which a report does not count.
        mcs: The only MCS that there is, or None.

    Attributes:
        available: MCS indices, rising.
        num_symbols: Of a full slot.
    """

    def __init__(self, carrier: Carrier, errors: BlockErrors, max_sinr: float, mcs: int | None = None) -> None:
        self._carrier, self._errors, self._max_sinr = carrier, errors, max_sinr
        self.num_symbols = carrier.symbols
        self.available = errors.available if mcs is None else np.array([mcs])
        self._betas = eesm_betas(carrier.mcs_table.index)
        self._needed: dict[tuple[int, int], Array] = {}

    def effective_sinr(self, sinr: Array, weights: Array) -> Array:
        """EESM of blocks by the MCS that they might be sent with.

        Args:
            sinr: Linear, infinite for layers that are not sent, [num_blocks, num_groups, num_layers].
            weights: PRBs of each group, [num_blocks, num_groups].

        Returns:
            [num_blocks, num_available]
        """
        shape = len(sinr), sinr.shape[1] * sinr.shape[2]
        is_used = (weights[..., None] > 0) & np.isfinite(sinr)
        shares = np.where(is_used, weights[..., None], 0.0).reshape(shape)
        used = np.where(is_used, sinr, np.inf).reshape(shape)
        floor = np.minimum.reduce(used, axis=1)[:, None]
        betas = self._betas[self.available]
        exponent = (floor - used)[:, None, :] / betas[:, None]
        spread = np.vecdot(np.exp(exponent, out=exponent), shares[:, None, :])
        return np.asarray(floor - betas * np.log(spread / np.add.reduce(shares, axis=1)[:, None]))

    def by_group(self, sinr: Array, mcs: Indices) -> Array:
        """EESM of each PRB group over the layers alone, of blocks with these MCS, [num_blocks]; sinr as above.

        Returns:
            [num_blocks, num_groups]
        """
        floor = np.minimum.reduce(sinr, axis=2)
        betas = self._betas[mcs][:, None]
        spread = np.exp((floor[..., None] - sinr) / betas[..., None]).sum(axis=2)
        return np.asarray(floor - betas * np.log(spread / np.isfinite(sinr).sum(axis=2)))

    def choose(
        self,
        effective: Array,
        offset: Array,
        num_prb: Indices,
        num_symbols: int,
        num_layers: int,
        losses_db: Array | None = None,
    ) -> tuple[Indices, Bools]:
        """Highest MCS whose blocks meet the target with what they are received with; the lowest where none does.

        Args:
            effective: As `effective_sinr` has it, [num_blocks, num_available].
            offset: Linear, of the outer loop, [num_blocks].
            num_prb: [num_blocks].
            num_symbols, num_layers: Of all.
            losses_db: What each MCS takes off, [num_blocks, num_mcs].

        Returns:
            Place of the MCS in ``available``, and whether it meets the target, [num_blocks] each.
        """
        needed = self._thresholds(num_symbols, num_layers)[num_prb]
        if losses_db is not None:
            needed = needed * 10 ** (losses_db[:, self.available] / 10)
        is_met = needed <= np.minimum(effective, self._max_sinr) * offset[:, None]
        last = is_met.shape[1] - 1 - is_met[:, ::-1].argmax(axis=1)
        is_any = np.logical_or.reduce(is_met, axis=1)
        return np.where(is_any, last, 0), is_any

    def goodput(self, place: Indices, is_met: Bools, num_prb: Indices, num_layers: int) -> Array:
        """Bytes of a full slot's blocks, none where the target is missed; arguments as above. [num_blocks]."""
        sizes = self._carrier.block_bytes(self.num_symbols, num_layers)
        return np.where(is_met, sizes[self.available[place], num_prb], 0).astype(np.float64)

    def _thresholds(self, num_symbols: int, num_layers: int) -> Array:
        """Linear SINR that blocks need, [num_prb + 1, num_available]."""
        shape = num_symbols, num_layers
        held = self._needed.get(shape)
        if held is None:
            held = 10 ** (self._errors.thresholds_db(*shape)[self.available].T / 10)
            self._needed[shape] = held
        return held
