"""Link adaptation by report: the last measured channel, its mean capacity, an outer loop per device."""

from __future__ import annotations

from math import log2, log10

import numpy as np
import numpy.typing as npt

from channels.link_adaptation import OuterLoop
from sim.links.base import Direction
from sim.links.nr.mac.adaptation import FULL_SLOT_SYMBOLS, bits_per_prb, min_grant_prb
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.interference import Interference

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_MARGIN_DB = 2.0
"""A power-limited device is given no more PRBs than leave its mean SNR this far above the lowest MCS's threshold."""
_CEILING_DB = 3.0
"""A report says at most that the channel is this far above what the highest MCS needs over the whole carrier: as a CQI
it has an end, and small blocks need a little more. Without one, an outer loop in a channel of 50 dB could lower its
offset for ever and still choose the highest MCS, whatever the interference that no report has seen."""
_NO_REPORT = np.iinfo(np.int64).min


class ReportedChannel:
    """What the base station knows of one direction: |H|^2 per PRB group as of each device's last report.

    Reference signals are sent every ``csi_period_slots``, for all devices in the same slot; a measurement counts
    ``csi_delay_slots`` later. The channel is evaluated when a report is first needed, at the time of its measurement.

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
        self._period, self._delay = settings.csi_period_slots, settings.csi_delay_slots
        self._held = np.full(count, _NO_REPORT, dtype=np.int64)
        self._gains = np.ones((count, carrier.num_groups))
        self._fixed_mcs = settings.mcs
        lowest = int(errors.available[0])
        lowest_db = float(errors.thresholds_db(FULL_SLOT_SYMBOLS)[lowest, carrier.num_prb])
        self._ceiling = (2**errors.top_capacity - 1) * 10 ** (_CEILING_DB / 10)
        # From the best report the offset reaches down to the lowest MCS.
        deepest_db = lowest_db - 10 * log10(self._ceiling)
        loop = OuterLoop(settings.target_bler, max(settings.olla_step_db, 1e-9), deepest_db)
        adapts = settings.olla_step_db > 0 and settings.mcs is None
        steps_db = (-loop.nack_step_db, loop.ack_step_db) if adapts else (0.0, 0.0)
        self._steps = (10 ** (steps_db[0] / 10), 10 ** (steps_db[1] / 10))
        self._offset_range = 10 ** (loop.min_offset_db / 10), 10 ** (loop.max_offset_db / 10)
        self._offset = np.ones(count)
        self._sizes = carrier.block_bytes(FULL_SLOT_SYMBOLS)
        mcs = lowest if settings.mcs is None else settings.mcs
        self.wideband_mcs = np.full(count, mcs, dtype=np.int64)
        self.wideband_bytes = self._sizes[self.wideband_mcs, -1]
        self.rate_bps = np.zeros((count, carrier.num_groups))
        self._group_shares = carrier.group_sizes / carrier.num_prb
        self._max_capacity = errors.top_capacity
        per_prb = bits_per_prb(carrier)[errors.available[-1]] / self._max_capacity * 1e9 / carrier.slot_ns
        self._bps_per_capacity = carrier.group_sizes * per_prb
        self.min_prb = min_grant_prb(carrier, lowest)
        self._needed_db = lowest_db + _MARGIN_DB
        self.max_prb = np.full(count, carrier.num_prb, dtype=np.int64)
        self.renew()

    def renew(self) -> None:
        """Mean gains have changed: take the limits of power anew, and the reports on their next use."""
        if self._direction == Direction.UPLINK:
            self.max_prb = np.maximum(self._channel.max_prb(self._needed_db), self.min_prb)
            self.wideband_bytes = self._sizes[self.wideband_mcs, self.max_prb]
        self._held[:] = _NO_REPORT

    def refresh(self, devices: Indices, slot: int) -> None:
        """Take in the reports of these devices that have become known by ``slot``."""
        due = (slot - self._delay) // self._period
        stale = self._held.take(devices) != due
        if np.logical_or.reduce(stale):
            rows = devices[stale]
            self._held[rows] = due
            # Before the first measurement has come in, the one of slot 0 serves.
            self._gains[rows] = self._channel.power_gains(self._direction, max(0, due * self._period), rows)
            self._evaluate(rows, slot)

    def _sinr(self, devices: Indices, num_prb: Indices, slot: int) -> Array:
        """SINR per group at the reported channel, outer loop applied. [num_devices, num_groups]"""
        scale = self._channel.snr(self._direction, devices, num_prb) * self._offset.take(devices)
        sinr = self._gains.take(devices, axis=0)
        sinr *= scale[:, None]
        if self._interference is not None:
            sinr /= 1 + self._interference.expected_over_noise(slot, devices)
        return sinr

    def _evaluate(self, rows: Indices, slot: int) -> None:
        """Rates per group and the MCS of the whole carrier, at the new reports.

        A group's rate is that of Shannon, scaled such that the highest MCS comes at its threshold, and cut there.
        """
        width = self.max_prb[rows]
        capacity = self._sinr(rows, width, slot)
        capacity += 1
        np.log2(capacity, out=capacity)
        self.rate_bps[rows] = np.minimum(capacity, self._max_capacity) * self._bps_per_capacity
        if self._fixed_mcs is None:
            most = np.log2(1 + self._ceiling * self._offset[rows])
            mean = np.minimum(capacity @ self._group_shares, most).tolist()
            mcs = np.array(self._errors.choose(mean, width.tolist(), FULL_SLOT_SYMBOLS))
            self.wideband_mcs[rows] = mcs
            self.wideband_bytes[rows] = self._sizes[mcs, width]

    def choose(
        self, devices: Indices, prbs_per_group: list[list[int]], num_prb: list[int], num_symbols: int, slot: int
    ) -> list[int]:
        """MCS of blocks on given PRBs, prbs_per_group [num_blocks][num_groups]: by mean capacity as reported."""
        if self._fixed_mcs is not None:
            return [self._fixed_mcs] * len(devices)
        sinr = self._sinr(devices, np.array(num_prb), slot).tolist()
        most = (self._ceiling * self._offset.take(devices)).tolist()
        capacity = [
            min(
                sum([weight * log2(1.0 + value) for value, weight in zip(row, used, strict=True) if weight]) / count,
                log2(1.0 + ceiling),
            )
            for row, used, count, ceiling in zip(sinr, prbs_per_group, num_prb, most, strict=True)
        ]
        return self._errors.choose(capacity, num_prb, num_symbols)

    @property
    def offset_db(self) -> Array:
        """The outer loop's offset of each device, added to the reported SINR. [num_devices]"""
        return np.asarray(10 * np.log10(self._offset))

    def learn(self, device: int, received: bool) -> None:
        """Move the outer loop's offset by the outcome of a first transmission."""
        low, high = self._offset_range
        self._offset[device] = min(max(self._offset[device] * self._steps[received], low), high)
