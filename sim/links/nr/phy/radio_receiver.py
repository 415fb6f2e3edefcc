"""Decoding over the air: SINR per PRB group, effective SINR, soft combining, error curve, one draw per block."""

from __future__ import annotations

from math import log10

import numpy as np

from channels.eesm import block_effective_sinr, eesm_betas
from channels.harq import chase_combine, incremental_combine, incremental_equivalent_sinr
from sim.links.base import Direction
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.interference import Interference
from sim.links.nr.phy.uniform_stream import UniformStream

_LOW_RATE = 0.25


class RadioReceiver:
    """Receives all blocks of a slot and direction together.

    A block fails in round k if its one uniform draw lies below its error rate at the SINR combined so far: the
    probability of failing k rounds is then the error rate after k rounds, as it is for a decoder that keeps what it has
    received. Without combining each round has a draw of its own.

    Args:
        channel: Channels.
        errors: Error curves.
        interference: Of each direction, or None.
        uniform: Draws of later rounds, by direction.
        combining: ``chase``, ``incremental`` or ``none``.
    """

    def __init__(
        self,
        channel: RadioChannel,
        errors: BlockErrors,
        interference: dict[Direction, Interference] | None,
        uniform: dict[Direction, UniformStream],
        combining: str,
    ) -> None:
        self._channel, self._errors, self._interference, self._uniforms = channel, errors, interference, uniform
        self._combining = combining
        self._betas: list[float] = eesm_betas(channel.carrier.mcs_table.index).tolist()

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """Set ``received``, ``sinr_db``, ``error_rate`` and what is combined of each block."""
        devices = np.array([block.device for block in blocks])
        num_prb = np.array([block.num_prb for block in blocks])
        channel, combines = self._channel, self._combining != "none"
        sinr = channel.power_gains(direction, slot, devices)
        sinr *= channel.snr(direction, devices, num_prb)[:, None]
        if self._interference is not None:
            cells = np.array([block.cell for block in blocks])
            shares = np.array([block.prbs_per_group for block in blocks], dtype=np.float64)
            sinr /= 1 + self._interference[direction].over_noise(slot, cells, devices, shares, num_prb)
        for block, row in zip(blocks, sinr.tolist(), strict=True):
            read = kept = block_effective_sinr(row, self._betas[block.mcs], block.prbs_per_group)
            elements = float(block.num_prb * block.num_symbols)
            if block.attempt:
                if combines:
                    read, kept, elements = self._combined(block, kept, elements)
                else:
                    block.uniform = self._uniforms[direction].next(block.device)
            block.sinr_db = 10 * log10(max(read, 1e-12))
            block.error_rate = self._errors.error_rate(block.mcs, block.num_prb, block.num_symbols, block.sinr_db)
            block.received = block.uniform >= block.error_rate
            if not block.received:
                block.effective, block.combined_re = kept, elements

    def _combined(self, block: TransportBlock, effective: float, elements: float) -> tuple[float, float, float]:
        """Add what earlier rounds have left to a retransmission.

        Returns:
            SINR at which the error curve is read, SINR to keep for the next round, resource elements behind that.
        """
        if self._combining == "chase":
            total = float(chase_combine(block.effective, effective))
            return total, total, elements
        beta = self._betas[block.mcs]
        union = float(incremental_combine(block.effective, block.combined_re, effective, elements, beta))
        table = self._channel.carrier.mcs_table
        order, rate = table.modulation_order[block.mcs], table.code_rate[block.mcs]
        # Rates up to a quarter use base graph 2 (TS 38.212 7.2.2).
        base_graph = 2 if rate <= _LOW_RATE else 1
        read = float(incremental_equivalent_sinr(union, order, rate, block.attempt + 1, base_graph))
        return read, union, elements + block.combined_re
