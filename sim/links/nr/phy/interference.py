"""Interference between cells from what they really send in a slot, and its running mean for reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
import numpy.typing as npt

from sim.links.base import Direction
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.outside import ActivityLog, Outside
from sim.links.nr.phy.small_scale import MAX_STREAMS

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
AnyComplex = npt.NDArray[np.complexfloating]
Indices = npt.NDArray[np.int64]
# Data slots over which receivers average the interference that they report.
_WINDOW_SLOTS = 20.0
# A source whose mean is below this share of noise and interference counts with its mean, without fading.
_FADING_SHARE = 0.02


@cache
def _kernels() -> ModuleType:
    from sim.links.nr.phy import interference_kernels

    return interference_kernels


@dataclass(frozen=True)
class SentBlocks:
    """The blocks of one direction in one slot, as arrays.

    Attributes:
        cells, devices: Whose they are, [num_blocks].
        num_prb, num_layers, precoder: [num_blocks].
        loads: Share of each PRB group that they use, [num_blocks, num_groups].
        reduction_db: Power reduction (uplink), [num_blocks] or 0.
        snr: Mean SNR per PRB and receive antenna, [num_blocks]; None where it is to be found.
    """

    cells: Indices
    devices: Indices
    num_prb: Indices
    num_layers: Indices
    precoder: Indices
    loads: Array
    reduction_db: Array | float = 0.0
    snr: Array | None = None


class Interference:
    """Interference over noise per PRB, of one direction: mean gains, beams, and fading of every link that matters.

    What base stations and devices report of it is a running mean, in which fading counts as 1.

    Args:
        channel: Gains and powers.
        direction: Uplink or downlink.

    Attributes:
        outside: Cells that are simulated elsewhere; None if there are none.
        log: Takes what is sent here; None if nobody asks.
    """

    def __init__(self, channel: RadioChannel, direction: Direction) -> None:
        self._channel, self._direction = channel, direction
        # Uplink: received interference [mW] per PRB of each cell; downlink: share of PRBs that each cell uses.
        self._mean = np.zeros((channel.num_cells, channel.carrier.num_groups))
        self._aged = 0
        # Devices last asked about, and the answer, until the mean changes.
        self._last_expected: tuple[bytes, Array] | None = None
        # Scratch of `links_of_pairs`, made when it is needed.
        self._seen: Indices | None = None
        self._kept_slots = 0
        self._kept: dict[int, Array] = {}
        self.outside: Outside | None = None
        self.log: ActivityLog | None = None

    # -- what is really there ---------------------------------------------------------------------------------------

    def over_noise(self, slot: int, blocks: SentBlocks) -> Array:
        """I / N of each block in each group, from all blocks of other cells in this slot. [num_blocks, num_groups]."""
        mean = self._mean_over_noise(slot, blocks)
        victims, sources, strong = self._take_strong(mean, blocks)
        total = mean @ blocks.loads
        if len(victims):
            devices, sites, inverse = self._links(victims, sources, blocks)
            fading = self._channel.small_scale.cross_powers(self._direction, slot, devices, sites)[inverse]
            np.add.at(total, victims, strong[:, None] * blocks.loads[sources] * fading)
        if self.outside is not None:
            total += self._from_outside(self.outside, slot, blocks)
        return total

    def _from_outside(self, outside: Outside, slot: int, blocks: SentBlocks) -> Array:
        """I / N of each block in each group from cells that are simulated elsewhere. [num_blocks, num_groups].

        Downlink: what strong cells send fades as it does where all cells are in one world. Uplink: as it faded there.
        """
        is_uplink, channel = self._direction == Direction.UPLINK, self._channel
        sent = outside.faded_at(slot) if is_uplink else outside.at(slot)
        if sent is None:
            return np.zeros(blocks.loads.shape)
        if is_uplink:
            return np.asarray(sent[blocks.cells] / channel.noise_mw[self._direction], dtype=np.float64)
        mean = channel.linear_gain(channel.gnb_psd_dbm)[blocks.devices] / channel.noise_mw[self._direction]
        mean[np.arange(len(blocks.cells)), blocks.cells] = 0.0
        mean[:, ~sent.any(axis=1)] = 0.0
        small = channel.small_scale
        if not small.cross_fades or small.is_multi:
            return np.asarray(mean @ sent)
        victims, cells = np.nonzero(mean > _FADING_SHARE * (1 + mean.sum(axis=1))[:, None])
        strong = mean[victims, cells]
        mean[victims, cells] = 0.0
        total = np.asarray(mean @ sent, dtype=np.float64)
        if len(victims):
            sites = channel.antennas.cell_site[cells]
            fading = small.cross_powers(self._direction, slot, blocks.devices[victims], sites)
            np.add.at(total, victims, strong[:, None] * sent[cells] * fading)
        return total

    def covariance(
        self, slot: int, blocks: SentBlocks, which: Indices, group: Indices, own: AnyComplex | None = None
    ) -> Complex:
        """Covariance of interference and noise over the noise of one antenna, at receivers of blocks.

        Args:
            which, group: Where it is wanted: the block, by number, and the PRB group, [num_entries].
            own: Channels of the blocks' devices in this slot, if they are at hand (``SmallScale.matrices``).

        Returns:
            [num_entries, num_rx, num_rx]
        """
        is_single = self._channel.small_scale.num_tx[self._direction] == 1
        if self._channel.is_compiled and is_single and not self._channel.antennas.has_beams:
            return self._compiled_covariance(slot, blocks, which, group, own)
        mean = self._mean_over_noise(slot, blocks)
        victims, sources, strong = self._take_strong(mean, blocks)
        num_rx = self._channel.small_scale.num_rx[self._direction]
        white = 1 + mean @ blocks.loads
        if self.outside is not None:
            white += self._from_outside(self.outside, slot, blocks)
        result = np.zeros((len(which), num_rx, num_rx), dtype=np.complex128)
        layers = blocks.num_layers[sources]
        if len(victims) and np.maximum.reduce(layers) > MAX_STREAMS:
            # Layers beyond those that are kept separate.
            separate = np.minimum(layers, MAX_STREAMS)
            is_other = ~self._are_own_site(victims, sources, blocks)
            rest = np.where(is_other, strong * (layers - separate) / layers, 0.0)
            np.add.at(white, victims, rest[:, None] * blocks.loads[sources])
        diagonal = np.arange(num_rx)
        result[:, diagonal, diagonal] = white[which, group][:, None]
        # The pairs of blocks that meet at each entry.
        loads = blocks.loads[sources].take(group, axis=1)
        entries, met = np.nonzero((which[:, None] == victims) & (loads.T > 0))
        if len(entries):
            vectors = self._vectors(slot, (victims, sources), (met, group[entries]), blocks, own)
            power = strong[met] * loads[met, entries]
            np.add.at(result, entries, power[:, None, None] * (vectors @ vectors.conj().swapaxes(-1, -2)))
        return result

    def _compiled_covariance(
        self, slot: int, blocks: SentBlocks, which: Indices, group: Indices, own: AnyComplex | None
    ) -> Complex:
        """`covariance` of single layers from one antenna each, without beams, by compiled code around products."""
        channel, small, direction = self._channel, self._channel.small_scale, self._direction
        count, noise_mw = len(blocks.cells), channel.noise_mw[self._direction]
        if self._seen is None:
            self._seen = np.full(channel.num_devices * channel.settings.num_sites, -1)
        # More sources of a victim than this cannot each bring more than the share of all.
        room = count * min(count, int(1 / _FADING_SHARE) + 1)
        mean, (victims, sources, links, place) = np.empty((count, count)), np.empty((4, room), dtype=np.int64)
        strong, ends = np.empty(room), (blocks.devices, blocks.cells)
        common = blocks.loads, _FADING_SHARE, (channel.antennas.cell_site, small.serving_site), self._seen
        found = (victims, sources, strong), (links, place)
        if direction == Direction.UPLINK:
            received, levels = np.empty((count, channel.num_cells)), (self._snr(blocks), channel.serving_losses())
            num_pairs, num_links = _kernels().uplink_pairs(
                levels, channel.linear_gain(), ends, noise_mw, *common, (mean, received), *found
            )
            self._remember(slot, np.asarray(received.T @ blocks.loads), blocks)
        else:
            used, gains_mw = np.empty(self._mean.shape), channel.linear_gain(channel.gnb_psd_dbm)
            num_pairs, num_links = _kernels().downlink_pairs(gains_mw, ends, noise_mw, *common, (mean, used), *found)
            self._remember(slot, used, blocks)
        white = 1 + mean @ blocks.loads
        if self.outside is not None:
            white += self._from_outside(self.outside, slot, blocks)
        own_channels = small.matrices(direction, slot, blocks.devices) if own is None else own
        others = small.vectors_of_links(direction, slot, links[:num_links]) if num_links else own_channels
        num_rx = small.num_rx[direction]
        result = np.empty((len(which), num_rx, num_rx), dtype=np.complex128)
        pairs = victims[:num_pairs], sources[:num_pairs], strong
        _kernels().covariances((which, group), white, pairs, blocks.loads, (own_channels, others), place, result)
        return result

    def _mean_over_noise(self, slot: int, blocks: SentBlocks) -> Array:
        """I / N on a full PRB that block s brings to the receiver of block b, fading 1. [num_blocks, num_blocks]."""
        channel = self._channel
        mean = self._compiled_means(slot, blocks) if self._channel.is_compiled else self._means(slot, blocks)
        if channel.antennas.has_beams:
            victims, sources = np.nonzero(mean)
            mean[victims, sources] *= self._beam_gains(victims, sources, blocks)
        return np.asarray(mean)

    def _means(self, slot: int, blocks: SentBlocks) -> Array:
        """`_mean_over_noise` without beams, and what is to be remembered of the slot."""
        channel, cells, devices = self._channel, blocks.cells, blocks.devices
        if self._direction == Direction.UPLINK:
            sent = self._sent_mw(blocks)
            self._remember(slot, np.asarray(self._received_mw(sent, blocks).T @ blocks.loads), blocks)
            mean = sent * channel.linear_gain()[devices, cells[:, None]] / channel.noise_mw[self._direction]
        else:
            used = np.zeros_like(self._mean)
            np.add.at(used, cells, blocks.loads)
            self._remember(slot, used, blocks)
            received = channel.linear_gain(channel.gnb_psd_dbm)[devices[:, None], cells]
            mean = received / channel.noise_mw[self._direction]
        mean[cells[:, None] == cells] = 0.0
        return np.asarray(mean)

    def _compiled_means(self, slot: int, blocks: SentBlocks) -> Array:
        """`_means` by compiled code."""
        channel, cells, devices = self._channel, blocks.cells, blocks.devices
        noise_mw = channel.noise_mw[self._direction]
        mean = np.empty((len(cells), len(cells)))
        if self._direction == Direction.UPLINK:
            received = np.empty((len(cells), channel.num_cells))
            sent = self._snr(blocks), channel.serving_losses()
            _kernels().uplink_means(sent, channel.linear_gain(), devices, cells, noise_mw, mean, received)
            self._remember(slot, np.asarray(received.T @ blocks.loads), blocks)
        else:
            used, gains_mw = np.zeros_like(self._mean), channel.linear_gain(channel.gnb_psd_dbm)
            _kernels().downlink_means(gains_mw, devices, cells, noise_mw, blocks.loads, mean, used)
            self._remember(slot, used, blocks)
        return mean

    def _beam_gains(self, victims: Indices, sources: Indices, blocks: SentBlocks) -> Array:
        """Gain of the receiving cell's beam towards the source, or of the sending one's towards the victim."""
        antennas = self._channel.antennas
        served, towards = blocks.devices[victims], blocks.devices[sources]
        if self._direction == Direction.UPLINK:
            return antennas.beam_gain(served, towards, blocks.cells[victims])
        return antennas.beam_gain(towards, served, blocks.cells[sources])

    def _sent_mw(self, blocks: SentBlocks) -> Array:
        """Power per PRB that devices send. [num_blocks]."""
        channel = self._channel
        return self._snr(blocks) * channel.noise_mw[self._direction] * channel.serving_losses().take(blocks.devices)

    def _snr(self, blocks: SentBlocks) -> Array:
        """Mean SNR of blocks at their own receivers. [num_blocks]."""
        if blocks.snr is not None:
            return blocks.snr
        return self._channel.snr(self._direction, blocks.devices, blocks.num_prb, blocks.reduction_db)

    def _received_mw(self, sent_mw: Array, blocks: SentBlocks) -> Array:
        """Power per PRB of each block at the cells of others, fading and beams 1. [num_blocks, num_cells]."""
        received = sent_mw[:, None] * self._channel.linear_gain()[blocks.devices]
        received[np.arange(len(sent_mw)), blocks.cells] = 0.0
        return np.asarray(received)

    def _take_strong(self, mean: Array, blocks: SentBlocks) -> tuple[Indices, Indices, Array]:
        """Pairs of blocks that share PRBs and are not drowned by noise and all others; taken from the mean.

        Returns:
            Victim, source and I / N at unit fading of each pair, victims rising, [num_pairs] each.
        """
        if not self._channel.small_scale.cross_fades and not self._channel.small_scale.is_multi:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
        if self._channel.is_compiled:
            room = np.empty((2, mean.size), dtype=np.int64), np.empty(mean.size)
            found = _kernels().take_strong(mean, blocks.loads, _FADING_SHARE, room[0][0], room[0][1], room[1])
            return room[0][0, :found], room[0][1, :found], room[1][:found]
        used = (blocks.loads > 0).astype(np.float64)
        shares = used @ used.T
        mean_if_shared = np.where(shares > 0, mean, 0.0)
        threshold = _FADING_SHARE * (1 + mean_if_shared.sum(axis=1))
        victims, sources = np.nonzero(mean_if_shared > threshold[:, None])
        strong = mean[victims, sources]
        mean[victims, sources] = 0.0
        return victims, sources, strong

    def _ends(self, victims: Indices, sources: Indices, blocks: SentBlocks) -> tuple[Indices, Indices]:
        """(device, site) of the links between sources and victims: it is the device's end that moves."""
        site = self._channel.antennas.cell_site
        if self._direction == Direction.UPLINK:
            return blocks.devices[sources], site[blocks.cells[victims]]
        return blocks.devices[victims], site[blocks.cells[sources]]

    def _links(self, victims: Indices, sources: Indices, blocks: SentBlocks) -> tuple[Indices, Indices, Indices]:
        """Devices and sites of all links, each once, and which of them each pair uses."""
        devices, sites = self._ends(victims, sources, blocks)
        num_sites = self._channel.settings.num_sites
        places: dict[int, int] = {}
        inverse = [places.setdefault(link, len(places)) for link in (devices * num_sites + sites).tolist()]
        links = np.array(list(places), dtype=np.int64)
        return links // num_sites, links % num_sites, np.array(inverse, dtype=np.int64)

    def _are_own_site(self, victims: Indices, sources: Indices, blocks: SentBlocks) -> npt.NDArray[np.bool_]:
        """Whether a link leads to the site that serves its device: another sector of it."""
        devices, sites = self._ends(victims, sources, blocks)
        channel = self._channel
        return np.asarray(channel.antennas.cell_site[channel.serving[devices]] == sites)

    def _vectors(
        self,
        slot: int,
        ends: tuple[Indices, Indices],
        wanted: tuple[Indices, Indices],
        blocks: SentBlocks,
        own: AnyComplex | None,
    ) -> Complex:
        """What each layer of sources brings to victims' antennas, at the mean gain and its share of the power.

        Args:
            ends: Victims and sources of all pairs, [num_pairs] each.
            wanted: Pairs, by number, and PRB groups, [num_wanted] each.

        Returns:
            [num_wanted, num_rx, num_layers], columns of no power where a source has fewer layers.
        """
        (victims, sources), (pairs, group) = ends, wanted
        small, direction = self._channel.small_scale, self._direction
        layers = blocks.num_layers[sources]
        num_streams = min(small.num_tx[direction], MAX_STREAMS)
        shape = len(pairs), small.num_rx[direction], max(num_streams, int(np.maximum.reduce(layers)))
        vectors = np.zeros(shape, dtype=np.complex128)
        is_own_site = self._are_own_site(victims, sources, blocks)
        other = (~is_own_site).nonzero()[0]
        if len(other):
            devices, sites, inverse = self._links(victims[other], sources[other], blocks)
            link = np.zeros(len(victims), dtype=np.int64)
            link[other] = inverse
            rows = (~is_own_site[pairs]).nonzero()[0]
            separate = small.cross_vectors(direction, slot, devices, sites)[link[pairs[rows]], group[rows]]
            count = layers[pairs[rows]]
            found = separate / np.sqrt(count)[:, None, None]
            vectors[rows, :, :num_streams] = found * (np.arange(num_streams) < count[:, None])[:, None, :]
        if len(other) < len(victims):
            # The block whose device is at the moving end.
            moving = sources if direction == Direction.UPLINK else victims
            channels = small.matrices(direction, slot, blocks.devices) if own is None else own
            for rank in set(layers[is_own_site].tolist()):
                rows = (is_own_site[pairs] & (layers[pairs] == rank)).nonzero()[0]
                own_pairs = pairs[rows]
                precoder = blocks.precoder[sources[own_pairs]]
                sent = self._channel.spatial.precoded(direction, channels[moving[own_pairs]], rank, precoder)
                vectors[rows, :, :rank] = sent[np.arange(len(rows)), group[rows]]
        return vectors

    # -- what is reported of it -------------------------------------------------------------------------------------

    def expected_over_noise(self, slot: int, devices: Indices) -> Array:
        """Running mean of I / N as reported, of devices in their cells. [num_devices, num_groups]."""
        self._fade(slot)
        if not self._channel.is_static:
            return self._at_devices(self._mean, devices)
        # One decision asks several times about the same devices.
        asked = devices.tobytes()
        if self._last_expected is None or self._last_expected[0] != asked:
            self._last_expected = asked, self._at_devices(self._mean, devices)
        return self._last_expected[1]

    def _at_devices(self, load: Array, devices: Indices) -> Array:
        """I / N at devices or at their cells from what is sent, [num_cells, num_groups]. [num_devices, num_groups]."""
        channel = self._channel
        noise_mw = channel.noise_mw[self._direction]
        if self._direction == Direction.UPLINK:
            if not self._channel.is_compiled:
                return np.asarray(load[channel.serving[devices]] / noise_mw)
            found = np.empty((len(devices), load.shape[1]))
            _kernels().at_cells(load, channel.serving, devices, noise_mw, found)
            return found
        if self._channel.is_compiled:
            gains = np.empty((len(devices), channel.num_cells))
            _kernels().gains_of_others(channel.linear_gain(channel.gnb_psd_dbm), channel.serving, devices, gains)
        else:
            gains = channel.linear_gain(channel.gnb_psd_dbm)[devices]
            gains[np.arange(len(devices)), channel.serving[devices]] = 0.0
        found = np.asarray(gains @ load)
        found /= noise_mw
        return found

    def _fade(self, slot: int) -> None:
        if self.outside is not None:
            for sent_slot, sent in self.outside.before(slot):
                self._age(sent_slot + 1)
                self._mean += sent / _WINDOW_SLOTS
                self._last_expected = None
        self._age(slot)

    def _age(self, slot: int) -> None:
        count = self._channel.carrier.num_data_slots(self._direction, slot)
        if count > self._aged:
            self._mean *= (1 - 1 / _WINDOW_SLOTS) ** (count - self._aged)
            self._last_expected = None
            self._aged = count

    def keep(self, num_slots: int) -> None:
        """Remember what was sent in each of so many slots, for measurements of a single slot."""
        self._kept_slots = num_slots + 2 * self._channel.carrier.pattern.period_slots

    def measured_over_noise(self, slot: int, devices: Indices) -> Array:
        """I / N of the last slot of this direction up to ``slot``, fading 1, of devices in their cells (CSI-IM).

        Returns:
            [num_devices, num_groups]
        """
        while slot > 0 and not self._channel.carrier.data_symbols(self._direction, slot):
            slot -= 1
        present = self._kept.get(slot, np.zeros_like(self._mean))
        sent = None if self.outside is None else self.outside.at(slot)
        return self._at_devices(present if sent is None else present + sent, devices)

    def _remember(self, slot: int, present: Array, blocks: SentBlocks) -> None:
        if self._kept_slots:
            self._kept[slot] = present
            while (oldest := next(iter(self._kept))) < slot - self._kept_slots:
                del self._kept[oldest]
        if self.log is not None:
            self.log.add(slot, present, self._faded(slot, present, blocks))
        self._fade(slot + 1)
        self._mean += present / _WINDOW_SLOTS
        self._last_expected = None

    def _faded(self, slot: int, present: Array, blocks: SentBlocks) -> Array | None:
        """Power per PRB at each cell from the devices of others as it fades in this slot. [num_cells, num_groups]."""
        small, channel = self._channel.small_scale, self._channel
        if self._direction == Direction.DOWNLINK or not small.cross_fades:
            return None
        received = self._received_mw(self._sent_mw(blocks), blocks)
        sources, cells = np.nonzero(received > _FADING_SHARE * channel.noise_mw[self._direction])
        if not len(sources):
            return present
        fading = small.cross_powers(self._direction, slot, blocks.devices[sources], channel.antennas.cell_site[cells])
        faded = present.copy()
        np.add.at(faded, cells, received[sources, cells][:, None] * blocks.loads[sources] * (fading - 1))
        return np.maximum(faded, 0.0)
