"""Link adaptation by report: the last measured channel, its mean capacity, an outer loop per device."""

from __future__ import annotations

from functools import cache
from math import log2, log10
from types import ModuleType

import numpy as np
import numpy.typing as npt

from sim.links.base import Direction
from sim.links.nr.mac.adaptation import bits_per_prb, min_grant_prb
from sim.links.nr.mac.csi import CqiReports, MeasurementTimes
from sim.links.nr.mac.grant_width import GrantWidths
from sim.links.nr.mac.grant_width import kernels as report_kernels
from sim.links.nr.mac.outer_loop import OuterLoops
from sim.links.nr.mac.power_sharing import gain_rows, spread_gains
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.codewords import Codewords
from sim.links.nr.phy.interference import Interference
from sim.links.nr.phy.power_reduction import PowerReduction
from sim.links.nr.phy.spatial import RankLimits

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_MARGIN_DB = 2.0
"""A power-limited device is given no more PRBs than leave its mean SNR this far above the lowest MCS's threshold."""
_CEILING_DB = 3.0
"""A report says at most that the channel is this far above what the highest MCS needs over the whole carrier: as a CQI
it has an end, and small blocks need a little more. Without one, an outer loop in a channel of 50 dB could lower its
offset for ever and still choose the highest MCS, whatever the interference that no report has seen."""
_FEW_ANTENNAS = 8
"""Up to which NumPy adds one after the other."""
_NO_REPORT = np.iinfo(np.int64).min


@cache
def _kernels() -> ModuleType:
    from sim.links.nr.phy import block_kernels

    return block_kernels


class ReportedChannel:
    """What the base station knows of one direction: gains, rank and precoder as of each device's last report.

    Devices are measured every ``csi_period_slots`` or ``srs_period_slots``, all in the same slot or each at an offset
    of its own; a measurement counts ``csi_delay_slots`` later. The channel is evaluated when a report is first needed,
    at the time of its measurement. Reports of the downlink may be CQIs, and hold the interference of their slot.

    Args:
        channel: Channels.
        errors: Error curves.
        interference: Running mean of other cells, or None.
        direction: Uplink or downlink.
    """

    def __init__(
        self, channel: RadioChannel, errors: BlockErrors, interference: Interference | None, direction: Direction
    ) -> None:
        settings, carrier = channel.settings, channel.carrier
        count = channel.num_devices
        self._channel, self._errors, self._interference, self._direction = channel, errors, interference, direction
        self._carrier = carrier
        self._times = MeasurementTimes(settings, carrier, direction, count)
        self._held = np.full(count, _NO_REPORT, dtype=np.int64)
        # The measurement that all devices' reports are of, if it is one.
        self._held_by_all: int | None = None
        # The measurement that was asked for last, and whose.
        self._held_last: tuple[int, bytes] | None = None
        self._gains = np.ones((count, carrier.num_groups))
        self.num_layers, self.precoder = np.ones(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self._is_multi = channel.small_scale.is_multi
        self.has_layers = channel.small_scale.num_tx[direction] > 1
        reduces_power = settings.power_reduction and direction == Direction.UPLINK and channel.fixed_snr_db is None
        self._reduction = PowerReduction(channel) if reduces_power else None
        self._fixed_mcs = settings.mcs
        # Compiled steps know one layer, and neither losses nor a fixed MCS.
        self._is_simple = self._reduction is None and not self.has_layers and settings.mcs is None
        lowest = int(errors.available[0])
        lowest_db = float(errors.thresholds_db(carrier.symbols)[lowest, carrier.num_prb])
        self._ceiling = (2**errors.top_capacity - 1) * 10 ** (_CEILING_DB / 10)
        # From the best report the offset reaches down to the lowest MCS.
        deepest_db = lowest_db - 10 * log10(self._ceiling)
        self._group_shares = carrier.group_sizes / carrier.num_prb
        self._cqi: CqiReports | None = None
        if settings.csi_report == "cqi" and direction == Direction.DOWNLINK:
            top = carrier.mcs_table.spectral_efficiency[errors.available[-1]]
            self._cqi = CqiReports(carrier.mcs_table.index, self._group_shares, float(top) / errors.top_capacity)
        self._codewords = Codewords(carrier, errors, self._ceiling, settings.mcs) if self.has_layers else None
        self.loops = OuterLoops(channel, errors, direction, self._ceiling, deepest_db, self._codewords, self._cqi)
        # SINR of each layer over the mean SNR, infinite for layers beyond the rank.
        max_layers = channel.spatial.max_layers[direction] if self._codewords else 0
        self._layer_gains = np.ones((count, carrier.num_groups, max_layers))
        self._layered_mcs = np.zeros(count, dtype=np.int64)
        mcs = lowest if settings.mcs is None else settings.mcs
        self.widths = GrantWidths(carrier, count, mcs, self._spread_mcs)
        self.widths.spread_gains = spread_gains(float(errors.top_capacity))
        # Of each device's last report: SINR at its headroom's width, and the greatest capacity that counts.
        self._report_sinr, self._report_ceiling = np.zeros((count, carrier.num_groups)), np.zeros(count)
        self.rate_bps = np.zeros((count, carrier.num_groups))
        self._max_capacity = errors.top_capacity
        self._no_interference = np.zeros((0, carrier.num_groups))
        self._is_measured = settings.csi_interference == "measured"
        keeps = interference is not None and (self._is_measured or self._cqi is not None)
        self._reported_interference = np.zeros((count, carrier.num_groups)) if keeps else None
        if interference is not None and self._is_measured:
            interference.keep(self._times.period + settings.csi_delay_slots)
        per_prb = bits_per_prb(carrier)[errors.available[-1]] / self._max_capacity * 1e9 / carrier.slot_ns
        self._bps_per_capacity = carrier.group_sizes * per_prb
        self.min_prb = min_grant_prb(carrier, lowest)
        self._needed_db = lowest_db + _MARGIN_DB
        self.renew()

    def renew(self) -> None:
        """Mean gains have changed: take the limits of power anew, and the reports on their next use."""
        if self._direction == Direction.UPLINK:
            widest = np.maximum(self._channel.max_prb(self._needed_db), self.min_prb)
            self.widths.set_power(self._channel.headroom_prb, widest)
        self._held[:] = _NO_REPORT
        self._held_by_all = self._held_last = None

    def refresh(self, devices: Indices, slot: int) -> None:
        """Take in the reports of these devices that have become known by ``slot``."""
        newest = self._times.newest(devices, slot)
        if isinstance(newest, int):
            asked = newest, devices.tobytes()
            if newest == self._held_by_all or asked == self._held_last:
                return
            self._held_last = asked
            if self._channel.is_compiled:
                self._refresh_all_alike(devices, newest, slot)
                return
        stale = self._held.take(devices) != newest
        if np.logical_or.reduce(stale):
            rows = devices[stale]
            if isinstance(newest, np.ndarray):
                self._held[rows] = own = newest[stale]
                for measured_slot in np.unique(own).tolist():
                    self._measure(rows[own == measured_slot], max(0, measured_slot), slot)
            else:
                self._held[rows] = newest
                self._held_by_all = newest if np.logical_and.reduce(self._held == newest) else None
                # Before the first measurement has come in, the one of slot 0 serves.
                self._measure(rows, max(0, newest), slot)
            self._evaluate(rows, slot)

    def _refresh_all_alike(self, devices: Indices, newest: int, slot: int) -> None:
        """`refresh` where all devices are measured in the same slot, by compiled code."""
        rows = np.empty(len(devices), dtype=np.int64)
        count, are_all = report_kernels().stale_rows(devices, self._held, newest, rows)
        if count:
            self._held_by_all = newest if are_all else None
            self._measure(rows[:count], max(0, newest), slot)
            self._evaluate(rows[:count], slot)

    def _measure(self, rows: Indices, measured_slot: int, slot: int) -> None:
        """Take in what a measurement in an earlier slot says."""
        self._take_gains(rows, measured_slot, slot)
        if self._reported_interference is None and self._cqi is None:
            return
        over_noise: Array | float = 0.0
        if self._interference is not None and self._reported_interference is not None:
            if self._is_measured:
                over_noise = self._interference.measured_over_noise(measured_slot, rows)
            else:
                over_noise = self._interference.expected_over_noise(slot, rows)
            self._reported_interference[rows] = over_noise
        if self._cqi is not None:
            scale = self._channel.snr(self._direction, rows, self.widths.headroom_prb[rows])[:, None] / (1 + over_noise)
            self._gains[rows] = self._cqi.quantised(self._gains[rows] * scale) / scale
            if self._codewords is not None:
                # All that is known of a codeword's layers.
                own = self._layer_gains[rows]
                self._layer_gains[rows] = np.where(np.isfinite(own), self._gains[rows][..., None], np.inf)

    def _over_noise(self, slot: int, devices: Indices) -> Array:
        """Interference over noise as it is known for devices, [num_devices, num_groups]; no rows if there is none."""
        if self._reported_interference is not None:
            return np.asarray(self._reported_interference.take(devices, axis=0))
        if self._interference is None:
            return self._no_interference
        return self._interference.expected_over_noise(slot, devices)

    def _take_gains(self, rows: Indices, measured_slot: int, slot: int) -> None:
        """Take in gains, and with several antennas ranks and precoders, as they were in an earlier slot."""
        if not self._is_multi:
            period = self._times.period
            self._gains[rows] = self._channel.power_gains(self._direction, measured_slot, rows, period)
            return
        small, spatial = self._channel.small_scale, self._channel.spatial
        if small.num_tx[self._direction] == 1:
            if self._channel.is_compiled and small.num_rx[self._direction] < _FEW_ANTENNAS:
                amplitudes = spatial.amplitudes(self._direction, measured_slot, rows)
                report_kernels().combined_power(amplitudes, rows, self._gains)
            else:
                self._gains[rows] = spatial.combined_gains(self._direction, measured_slot, rows)
            return
        width = self.widths.headroom_prb[rows]
        mean = self._channel.snr(self._direction, rows, width)
        snr = np.repeat(mean[:, None], self._gains.shape[1], axis=1)
        if self._interference is not None:
            snr /= 1 + self._interference.expected_over_noise(slot, rows)
        assert self._codewords is not None
        losses = self._reduction.losses_db(rows, width) if self._reduction else None
        limits = RankLimits(width, self.loops.by_rank[:, rows], losses)
        report = spatial.report(self._direction, measured_slot, rows, snr, self._codewords, limits)
        self._gains[rows], self._layer_gains[rows] = report.gains, report.layer_gains
        self.num_layers[rows], self.precoder[rows] = report.num_layers, report.precoder
        self._layered_mcs[rows] = report.mcs
        self.loops.use_ranks(rows, report.num_layers)

    def _sinr(self, devices: Indices, num_prb: Indices, slot: int) -> Array:
        """SINR per group at the reported channel, outer loop applied. [num_devices, num_groups]."""
        scale = self._channel.snr(self._direction, devices, num_prb) * self.loops.offset.take(devices)
        sinr = self._gains.take(devices, axis=0)
        sinr *= scale[:, None]
        if self._interference is not None:
            sinr /= 1 + self._over_noise(slot, devices)
        return sinr

    def _evaluate(self, rows: Indices, slot: int) -> None:
        """Rates per group, and the MCS of the whole carrier by width, at the new reports.

        A group's rate is that of Shannon, scaled such that the highest MCS comes at its threshold, and cut there.
        """
        if self._is_simple and self._channel.is_compiled:
            self._compiled_evaluation(rows, slot)
            return
        width = self.widths.headroom_prb[rows]
        sinr = self._sinr(rows, width, slot)
        capacity = np.log2(1 + sinr)
        if self._fixed_mcs is not None:
            self._renew_rates(rows, capacity)
            return
        self.widths.gain_row[rows] = gain_rows(capacity @ self._group_shares)
        ceiling = np.log2(1 + self._ceiling * self.loops.offset[rows])
        self._report_sinr[rows], self._report_ceiling[rows] = sinr, ceiling
        self._renew_rates(rows, capacity)
        layered = self._codewords is not None and self._cqi is None
        mcs = self._layered_mcs[rows] if layered else self._wideband_mcs(rows, capacity, width, ceiling)
        self.widths.set_mcs(rows, mcs)

    def _compiled_evaluation(self, rows: Indices, slot: int) -> None:
        """`_evaluate` of blocks of one layer, without losses, by compiled code around NumPy's logarithms and sums."""
        kernels, headroom, shape = report_kernels(), self.widths.headroom_prb, (len(rows), self._gains.shape[1])
        sinr, capacity, ceiling = np.empty(shape), np.empty(shape), np.empty(len(rows))
        levels = self._channel.snr_table(self._direction), self.loops.offset, headroom
        kernels.reported_sinr(
            rows, self._gains, levels, self._over_noise(slot, rows), self._ceiling, (sinr, capacity, ceiling)
        )
        np.log2(capacity, out=capacity)
        np.log2(ceiling, out=ceiling)
        means, rates = (capacity @ self._group_shares, ceiling), (self._max_capacity, self._bps_per_capacity)
        mcs, needed = np.empty(len(rows), dtype=np.int64), self._errors.needed_capacity(self._carrier.symbols)
        reports = self.rate_bps, self._report_sinr, self._report_ceiling
        lowest = self._errors.lowest
        kernels.take_reports(rows, capacity, sinr, means, headroom, needed, lowest, rates, reports, mcs)
        self.widths.gain_row[rows] = gain_rows(means[0])
        self.widths.set_mcs(rows, mcs)

    def _renew_rates(self, rows: Indices, capacity: Array) -> None:
        """Rates per group at capacities of a layer, [num_rows, num_groups]."""
        per_layer = np.minimum(capacity, self._max_capacity) * self._bps_per_capacity
        self.rate_bps[rows] = per_layer * self.num_layers[rows, None]

    def _wideband_mcs(self, rows: Indices, capacity: Array, num_prb: Indices, ceiling: Array) -> Indices:
        """MCS by the mean capacity over the whole carrier, capacity [num_rows, num_groups]. [num_rows]."""
        mean = np.minimum(capacity @ self._group_shares, ceiling)
        layers = self.num_layers[rows] if self.has_layers else None
        losses = self._reduction.losses_db(rows, num_prb) if self._reduction else None
        symbols = self._carrier.symbols
        if losses is None and (layers is None or np.maximum.reduce(layers) == 1):
            return self._errors.choose_at(mean, num_prb, symbols)
        many = None if layers is None else layers.tolist()
        return np.array(self._errors.choose(mean.tolist(), num_prb.tolist(), symbols, many, losses))

    def _spread_mcs(self, rows: Indices) -> Indices:
        """MCS by width of devices whose power is spread over more PRBs than their headroom.

        Returns:
            [num_rows, num_widths]
        """
        own, ceiling = self._report_sinr[rows], self._report_ceiling[rows]
        grid = self.widths.grid[:, None]
        share = np.minimum(self.widths.headroom_prb[rows] / grid, 1.0)
        capacity = np.log2(1 + own * share[..., None])  # [num_widths, num_rows, num_groups]
        if self._reduction is None and not self.has_layers:
            mean = np.minimum(capacity @ self._group_shares, ceiling)
            return self._errors.choose_at(mean, grid, self._carrier.symbols).T
        by_width = zip(self.widths.grid.tolist(), capacity, strict=True)
        columns = [self._wideband_mcs(rows, one, np.full(len(rows), width), ceiling) for width, one in by_width]
        return np.stack(columns, axis=1)

    def group_quality(self, devices: Indices, slot: int) -> Array:
        """Reported gain of each PRB group over noise and interference, relative. [num_devices, num_groups]."""
        if self._interference is None:
            return self._gains.take(devices, axis=0)
        over_noise = self._over_noise(slot, devices)
        if not self._channel.is_compiled:
            return self._gains.take(devices, axis=0) / (1 + over_noise)
        quality = np.empty(over_noise.shape)
        report_kernels().relative_quality(devices, self._gains, over_noise, quality)
        return quality

    def choose(
        self,
        devices: Indices,
        prbs_per_group: list[list[int]],
        num_prb: list[int],
        num_symbols: int,
        slot: int,
        prbs: Indices | None = None,
    ) -> list[int]:
        """MCS of blocks on given PRBs, prbs_per_group [num_blocks][num_groups]: by mean capacity as reported."""
        if self._fixed_mcs is not None:
            return [self._fixed_mcs] * len(devices)
        warmed = self.loops.prepare(devices, num_prb, num_symbols)
        if self._codewords is not None:
            if warmed is not None:
                self._report_again(warmed, slot)
            return self._layered_choice(self._codewords, devices, prbs_per_group, num_symbols, slot)
        losses = self._reduction.losses_db(devices, np.array(num_prb), prbs_per_group) if self._reduction else None
        if self._channel.is_compiled and losses is None and not self.has_layers:
            return self._compiled_choice(devices, np.array(prbs_per_group) if prbs is None else prbs, num_symbols, slot)
        # Some blocks of a few groups each are worked out faster as plain numbers than as arrays.
        names, offsets, capacity = devices.tolist(), self.loops.offset.take(devices).tolist(), []
        if self._interference is None:
            snr = self._channel.snr_of_blocks(self._direction, names, num_prb)
            scales = [value * offset for value, offset in zip(snr, offsets, strict=True)]
            gains = [self._gains[device].tolist() for device in names]
        else:
            gains, scales = self._sinr(devices, np.array(num_prb), slot).tolist(), [1.0] * len(names)
        for row, scale, used, count, offset in zip(gains, scales, prbs_per_group, num_prb, offsets, strict=True):
            bits = [weight * log2(1.0 + gain * scale) for gain, weight in zip(row, used, strict=True) if weight]
            capacity.append(min(sum(bits) / count, log2(1.0 + self._ceiling * offset)))
        return self._errors.choose(capacity, num_prb, num_symbols, None, losses)

    def _report_again(self, rows: Indices, slot: int) -> None:
        """Choose the ranks of devices anew, whose outer loops are now warm."""
        measured = self._held[rows]
        for measured_slot in np.unique(measured).tolist():
            self._measure(rows[measured == measured_slot], max(0, measured_slot), slot)
        self._evaluate(rows, slot)

    def _layered_choice(
        self, codewords: Codewords, devices: Indices, prbs_per_group: list[list[int]], num_symbols: int, slot: int
    ) -> list[int]:
        """`choose` of blocks that may have several layers: by the effective SINR that they would be decoded with."""
        prbs = np.array(prbs_per_group)
        num_prb = prbs.sum(axis=1)
        losses = self._reduction.losses_db(devices, num_prb, prbs_per_group) if self._reduction else None
        scale = self._channel.snr(self._direction, devices, num_prb)[:, None]
        if self._interference is not None:
            scale = scale / (1 + self._over_noise(slot, devices))
        effective = codewords.effective_sinr(self._layer_gains[devices] * scale[..., None], prbs)
        offset, layers = self.loops.offset[devices], self.num_layers[devices]
        mcs = np.empty(len(devices), dtype=np.int64)
        for rank in np.unique(layers).tolist():
            rows = np.flatnonzero(layers == rank)
            own = None if losses is None else losses[rows]
            place, _ = codewords.choose(effective[rows], offset[rows], num_prb[rows], num_symbols, rank, own)
            mcs[rows] = codewords.available[place]
        chosen: list[int] = mcs.tolist()
        return chosen

    def _compiled_choice(self, devices: Indices, prbs: Indices, num_symbols: int, slot: int) -> list[int]:
        """`choose` of blocks of one layer, without losses, by compiled code."""
        mcs = np.empty(len(devices), dtype=np.int64)
        levels = self._channel.snr_table(self._direction), self.loops.offset, self._ceiling
        needed, over_noise = self._errors.needed_capacity(num_symbols), self._over_noise(slot, devices)
        _kernels().choose_mcs(devices, self._gains, levels, over_noise, prbs, needed, self._errors.lowest, mcs)
        chosen: list[int] = mcs.tolist()
        return chosen

    def mean_snr_db(self, device: int, num_prb: int) -> float:
        """Mean SNR per PRB of a block on so many PRBs."""
        return 10 * log10(float(self._channel.snr(self._direction, np.array([device]), np.array([num_prb]))[0]))

    def configured_mcs(self, device: int, prbs_per_group: list[int]) -> int:
        """MCS that a configured grant keeps: the highest that meets the target over the device's fading."""
        if self._fixed_mcs is not None:
            return self._fixed_mcs
        return self.loops.warm_up.fixed_mcs(device, prbs_per_group, self._carrier.symbols)

    @property
    def offset_db(self) -> Array:
        """The outer loop's offset of each device at its present rank, added to the reported SINR. [num_devices]."""
        return np.asarray(10 * np.log10(self.loops.offset))

    def learn(self, block: TransportBlock) -> None:
        """The outcome of a first transmission."""
        highest = self._errors.highest(block.num_symbols, block.num_layers)[block.num_prb]
        is_lowest = block.mcs == self._errors.lowest
        self.loops.learn(block.device, block.received, block.mcs == highest, block.num_layers, is_lowest)

    def restart_figures(self) -> None:
        """Count from now on."""
        self.loops.restart()

    def figures(self) -> dict[str, float]:
        """Convergence of the outer loop."""
        return self.loops.figures()
