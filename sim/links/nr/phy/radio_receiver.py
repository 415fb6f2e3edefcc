"""Decoding over the air: SINR per PRB group, effective SINR, soft combining, error curve, one draw per block."""

from __future__ import annotations

from functools import cache
from math import log10
from types import ModuleType

import numpy as np
import numpy.typing as npt

from channels.eesm import block_effective_sinr, eesm_betas
from channels.harq import block_incremental_combine, chase_combine, incremental_factors
from channels.mimo import layer_sinr, white_mmse_sinr
from channels.nr import segment
from sim.links.base import Direction
from sim.links.nr.phy.block import TransportBlock, prbs_of
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.interference import Interference, SentBlocks
from sim.links.nr.phy.power_reduction import PowerReduction
from sim.links.nr.phy.uniform_stream import UniformStream

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_MANY_BLOCKS = 8
"""Blocks of a slot from which on their curves are read together."""


@cache
def _kernels() -> ModuleType:
    from sim.links.nr.phy import block_kernels

    return block_kernels


@cache
def _base_graph(size_bytes: int, code_rate: float) -> int:
    return int(segment(8 * size_bytes, code_rate).base_graph)


@cache
def _factors(order: int, code_rate: float, num_transmissions: int, base_graph: int) -> tuple[float, float]:
    shift, repetition = incremental_factors(order, code_rate, num_transmissions, base_graph)
    return float(shift), float(repetition)


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
        self._beta_row = eesm_betas(channel.carrier.mcs_table.index).copy()
        self._betas: list[float] = self._beta_row.tolist()
        self._group_sizes = channel.carrier.group_sizes.astype(np.float64)
        reduces_power = channel.settings.power_reduction and channel.fixed_snr_db is None
        self._reduction = PowerReduction(channel) if reduces_power else None
        # One antenna at either end, full power, no other cells.
        self._is_plain = not reduces_power and interference is None and not channel.small_scale.is_multi

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """Set ``received``, ``sinr_db``, ``error_rate`` and what is combined of each block."""
        columns = np.array(
            [[block.device for block in blocks], [block.num_prb for block in blocks], [block.mcs for block in blocks]]
        )
        effective = self._effective_sinr(direction, slot, blocks, columns)
        if len(blocks) >= _MANY_BLOCKS and self._channel.is_compiled:
            symbols = self._channel.carrier.data_symbols(direction, slot)
            waterfalls = self._errors.waterfalls(symbols)
            if waterfalls is not None:
                self._read_together(direction, blocks, columns, effective, (symbols, waterfalls))
                return
        for block, value in zip(blocks, effective, strict=True):
            self._read(direction, block, value)

    def expect(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """These blocks will probably be sent in a slot to come: their fading may be worked out along."""
        self._channel.small_scale.expect(direction, slot, [block.device for block in blocks])

    def _read(self, direction: Direction, block: TransportBlock, value: float) -> None:
        """Decode a block, of whose present transmission the effective SINR is known."""
        read = kept = value
        elements = float(block.num_prb * block.num_symbols)
        if block.attempt:
            if self._combining != "none":
                read, kept, elements = self._combined(block, kept, elements)
            else:
                block.uniform = self._uniforms[direction].next(block.device)
        block.sinr_db = sinr_db = 10 * log10(max(read, 1e-12))
        rate = self._errors.error_rate(block.mcs, block.num_prb, block.num_symbols, sinr_db, block.num_layers)
        block.error_rate = rate
        block.received = block.uniform >= block.error_rate
        if not block.received:
            block.effective, block.combined_re = kept, elements

    def _read_together(
        self,
        direction: Direction,
        blocks: list[TransportBlock],
        columns: Indices,
        effective: list[float],
        curves: tuple[int, Array],
    ) -> None:
        """`_read` of many blocks, the curves of all that are sent for the first time in one layer in one step."""
        symbols, waterfalls = curves
        _, num_prb, mcs = columns
        sinr_db, rates = np.empty(len(blocks)), np.empty(len(blocks))
        _kernels().read_curves(mcs, num_prb, waterfalls, np.array(effective), sinr_db, rates)
        for block, value, level_db, rate in zip(blocks, effective, sinr_db.tolist(), rates.tolist(), strict=True):
            if block.attempt or block.num_layers > 1 or block.num_symbols != symbols:
                self._read(direction, block, value)
                continue
            block.sinr_db, block.error_rate, block.received = level_db, rate, block.uniform >= rate
            if not block.received:
                block.effective, block.combined_re = value, float(block.num_prb * symbols)

    def _effective_sinr(
        self, direction: Direction, slot: int, blocks: list[TransportBlock], columns: Indices
    ) -> list[float]:
        """Effective SINR of each block's present transmission, linear; columns hold device, PRBs, MCS."""
        channel = self._channel
        devices, num_prb, mcs = columns
        reduction_db: Array | float = 0.0
        if self._reduction is not None and direction == Direction.UPLINK:
            rows = [block.prbs_per_group for block in blocks]
            reduction_db = self._reduction.of_blocks(devices, num_prb, mcs.tolist(), rows)
        prbs = prbs_of(blocks)
        if self._is_plain and channel.is_compiled:
            gains, effective = channel.power_gains(direction, slot, devices), np.empty(len(blocks))
            sizes, table = (devices, num_prb, mcs), channel.snr_table(direction)
            _kernels().effective_sinrs_at_mean(gains, table, sizes, self._beta_row, prbs, effective)
            plain: list[float] = effective.tolist()
            return plain
        snr = channel.snr(direction, devices, num_prb, reduction_db)
        if channel.small_scale.is_multi:
            sent = self._as_arrays(blocks, (devices, num_prb, snr), prbs, reduction_db)
            return self._behind_antennas(direction, slot, blocks, sent, (snr, mcs, prbs))
        sinr = channel.power_gains(direction, slot, devices)
        if self._interference is None and channel.is_compiled:
            effective = np.empty(len(blocks))
            _kernels().effective_sinrs(sinr, snr, self._beta_row, mcs, prbs, effective)
            found: list[float] = effective.tolist()
            return found
        sinr *= snr[:, None]
        if self._interference is not None:
            sent = self._as_arrays(blocks, (devices, num_prb, snr), prbs, reduction_db)
            sinr /= 1 + self._interference[direction].over_noise(slot, sent)
        return [
            block_effective_sinr(row, self._betas[block.mcs], block.prbs_per_group)
            for block, row in zip(blocks, sinr.tolist(), strict=True)
        ]

    def _as_arrays(
        self,
        blocks: list[TransportBlock],
        columns: tuple[Indices, Indices, Array],
        prbs_per_group: Indices,
        reduction_db: Array | float,
    ) -> SentBlocks:
        devices, num_prb, snr = columns
        cells, layers, precoders = np.array(
            [
                [block.cell for block in blocks],
                [block.num_layers for block in blocks],
                [block.precoder for block in blocks],
            ]
        )
        loads = prbs_per_group / self._group_sizes
        return SentBlocks(cells, devices, num_prb, layers, precoders, loads, reduction_db, snr)

    def _behind_antennas(
        self,
        direction: Direction,
        slot: int,
        blocks: list[TransportBlock],
        sent: SentBlocks,
        columns: tuple[Array, Indices, Indices],
    ) -> list[float]:
        """Effective SINR over all layers and PRB groups of each block, behind the receiver of several antennas.

        Args:
            columns: SNR, MCS and PRBs of each group of the blocks, [num_blocks] each.
        """
        snr, mcs, prbs_per_group = columns
        own = self._channel.small_scale.matrices(direction, slot, sent.devices)
        if self._channel.is_compiled and own.shape[3] == 1:
            return self._of_single_layers(direction, slot, sent, columns, own)
        # Only the groups that blocks use. [entries]
        which, group = np.nonzero(prbs_per_group)
        covariance = None
        if self._interference is not None:
            covariance = self._interference[direction].covariance(slot, sent, which, group, own)
        amplitude, effective = np.sqrt(snr), np.zeros(len(blocks))
        ranks = sorted({block.num_layers for block in blocks})
        for num_layers in ranks:
            rows, entries = np.arange(len(blocks)), slice(None)
            channel, place = own, which
            if len(ranks) > 1:
                rows = np.flatnonzero(sent.num_layers == num_layers)
                entries = np.flatnonzero(sent.num_layers[which] == num_layers)
                channel, place = own[rows], np.searchsorted(rows, which[entries])
            layers = self._channel.spatial.precoded(direction, channel, num_layers, sent.precoder[rows])
            received = layers[place, group[entries]] * amplitude[which[entries], None, None]
            if covariance is None:
                sinr = white_mmse_sinr(received, 1.0)
            else:
                sinr = layer_sinr(received, covariance[entries], self._channel.settings.receiver)
            weights = prbs_per_group[which[entries], group[entries]]
            self._map(sinr, which[entries], weights, mcs, effective)
        found: list[float] = effective.tolist()
        return found

    def _of_single_layers(
        self,
        direction: Direction,
        slot: int,
        sent: SentBlocks,
        columns: tuple[Array, Indices, Indices],
        own: npt.NDArray[np.complex64],
    ) -> list[float]:
        """`_behind_antennas` of blocks from one antenna each, by compiled code around NumPy's products."""
        snr, mcs, prbs_per_group = columns
        entries = np.empty((3, prbs_per_group.size), dtype=np.int64)
        received = np.empty((prbs_per_group.size, own.shape[2], 1), dtype=np.complex128)
        count = _kernels().received_layers(own, snr, prbs_per_group, tuple(entries), received)
        which, group, weights = entries[:, :count]
        if self._interference is None:
            sinr = white_mmse_sinr(received[:count], 1.0)
        else:
            covariance = self._interference[direction].covariance(slot, sent, which, group, own)
            sinr = layer_sinr(received[:count], covariance, self._channel.settings.receiver)
        effective = np.zeros(len(snr))
        self._map(sinr, which, weights, mcs, effective)
        found: list[float] = effective.tolist()
        return found

    def _map(self, sinr: Array, which: Indices, weights: Indices, mcs: Indices, effective: Array) -> None:
        """Effective SINR of blocks from those of their layers and groups.

        Args:
            sinr: [num_entries, num_layers].
            which, weights: Block, rising, and PRBs of each entry, [num_entries] each.
            mcs: Of all blocks, [num_blocks].
            effective: Takes it, [num_blocks].
        """
        if self._channel.is_compiled:
            _kernels().effective_sinrs_of_entries(sinr, which, weights, self._beta_row, mcs, effective)
            return
        values, shares, owners = sinr.tolist(), weights.tolist(), which.tolist()
        by_block: dict[int, tuple[list[float], list[int]]] = {}
        for block, layers, share in zip(owners, values, shares, strict=True):
            of_block = by_block.setdefault(block, ([], []))
            of_block[0].extend(layers)
            of_block[1].extend([share] * len(layers))
        for block, (own, counts) in by_block.items():
            effective[block] = block_effective_sinr(own, self._betas[int(mcs[block])], counts)

    def _combined(self, block: TransportBlock, effective: float, elements: float) -> tuple[float, float, float]:
        """Add what earlier rounds have left to a retransmission.

        Returns:
            SINR at which the error curve is read, SINR to keep for the next round, resource elements behind that.
        """
        if self._combining == "chase":
            total = float(chase_combine(block.effective, effective))
            return total, total, elements
        beta = self._betas[block.mcs]
        union = block_incremental_combine(block.effective, block.combined_re, effective, elements, beta)
        table = self._channel.carrier.mcs_table
        order, rate = int(table.modulation_order[block.mcs]), float(table.code_rate[block.mcs])
        shift, repetition = _factors(order, rate, block.attempt + 1, _base_graph(block.size_bytes, rate))
        return union * shift * repetition, union, elements + block.combined_re
