"""Error curves of every block size that a carrier can send, ready for look-up block by block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import erfc, isfinite, log10

import numpy as np
import numpy.typing as npt

from channels.bler import BlerTable, WaterfallBlerTable
from channels.nr import segment
from sim.links.nr.phy.carrier import Carrier

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
# Symbols and layers of a block.
_Shape = tuple[int, int]


class BlockErrors:
    """Transport block error rates by (MCS, PRBs, SINR), and the SINR that each MCS needs.

    Args:
        carrier: The carrier.
        table_name: ``specran`` or ``sionna``.
        target_bler: Error rate that thresholds are for.

    Attributes:
        available: MCS indices that the table holds, rising; ``lowest`` is the first.
        target_bler: Error rate that thresholds are for.
    """

    def __init__(self, carrier: Carrier, table_name: str, target_bler: float) -> None:
        self._carrier = carrier
        self._table = BlerTable.load(table_name)
        self._index = carrier.mcs_table.index
        self.available = np.flatnonzero(self._table.available_mcs(self._index))
        self.lowest = int(self.available[0])
        self.target_bler = target_bler
        self._cuts: dict[_Shape, tuple[Array, Array]] = {}
        self._curves: dict[_Shape, list[list[tuple[float, float, float]]]] = {}
        self._waterfalls: dict[_Shape, Array] = {}
        self._thresholds: dict[_Shape, Array] = {}
        self._capacities: dict[_Shape, list[list[float]]] = {}
        self._capacity_rows: dict[int, Array] = {}
        self._highest: dict[_Shape, list[int]] = {}

    def _segmentation(self, shape: _Shape) -> tuple[Array, Array]:
        """Code block bits and number of code blocks, each [num_mcs, num_prb + 1]; column 0 repeats column 1."""
        held = self._cuts.get(shape)
        if held is None:
            sizes = 8 * self._carrier.block_bytes(*shape)
            sizes[:, 0] = sizes[:, 1]
            cut = segment(sizes, self._carrier.mcs_table.code_rate[:, None])
            held = (cut.code_block_bits.astype(np.float64), cut.num_code_blocks.astype(np.float64))
            self._cuts[shape] = held
        return held

    def thresholds_db(self, num_symbols: int, num_layers: int = 1) -> Array:
        """SINR [dB] at which a block meets the target error rate, made to rise with the MCS. [num_mcs, num_prb + 1].

        An MCS that needs no more SINR than a lower one makes the lower one pointless; infinite where the table has no
        MCS.
        """
        shape = num_symbols, num_layers
        held = self._thresholds.get(shape)
        if held is None:
            bits, count = self._segmentation(shape)
            held = np.full(bits.shape, np.inf)
            rows = self.available
            per_block = -np.expm1(np.log1p(-self.target_bler) / count[rows])
            held[rows] = self._table.snr_for_bler(self._index, rows[:, None], bits[rows], per_block)
            held[np.isnan(held)] = np.inf
            held = np.minimum.accumulate(held[::-1], axis=0)[::-1].copy()
            self._thresholds[shape] = held
        return held

    def _needed(self, shape: _Shape) -> list[list[float]]:
        """Thresholds as log2(1 + SINR), rising. [num_prb + 1][num_mcs]."""
        held = self._capacities.get(shape)
        if held is None:
            held = np.log2(1 + 10 ** (self.thresholds_db(*shape).T / 10)).tolist()
            self._capacities[shape] = held
        return held

    def needed_capacity(self, num_symbols: int) -> Array:
        """log2(1 + SINR) at which each MCS meets the target with one layer, rising. [num_prb + 1, num_mcs]."""
        rows = self._capacity_rows.get(num_symbols)
        if rows is None:
            rows = self._capacity_rows[num_symbols] = np.array(self._needed((num_symbols, 1)))
        return rows

    def highest(self, num_symbols: int, num_layers: int = 1) -> list[int]:
        """The highest MCS that a report can lead to, by PRBs. [num_prb + 1]."""
        shape = num_symbols, num_layers
        held = self._highest.get(shape)
        if held is None:
            reachable = np.isfinite(self.thresholds_db(*shape)).sum(axis=0)
            held = self._highest[shape] = np.maximum(reachable - 1, self.lowest).tolist()
        return held

    @property
    def top_capacity(self) -> float:
        """log2(1 + SINR) at which the highest MCS meets the target over the whole carrier."""
        return max(needed for needed in self._needed((self._carrier.symbols, 1))[-1] if isfinite(needed))

    def choose(
        self,
        capacity: Sequence[float],
        num_prb: Sequence[int],
        num_symbols: int,
        num_layers: Sequence[int] | None = None,
        loss_db: Array | None = None,
    ) -> list[int]:
        """Highest MCS that meets the target, of each block; the lowest where none does.

        Args:
            capacity: Mean log2(1 + SINR) of a layer, [num_blocks].
            num_prb, num_layers: Of each block, [num_blocks]; None is one layer.
            num_symbols: Of all.
            loss_db: What is lost of that SINR if the block is sent with each MCS, [num_blocks, num_mcs]; None is none.
        """
        lowest = self.lowest
        if num_layers is None:
            needed = self._needed((num_symbols, 1))
            chosen = [
                max(bisect_right(needed[count], value) - 1, lowest)
                for value, count in zip(capacity, num_prb, strict=True)
            ]
        else:
            chosen = [
                max(bisect_right(self._needed((num_symbols, layers))[count], value) - 1, lowest)
                for value, count, layers in zip(capacity, num_prb, num_layers, strict=True)
            ]
        if loss_db is not None:
            for row in np.flatnonzero(loss_db.max(axis=1, initial=0.0) > 0).tolist():
                shape = num_symbols, 1 if num_layers is None else num_layers[row]
                chosen[row] = self._choose_with_loss(capacity[row], num_prb[row], shape, loss_db[row])
        return chosen

    def choose_at(self, capacity: Array, num_prb: Indices, num_symbols: int) -> Indices:
        """`choose` for many blocks of one layer, without losses. Broadcasts.

        Args:
            capacity: Mean log2(1 + SINR), [...].
            num_prb: PRBs, [...].
        """
        rows = self.needed_capacity(num_symbols)
        reached = np.add.reduce(rows[num_prb] <= capacity[..., None], axis=-1)
        return np.asarray(np.maximum(reached - 1, self.lowest))

    def _choose_with_loss(self, capacity: float, num_prb: int, shape: _Shape, loss_db: Array) -> int:
        sinr_db = 10 * log10(max(2.0**capacity - 1.0, 1e-12))
        good = np.flatnonzero(self.thresholds_db(*shape)[:, num_prb] + loss_db <= sinr_db)
        return max(int(good[-1]) if len(good) else 0, self.lowest)

    def error_rate(self, mcs: int, num_prb: int, num_symbols: int, sinr_db: float, num_layers: int = 1) -> float:
        """Transport block error rate of one block, 1 - (1 - BLER)^C."""
        shape = num_symbols, num_layers
        curves = self._curves.get(shape)
        if curves is None:
            curves = self._curves[shape] = self._make_curves(shape)
        center, scale, count = curves[mcs][num_prb]
        if scale:
            # The normal distribution's lower tail at (center - SINR) / width.
            code_block_error = 0.5 * erfc((sinr_db - center) * scale)
        else:
            code_block_error = float(self._table.bler(self._index, mcs, center, sinr_db))
        value: float = 1.0 - (1.0 - code_block_error) ** count
        return value

    def error_rates(self, mcs: Indices, num_prb: int, num_symbols: int, sinr_db: Array, num_layers: int) -> Array:
        """`error_rate` of many blocks of one width, mcs and sinr_db broadcast. [...]."""
        bits, count = (values[mcs, num_prb] for values in self._segmentation((num_symbols, num_layers)))
        return np.asarray(1.0 - (1.0 - self._table.bler(self._index, mcs, bits, sinr_db)) ** count)

    def waterfalls(self, num_symbols: int) -> Array | None:
        """Center, 1 / (sqrt 2 width) and code blocks of blocks of one layer; None where the table is of other curves.

        Returns:
            [num_mcs, num_prb + 1, 3]
        """
        if not isinstance(self._table, WaterfallBlerTable):
            return None
        shape = num_symbols, 1
        if shape not in self._waterfalls:
            self._waterfalls[shape] = self._curve_rows(shape)
        return self._waterfalls[shape]

    def _make_curves(self, shape: _Shape) -> list[list[tuple[float, float, float]]]:
        return [[(one, two, three) for one, two, three in row] for row in self._curve_rows(shape).tolist()]

    def _curve_rows(self, shape: _Shape) -> Array:
        """By MCS and PRBs: center and 1 / (sqrt 2 width) of the waterfall, or code block bits and 0 for other tables.

        The third number is that of code blocks.
        """
        bits, count = self._segmentation(shape)
        first, second = bits, np.zeros_like(bits)
        if isinstance(self._table, WaterfallBlerTable):
            first, width = self._table.waterfall(self._index, np.arange(len(bits))[:, None], bits)
            second = 1 / (np.sqrt(2) * width)
        return np.stack([first, second, count], axis=-1)
