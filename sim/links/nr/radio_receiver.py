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
Indices = npt.NDArray[np.int64]
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
        numbers = np.array([(block.device, block.num_prb, block.mcs, block.num_symbols) for block in blocks])
        devices, num_prb, mcs, symbols = numbers.T.copy()
        shares = np.array([block.weights for block in blocks], dtype=np.float64)
        air = self._air
        sinr = air.power_gains(direction, slot, devices)
        sinr *= air.snr(direction, devices, num_prb)[:, None]
        if self._interference is not None:
            cells = np.array([block.cell for block in blocks], dtype=np.int64)
            sinr /= 1 + self._interference[direction].over_noise(slot, cells, devices, shares, num_prb)
        effective = effective_sinr(sinr, self._betas.take(mcs), shares)
        elements = num_prb * symbols
        kept, kept_elements = effective, elements
        if self._combining != "none":
            again = [row for row, block in enumerate(blocks) if block.attempt]
            if again:
                kept, kept_elements = effective.copy(), elements.copy()
                self._combine(blocks, again, (effective, kept, kept_elements), mcs)
        level_db = 10 * np.log10(np.maximum(effective, 1e-12))
        rates = self._errors.error_rate(mcs, num_prb, symbols, level_db).tolist()
        for row, (block, level, rate) in enumerate(zip(blocks, level_db.tolist(), rates, strict=True)):
            if block.attempt and self._combining == "none":
                block.luck = self._luck[direction].draw(block.device)
            block.sinr_db, block.error_rate = level, rate
            block.received = block.luck >= rate
            if not block.received:
                block.effective, block.combined_re = float(kept[row]), float(kept_elements[row])

    def _combine(
        self,
        blocks: list[TransportBlock],
        again: list[int],
        combined: tuple[Array, Array, Indices],
        mcs: Indices,
    ) -> None:
        """Add what earlier rounds have left to each retransmission, in place.

        Args:
            again: Rows of the retransmissions.
            combined: SINR at which error curves are read, SINR to keep for the next round, resource elements behind it.
        """
        effective, kept, elements = combined
        before = np.array([blocks[row].effective for row in again])
        if self._combining == "chase":
            effective[again] = kept[again] = chase_combine(before, effective[again])
            return
        elements_before = np.array([blocks[row].combined_re for row in again])
        union = incremental_combine(before, elements_before, effective[again], elements[again], self._betas[mcs[again]])
        kept[again] = union
        elements[again] += elements_before.astype(np.int64)
        effective[again] = self._fresh_parity(union, mcs[again], np.array([blocks[row].attempt + 1 for row in again]))

    def _fresh_parity(self, union: Array, mcs: Indices, count: Indices) -> Array:
        """SINR at which the first round's curve reads the error of rounds with fresh parity."""
        table = self._air.carrier.mcs_table
        order, rate = table.modulation_order[mcs], table.code_rate[mcs]
        first = incremental_equivalent_sinr(union, order, rate, count, 1)
        # Rates up to a quarter use base graph 2 (TS 38.212 7.2.2).
        second = incremental_equivalent_sinr(union, order, rate, count, 2)
        return np.where(rate <= _LOW_RATE, second, first)
