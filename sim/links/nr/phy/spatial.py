"""Layers and precoders: what a block's layers are received with, and what devices report of rank and precoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels.codebook import open_loop_precoders, type_one_precoders
from channels.mimo import white_mmse_sinr
from sim.links.base import Direction
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.small_scale import SmallScale
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Complex = npt.NDArray[np.complexfloating]


@dataclass(frozen=True)
class SpatialReport:
    """What devices report of their channels.

    Attributes:
        gains: SINR of a layer over the mean SNR of an antenna, such that log2(1 + gain * SNR) is the layers' mean
            capacity, [num_devices, num_groups].
        num_layers: Rank, [num_devices].
        precoder: Index in the codebook of so many layers, [num_devices].
    """

    gains: Array
    num_layers: Indices
    precoder: Indices


class Spatial:
    """Precoding, layers and rank of all links, where there are several antennas.

    Args:
        carrier: The carrier.
        settings: Keys of the link.
        small_scale: Fading.
    """

    def __init__(self, carrier: Carrier, settings: NrLinkSettings, small_scale: SmallScale) -> None:
        self._small_scale, self._num_groups = small_scale, carrier.num_groups
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

    def report(
        self, direction: Direction, slot: int, devices: Indices, snr: Array, max_capacity: float
    ) -> SpatialReport:
        """Rank and precoder that carry most by the channel of a slot, and the gain that they give.

        Of several antennas that send; of one, there is nothing to choose (``combined_gains``).

        The precoder is that of the whole carrier: of one layer the one of most power, of more layers the one of most
        mutual information over the mean correlation of the band. The rank is the one whose layers together carry most,
        none more than the highest MCS.

        Args:
            snr: SNR per PRB and receive antenna for the whole power in one layer, interference counted as noise,
                [num_devices, num_groups].
            max_capacity: log2(1 + SINR) of the highest MCS.
        """
        channel = self._small_scale.matrices(direction, slot, devices)
        count = len(devices)
        # Mean over the band of H^H H. [devices, num_tx, num_tx]
        gram = np.einsum("dgrt,dgru->dtu", channel.conj(), channel) / channel.shape[1]
        mean_snr = snr.mean(axis=1)
        best_rate = np.full(count, -np.inf)
        gains = np.zeros(snr.shape)
        layers, precoder = np.ones(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for rank in range(1, self.max_layers[direction] + 1):
            index = self._best_precoder(direction, rank, gram, mean_snr)
            received = channel @ self.precoders(direction, rank, index)
            amplitude = np.sqrt(snr)[..., None, None]
            sinr = white_mmse_sinr(received * amplitude, np.ones(snr.shape))
            capacity = np.log2(1 + sinr).mean(axis=-1)  # [devices, groups]
            rate = rank * np.minimum(capacity, max_capacity).mean(axis=1)
            better = rate > best_rate
            best_rate[better] = rate[better]
            layers[better], precoder[better] = rank, index[better]
            gains[better] = (np.exp2(capacity[better]) - 1) / snr[better]
        return SpatialReport(gains, layers, precoder)

    def _best_precoder(self, direction: Direction, rank: int, gram: Complex, snr: Array) -> Indices:
        """Index of the best precoder of a rank for each device. [num_devices]."""
        if self._is_open_loop:
            return np.zeros(len(gram), dtype=np.int64)
        book = type_one_precoders(self._small_scale.num_tx[direction], rank)
        # [devices, precoders, layers, layers]
        inner = np.einsum("pil,dij,pjm->dplm", book.conj(), gram, book, optimize=True)
        if rank == 1:
            return np.asarray(inner[..., 0, 0].real.argmax(axis=1))
        information = np.linalg.slogdet(np.eye(rank) + snr[:, None, None, None] * inner)[1]
        return np.asarray(information.argmax(axis=1))
