"""Error curves of every block size that a carrier can send, ready for look-up by arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.bler import BlerTable, WaterfallBlerTable
from channels.nr import SYMBOLS_PER_SLOT, segment
from sim.links.nr.carrier import Carrier

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class BlockErrors:
    """Transport block error rates by (MCS, PRBs, SINR), and the SINR that each MCS needs.

    Args:
        carrier: The carrier.
        table_name: ``specran`` or ``sionna``.
        target_bler: Error rate that thresholds are for.

    Attributes:
        available: MCS indices that the table holds, rising.
    """

    def __init__(self, carrier: Carrier, table_name: str, target_bler: float) -> None:
        from scipy.special import ndtr

        self._carrier = carrier
        self._table = BlerTable.load(table_name)
        self._index = carrier.mcs_table.index
        self.available = np.flatnonzero(self._table.available_mcs(self._index))
        self._lowest = self.available[0]
        self._target = target_bler
        self._cuts: dict[int, tuple[Array, Array]] = {}
        self._waterfalls: dict[int, tuple[Array, Array]] = {}
        self._thresholds: dict[int, Array] = {}
        self._capacities: dict[int, Array] = {}
        self._normal = ndtr

    def _segmentation(self, num_symbols: int) -> tuple[Array, Array]:
        """Code block bits and number of code blocks, each [num_mcs, num_prb + 1]; column 0 repeats column 1."""
        held = self._cuts.get(num_symbols)
        if held is None:
            sizes = 8 * self._carrier.block_bytes(num_symbols)
            sizes[:, 0] = sizes[:, 1]
            cut = segment(sizes, self._carrier.mcs_table.code_rate[:, None])
            held = (cut.code_block_bits.astype(np.float64), cut.num_code_blocks.astype(np.float64))
            self._cuts[num_symbols] = held
        return held

    def thresholds_db(self, num_symbols: int) -> Array:
        """SINR [dB] at which a block meets the target error rate, made to rise with the MCS. [num_mcs, num_prb + 1]

        An MCS that needs no more SINR than a lower one makes the lower one pointless; infinite where the table has no
        MCS.
        """
        held = self._thresholds.get(num_symbols)
        if held is None:
            bits, count = self._segmentation(num_symbols)
            held = np.full(bits.shape, np.inf)
            rows = self.available
            per_block = -np.expm1(np.log1p(-self._target) / count[rows])
            held[rows] = self._table.snr_for_bler(self._index, rows[:, None], bits[rows], per_block)
            held[np.isnan(held)] = np.inf
            held = np.minimum.accumulate(held[::-1], axis=0)[::-1].copy()
            self._thresholds[num_symbols] = held
        return held

    def _needed(self, num_symbols: int) -> Array:
        """Thresholds as log2(1 + SINR). [num_prb + 1, num_mcs]"""
        held = self._capacities.get(num_symbols)
        if held is None:
            held = np.log2(1 + 10 ** (self.thresholds_db(num_symbols).T / 10)).copy()
            self._capacities[num_symbols] = held
        return held

    @property
    def top_capacity(self) -> float:
        """log2(1 + SINR) at which the highest MCS meets the target over the whole carrier."""
        needed = self._needed(SYMBOLS_PER_SLOT)[-1]
        return float(needed[np.isfinite(needed)].max())

    def choose(self, capacity: Array, num_prb: Indices, num_symbols: int) -> Indices:
        """Highest MCS that meets the target at a mean log2(1 + SINR); the lowest available where none does. [...]"""
        reached = self._needed(num_symbols).take(num_prb, axis=0) <= capacity[:, None]
        return np.maximum(np.add.reduce(reached, axis=1, dtype=np.int64) - 1, self._lowest)

    def error_rate(self, mcs: Indices, num_prb: Indices, num_symbols: Indices, sinr_db: Array) -> Array:
        """Transport block error rate, 1 - (1 - BLER)^C. [num_blocks]"""
        kinds = set(num_symbols.tolist())
        if len(kinds) == 1:
            return self._one_kind(mcs, num_prb, kinds.pop(), sinr_db)
        result = np.empty(len(mcs))
        for kind in kinds:
            rows = np.flatnonzero(num_symbols == kind)
            result[rows] = self._one_kind(mcs[rows], num_prb[rows], kind, sinr_db[rows])
        return result

    def _one_kind(self, mcs: Indices, num_prb: Indices, num_symbols: int, sinr_db: Array) -> Array:
        bits, count = self._segmentation(num_symbols)
        cell = mcs * bits.shape[1] + num_prb
        if isinstance(self._table, WaterfallBlerTable):
            held = self._waterfalls.get(num_symbols)
            if held is None:
                rows = np.arange(len(bits))[:, None]
                held = self._waterfalls[num_symbols] = self._table.waterfall(self._index, rows, bits)
            center, width = held
            code_block_error = self._normal((center.take(cell) - sinr_db) / width.take(cell))
        else:
            code_block_error = self._table.bler(self._index, mcs, bits.take(cell), sinr_db)
        # At one the logarithm diverges, and the power does not.
        return np.asarray(1.0 - (1.0 - code_block_error) ** count.take(cell))
