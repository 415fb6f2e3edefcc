"""Layers and precoders: what a block's layers are received with, and what devices report of rank and precoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels.codebook import open_loop_precoders, type_one_precoders
from channels.mimo import white_mmse_sinr
from sim.links.base import Direction
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.codewords import Codewords
from sim.links.nr.phy.small_scale import SmallScale
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
# Of a precoder's worth: less says nothing of which is better.
_ROUNDING = 1e-9
Complex = npt.NDArray[np.complexfloating]


@dataclass(frozen=True)
class SpatialReport:
    """What devices report of their channels.

    Attributes:
        gains: Effective SINR of a PRB group's layers over the mean SNR of an antenna, [num_devices, num_groups].
        layer_gains: SINR of each layer over that mean SNR, infinite for layers beyond the rank, [num_devices,
            num_groups, max_layers].
        num_layers: Rank, [num_devices].
        precoder: Index in the codebook of so many layers, [num_devices].
        mcs: MCS of a codeword over all of them and the whole carrier, [num_devices].
    """

    gains: Array
    layer_gains: Array
    num_layers: Indices
    precoder: Indices
    mcs: Indices


@dataclass(frozen=True)
class RankLimits:
    """What the choice of a rank counts besides the channel.

    Attributes:
        num_prb: PRBs of the blocks that are compared, [num_devices].
        offsets: Outer loops' offsets by rank, linear, [max_layers, num_devices].
        losses_db: What each MCS takes off the SINR, [num_devices, num_mcs]; None is nothing.
    """

    num_prb: Indices
    offsets: Array
    losses_db: Array | None = None


class Spatial:
    """Precoding, layers and rank of all links, where there are several antennas.

    Args:
        carrier: The carrier.
        settings: Keys of the link.
        small_scale: Fading.
    """

    def __init__(self, carrier: Carrier, settings: NrLinkSettings, small_scale: SmallScale) -> None:
        self._small_scale, self._num_groups = small_scale, carrier.num_groups
        self._group_sizes = carrier.group_sizes
        self._is_open_loop = settings.mimo == "open_loop"
        limits = {Direction.UPLINK: settings.uplink_max_layers, Direction.DOWNLINK: settings.max_layers}
        self.max_layers = {
            direction: min(small_scale.num_rx[direction], small_scale.num_tx[direction], limit)
            for direction, limit in limits.items()
        }

    def precoders(self, direction: Direction, num_layers: int, index: Indices) -> Complex:
        """Precoders of blocks, each of unit power. [num_blocks, 1 or num_groups, num_tx, num_layers]."""
        num_tx = self._small_scale.num_tx[direction]
        if self._is_open_loop:
            cycled = open_loop_precoders(num_tx, num_layers, self._num_groups)
            return np.broadcast_to(cycled, (len(index), *cycled.shape))
        return type_one_precoders(num_tx, num_layers)[index][:, None]

    def layers(self, direction: Direction, slot: int, devices: Indices, num_layers: int, index: Indices) -> Complex:
        """What each layer of a device's block brings to each receive antenna of its site, at unit power and mean gain.

        Returns:
            [num_blocks, num_groups, num_rx, num_layers]
        """
        return self.precoded(direction, self._small_scale.matrices(direction, slot, devices), num_layers, index)

    def precoded(self, direction: Direction, channel: Complex, num_layers: int, index: Indices) -> Complex:
        """`layers` of channels that are at hand, [num_blocks, num_groups, num_rx, num_tx]."""
        if channel.shape[-1] == 1:
            return channel
        return np.asarray(channel @ self.precoders(direction, num_layers, index))

    def combined_gains(self, direction: Direction, slot: int, devices: Indices) -> Array:
        """Gain of maximum-ratio combining of what one antenna sends. [num_devices, num_groups]."""
        power = self.amplitudes(direction, slot, devices).astype(np.float64)
        power *= power
        return np.asarray(np.add.reduce(power, axis=-1))

    def amplitudes(self, direction: Direction, slot: int, devices: Indices) -> npt.NDArray[np.float32]:
        """What one antenna brings to each receive antenna. [num_devices, num_groups, num_rx]."""
        return np.abs(self._small_scale.matrices(direction, slot, devices)[..., 0])

    def rank_candidates(
        self, direction: Direction, channel: Complex, snr: Array
    ) -> Iterator[tuple[int, Indices, Array]]:
        """Of each rank the best precoder of the whole carrier, and the SINR of its layers.

        The precoder of one layer is the one of most power, that of more layers the one of most mutual information over
        the mean correlation of the band.

        Args:
            channel: [num_devices, num_groups, num_rx, num_tx].
            snr: SNR per PRB and receive antenna for the whole power in one layer, interference counted as noise,
                [num_devices, num_groups].

        Yields:
            Rank; index in the codebook, [num_devices]; linear SINR, [num_devices, num_groups, rank].
        """
        gram, mean_snr = _band_mean(channel), snr.mean(axis=1)
        for rank in range(1, self.max_layers[direction] + 1):
            index = self._best_precoder(direction, rank, gram, mean_snr)
            yield rank, index, self.layer_sinr(direction, channel, rank, index, snr)

    def report(
        self,
        direction: Direction,
        slot: int,
        devices: Indices,
        snr: Array,
        codewords: Codewords,
        limits: RankLimits,
    ) -> SpatialReport:
        """Rank and precoder of most goodput by the channel of a slot, and the gains that they give.

        Of each rank, the goodput is that of one codeword over all layers and PRB groups, with the MCS at which its
        effective SINR, times the outer loop's offset of that rank, meets the target. Of equal ones the least rank is
        taken, and where none meets the target one layer.

        Args:
            snr: As `rank_candidates` takes it.
            codewords: What codewords carry.
            limits: Widths of blocks and offsets.
        """
        channel = self._small_scale.matrices(direction, slot, devices)
        count, weights = len(devices), np.broadcast_to(self._group_sizes.astype(np.float64), snr.shape)
        most = np.zeros(count)
        sinr = np.full((*snr.shape, self.max_layers[direction]), np.inf)
        layers, precoder, place = (np.zeros(count, dtype=np.int64) for _ in range(3))
        symbols = codewords.num_symbols
        for rank, index, own in self.rank_candidates(direction, channel, snr):
            offset = limits.offsets[rank - 1]
            effective = codewords.effective_sinr(own, weights)
            chosen, is_met = codewords.choose(effective, offset, limits.num_prb, symbols, rank, limits.losses_db)
            goodput = codewords.goodput(chosen, is_met, limits.num_prb, rank)
            better = goodput > most if rank > 1 else np.ones(count, dtype=bool)
            most[better] = goodput[better]
            layers[better], precoder[better], place[better] = rank, index[better], chosen[better]
            sinr[better, :, :rank] = own[better]
        mcs = codewords.available[place]
        gains = codewords.by_group(sinr, mcs) / snr
        return SpatialReport(gains, sinr / snr[..., None], layers, precoder, mcs)

    def layer_sinr(self, direction: Direction, channel: Complex, rank: int, index: Indices, snr: Array) -> Array:
        """SINR of layers behind the receiver, in white noise. [num_devices, num_groups, rank]."""
        received = channel @ self.precoders(direction, rank, index)
        return white_mmse_sinr(received * np.sqrt(snr)[..., None, None], np.ones(snr.shape))

    def _best_precoder(self, direction: Direction, rank: int, gram: Complex, snr: Array) -> Indices:
        """Index of the precoder of a rank that brings a linear receiver most, for each device. [num_devices].

        What all layers could carry together is no measure of it: with as many layers as antennas every precoder of the
        codebook spans the same space, and rounding would decide.
        """
        if self._is_open_loop:
            return np.zeros(len(gram), dtype=np.int64)
        book = type_one_precoders(self._small_scale.num_tx[direction], rank)
        # [devices, precoders, layers, layers]
        inner = np.einsum("pil,dij,pjm->dplm", book.conj(), gram, book, optimize=True)
        if rank == 1:
            return _first_of_best(inner[..., 0, 0].real)
        errors = np.linalg.inv(np.eye(rank) + snr[:, None, None, None] * inner)
        return _first_of_best(-np.log(np.diagonal(errors, axis1=2, axis2=3).real).sum(axis=-1))


def _first_of_best(values: Array) -> Indices:
    """The first of those that are the best but for rounding, which differs between processors. [num_devices]."""
    best = values.max(axis=1, keepdims=True)
    return np.asarray((values >= best - _ROUNDING * np.abs(best)).argmax(axis=1))


def _band_mean(channel: Complex) -> Complex:
    """Mean over the band of H^H H. [num_devices, num_tx, num_tx]."""
    return np.asarray(np.einsum("dgrt,dgru->dtu", channel.conj(), channel) / channel.shape[1])
