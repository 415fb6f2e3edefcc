"""Decoding over the air: SINR per PRB group, effective SINR, soft combining, error curve, one draw per block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.eesm import eesm_betas, effective_sinr
from channels.harq import chase_combine, incremental_combine, incremental_equivalent_sinr
from sim.links.base import Direction
from sim.links.nr.air import Air
from sim.links.nr.block import TransportBlock
from sim.links.nr.block_errors import BlockErrors
from sim.links.nr.interference import Interference
from sim.links.nr.luck import AddressedUniforms

Array = npt.NDArray[np.float64]
_LOW_RATE = 0.25


class RadioReceiver:
    """Receives all blocks of a slot and direction together.

    A block fails in round k if its one uniform draw lies below its error rate at the SINR combined so far: the
    probability of failing k rounds is then the error rate after k rounds, as it is for a decoder that keeps what it has
    received. Without combining each round has a draw of its own.

    Args:
        air: Channels.
        errors: Error curves.
        interference: Of each direction, or None.
        luck: Draws of later rounds, by direction.
        combining: ``chase``, ``incremental`` or ``none``.
    """

    def __init__(
        self,
        air: Air,
        errors: BlockErrors,
        interference: dict[Direction, Interference] | None,
        luck: dict[Direction, AddressedUniforms],
        combining: str,
    ) -> None:
        self._air, self._errors, self._interference, self._luck = air, errors, interference, luck
        self._combining = combining
        self._betas = eesm_betas(air.carrier.mcs_table.index)

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """Set ``received``, ``sinr_db``, ``error_rate`` and what is combined of each block."""
        numbers = [(block.device, block.num_prb, block.mcs, block.num_symbols) for block in blocks]
        devices, num_prb, mcs, symbols = np.array(numbers, dtype=np.int64).T.copy()
        shares = np.array([block.weights for block in blocks], dtype=np.float64)
        air = self._air
        sinr = air.snr(direction, devices, num_prb)[:, None] * air.power_gains(direction, slot, devices)
        if self._interference is not None:
            cells = np.array([block.cell for block in blocks], dtype=np.int64)
            sinr /= 1 + self._interference[direction].over_noise(slot, cells, devices, shares, num_prb)
        effective = effective_sinr(sinr, self._betas[mcs], shares)
        if self._combining != "none":
            self._combine(blocks, effective, mcs, num_prb * symbols)
        level_db = 10 * np.log10(np.maximum(effective, 1e-12))
        rates = self._errors.error_rate(mcs, num_prb, symbols, level_db).tolist()
        for block, level, rate in zip(blocks, level_db.tolist(), rates, strict=True):
            if block.attempt and self._combining == "none":
                block.luck = self._luck[direction].draw(block.device)
            block.sinr_db, block.error_rate = level, rate
            block.received = block.luck >= rate

    def _combine(
        self, blocks: list[TransportBlock], effective: Array, mcs: npt.NDArray[np.int64], weight: npt.NDArray[np.int64]
    ) -> None:
        """Add what earlier rounds have left to each retransmission's effective SINR, in place."""
        rows = [row for row, block in enumerate(blocks) if block.attempt]
        if rows:
            again = [blocks[row] for row in rows]
            before = np.array([block.effective for block in again])
            if self._combining == "chase":
                effective[rows] = chase_combine(before, effective[rows])
            else:
                weight_before = np.array([block.combined_re for block in again])
                union = incremental_combine(
                    before, weight_before, effective[rows], weight[rows], self._betas[mcs[rows]]
                )
                for block, row, value in zip(again, rows, union.tolist(), strict=True):
                    block.effective, block.combined_re = value, block.combined_re + float(weight[row])
                effective[rows] = self._fresh_parity(union, mcs[rows], np.array([block.attempt + 1 for block in again]))
        for block, value, used in zip(blocks, effective.tolist(), weight.tolist(), strict=True):
            if not block.attempt or self._combining == "chase":
                block.effective, block.combined_re = value, float(used)

    def _fresh_parity(self, union: Array, mcs: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> Array:
        """SINR at which the first round's curve reads the error of rounds with fresh parity."""
        table = self._air.carrier.mcs_table
        order, rate = table.modulation_order[mcs], table.code_rate[mcs]
        first = incremental_equivalent_sinr(union, order, rate, count, 1)
        # Rates up to a quarter use base graph 2 (TS 38.212 7.2.2).
        second = incremental_equivalent_sinr(union, order, rate, count, 2)
        return np.where(rate <= _LOW_RATE, second, first)
