"""Where the outer loop stands when a run begins: the offset that meets the target over blocks before the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import log10
from types import ModuleType

import numpy as np
import numpy.typing as npt

from channels.eesm import eesm_betas
from sim.links.base import Direction
from sim.links.nr.mac.csi import CqiReports, MeasurementTimes
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_FIRST_SLOT = 10**8
"""Warm-up blocks are sent in a stretch of the same fading process that no run reaches (half a day at 30 kHz)."""
_SPACING_S = 0.1
_TOP_DB = 0.0
TOP_DB = 5.0
"""Highest first offset where reports, or the choice by them, round down: the bound of srsRAN's uplink outer loop."""
_NUM_HALVINGS = 9


@cache
def _kernels() -> ModuleType:
    from sim.links.nr.phy import block_kernels

    return block_kernels


@dataclass(frozen=True)
class _ReceivedBlocks:
    """Blocks over a channel, ready for `channels.eesm.effective_sinr` with one MCS after the other.

    Attributes:
        weights: PRBs of each group, [num_blocks, num_groups].
        floor: Smallest SINR of the groups that a block uses, linear, [num_blocks].
        below: That less the SINR of each group, minus infinity where it is not used, [num_blocks, num_groups].
    """

    weights: Array
    floor: Array
    below: Array

    @classmethod
    def of(cls, sinr: Array, weights: Array) -> _ReceivedBlocks:
        """From the SINR of all groups, [num_blocks, num_groups]."""
        used = np.where(weights > 0, sinr, np.inf)
        floor = np.minimum.reduce(used, axis=-1)
        return cls(weights, floor, floor[:, None] - used)

    def at(self, rows: Indices) -> _ReceivedBlocks:
        """Some of them."""
        return _ReceivedBlocks(self.weights[rows], self.floor[rows], self.below[rows])

    def effective_sinr(self, betas: Array) -> Array:
        """-beta ln(sum_g w_g exp(-sinr_g / beta) / sum_g w_g), linear. [num_blocks]."""
        spread = np.vecdot(np.exp(self.below / betas[:, None]), self.weights) / np.add.reduce(self.weights, axis=-1)
        return np.asarray(self.floor - betas * np.log(spread))


def best_groups(quality: Array, num_prb: int, sizes: Indices) -> Array:
    """PRBs of each group of blocks that lie on the best groups.

    Args:
        quality: The greater the better, [num_blocks, num_groups].
        num_prb: Of each block.
        sizes: PRBs that a group has, [num_groups].

    Returns:
        [num_blocks, num_groups]
    """
    order = np.argsort(-quality, axis=1, kind="stable")
    before = np.cumsum(sizes[order], axis=1) - sizes[order]
    weights = np.zeros(quality.shape)
    np.put_along_axis(weights, order, np.clip(num_prb - before, 0, sizes[order]), axis=1)
    return weights


class OuterLoopWarmUp:
    """Blocks of each device before the run: the outer loop's first offset, and the MCS of configured grants.

    The first offset of a device's outer loop is that at which warm-up blocks fail as often as the target says.

    A warm-up block has the width of the device's first block, lies on the PRB groups that the report of its time holds
    for best, and is received over the channel as it is when the block is sent: selection by an outdated report and by a
    mean over unequal groups are in it, interference is not. The outer loop would come there after some hundred blocks.

    Args:
        channel: Fading and mean SNR.
        errors: Error curves.
        direction: Uplink or downlink.
        num_blocks: Warm-up blocks of each device.
        ceiling: Linear SINR beyond which a report does not count.
        lowest_db: Lowest offset.
        cqi: What reports keep of an SINR; None is all.

    Attributes:
        direction, lowest_db, cqi: As given.
    """

    def __init__(
        self,
        channel: RadioChannel,
        errors: BlockErrors,
        direction: Direction,
        num_blocks: int,
        ceiling: float,
        lowest_db: float,
        cqi: CqiReports | None = None,
    ) -> None:
        self._channel, self._errors, self.direction = channel, errors, direction
        self._num_blocks, self._ceiling, self.lowest_db, self.cqi = num_blocks, ceiling, lowest_db, cqi
        self._highest_db = _TOP_DB if cqi is None else TOP_DB
        self._betas = eesm_betas(channel.carrier.mcs_table.index)
        self._gains: tuple[Array, Array] | None = None
        self._period = MeasurementTimes(channel.settings, channel.carrier, direction, channel.num_devices).period

    def offset(self, device: int, num_prb: int, num_symbols: int) -> float:
        """Linear offset for blocks of a device on so many PRBs.

        Where even the lowest MCS misses the target, the power is spread too thin, and fewer PRBs are tried: errors that
        no offset can help say nothing about reports.
        """
        while True:
            found_db, meets_target = self._offset_db(device, num_prb, num_symbols)
            if meets_target or num_prb == 1:
                return float(10 ** (found_db / 10))
            num_prb //= 2

    def _offset_db(self, device: int, num_prb: int, num_symbols: int) -> tuple[float, bool]:
        """Offset by bisection of the mean error rate, and whether the target is met there.

        The offset is the greatest at which it is, or at which all blocks have the lowest MCS: below that, nothing
        changes any more.
        """
        reported, blocks = self._at_best_groups(device, num_prb)
        low, high = self.lowest_db, self._highest_db
        last, meets_target = self._errors.highest(num_symbols)[num_prb], False
        every = np.arange(len(reported))
        # Of each block by MCS, as far as they are asked for. [num_blocks, num_mcs].
        rates = np.full((len(reported), len(self._betas)), np.nan)
        for _ in range(_NUM_HALVINGS):
            middle = (low + high) / 2
            mcs = self._choose(reported, blocks.weights, middle, num_prb, num_symbols)
            missing = np.isnan(rates[every, mcs]).nonzero()[0]
            if len(missing):
                own = mcs[missing]
                rates[missing, own] = self._error_rates(own, blocks.at(missing), num_prb, num_symbols)
            # Where no larger offset would lead to another choice, none is larger than it is without a loop.
            is_idle = middle > 0 and int(mcs.min()) == last
            # Added one after the other, as numbers.
            fails = sum(rates[every, mcs].tolist()) / len(mcs) > self._errors.target_bler
            if is_idle or (fails and int(mcs.max()) > self._errors.lowest):
                high = middle
            else:
                low, meets_target = middle, not fails
        return low, meets_target

    def fixed_mcs(self, device: int, weights: list[int], num_symbols: int) -> int:
        """Highest MCS at which a device's blocks meet the target over its fading, whatever the report.

        Args:
            weights: PRBs of each group, [num_groups].
        """
        present, num_prb = self._samples()[1][:, device], sum(weights)
        snr = float(self._channel.snr(self.direction, np.array([device]), np.array([num_prb]))[0])
        blocks = _ReceivedBlocks.of(snr * present, np.broadcast_to(np.array(weights, dtype=np.float64), present.shape))
        available = self._errors.available.tolist()
        low, high = 0, len(available)
        while high - low > 1:
            middle = (low + high) // 2
            indices = np.full(len(present), available[middle])
            rates = self._error_rates(indices, blocks, num_prb, num_symbols)
            if sum(rates.tolist()) / len(rates) > self._errors.target_bler:
                high = middle
            else:
                low = middle
        return int(available[low])

    def _samples(self) -> tuple[Array, Array]:
        """|H|^2 as reported and when blocks are sent. Each [num_blocks, num_devices, num_groups]."""
        if self._gains is None:
            self._gains = self._evaluate()
        return self._gains

    def _at_best_groups(self, device: int, num_prb: int) -> tuple[Array, _ReceivedBlocks]:
        """SINR as reported, [num_blocks, num_groups], and blocks on the groups that are best by it."""
        reported, present = (gains[:, device] for gains in self._samples())
        snr = float(self._channel.snr(self.direction, np.array([device]), np.array([num_prb]))[0])
        sizes = self._channel.carrier.group_sizes
        if self.cqi is not None:
            reported = self.cqi.quantised(snr * reported) / snr
        return snr * reported, _ReceivedBlocks.of(snr * present, best_groups(reported, num_prb, sizes))

    def _evaluate(self) -> tuple[Array, Array]:
        """|H|^2 as reported and when blocks are sent, of all devices. Each [num_blocks, num_devices, num_groups]."""
        channel = self._channel
        rows = np.arange(channel.num_devices)
        both = np.array(
            [[channel.power_gains(self.direction, at, rows) for at in slots] for slots in self.report_and_data_slots()]
        )
        return both[:, 0], both[:, 1]

    def report_and_data_slots(self) -> Iterator[tuple[int, int]]:
        """Slot of the measurement that a block is chosen by, and slot in which it is sent, of each warm-up block."""
        carrier, delay = self._channel.carrier, self._channel.settings.csi_delay_slots
        # One slot more each time, so that blocks stand everywhere in the slot format and in the reports' period.
        spacing = round(_SPACING_S * 1e9 / carrier.slot_ns) + 1
        for block in range(self._num_blocks):
            slot = carrier.next_data(self.direction, _FIRST_SLOT + block * spacing)
            known = self._decision(slot) - delay
            yield known - known % self._period, slot

    def _decision(self, slot: int) -> int:
        """The slot in which a block of this slot is decided about: uplink grants run ahead."""
        decided = slot
        if self.direction == Direction.UPLINK:
            while slot not in self._channel.carrier.decided_at(decided):
                decided -= 1
        return decided

    def _choose(self, reported: Array, weights: Array, offset_db: float, num_prb: int, num_symbols: int) -> Indices:
        """MCS of each block by its report with an offset. [num_blocks]."""
        offset = 10 ** (offset_db / 10)
        capacity = (np.log2(1 + offset * reported) * weights).sum(axis=1) / num_prb
        capacity = np.minimum(capacity, np.log2(1 + self._ceiling * offset))
        return self._errors.choose_at(capacity, np.array(num_prb), num_symbols)

    def _error_rates(self, mcs: Indices, blocks: _ReceivedBlocks, num_prb: int, num_symbols: int) -> Array:
        """Error rates of blocks with these MCS. [num_blocks]."""
        effective = blocks.effective_sinr(self._betas[mcs])
        waterfalls = self._errors.waterfalls(num_symbols)
        if self._channel.is_compiled and waterfalls is not None:
            rates = np.empty(len(mcs))
            _kernels().error_rates(mcs, waterfalls[:, num_prb], effective, rates)
            return rates
        return np.array(
            [
                self._errors.error_rate(index, num_prb, num_symbols, 10 * log10(max(value, 1e-12)))
                for index, value in zip(mcs.tolist(), effective.tolist(), strict=True)
            ]
        )
