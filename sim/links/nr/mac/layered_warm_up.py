"""Where the outer loops of several ranks stand when a run begins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.links.base import Direction
from sim.links.nr.mac.warm_up import TOP_DB, OuterLoopWarmUp, best_groups
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.codewords import Codewords

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
_NUM_HALVINGS = 9


class LayeredWarmUp:
    """First offsets of a device's outer loops, one for each rank: `OuterLoopWarmUp` of blocks of several layers.

    A warm-up block has the precoder that was best of its rank at the time of the report, and is received through it
    over the channel as it is when the block is sent. Of each rank those blocks count that reach an MCS: others would be
    sent with fewer layers.

    Args:
        plain: Slots of reports and blocks.
        channel: Fading and mean SNR.
        errors: Error curves.
        codewords: What codewords over several layers carry.
    """

    def __init__(
        self, plain: OuterLoopWarmUp, channel: RadioChannel, errors: BlockErrors, codewords: Codewords
    ) -> None:
        self._plain, self._channel, self._errors, self._codewords = plain, channel, errors, codewords
        self._gains: list[tuple[Single, Single]] | None = None

    def offsets(self, device: int, num_prb: int, num_symbols: int) -> Array:
        """Linear offsets for blocks of a device on so many PRBs, by rank. [max_layers]."""
        if self._gains is None:
            self._gains = self._evaluate()
        direction = self._plain.direction
        found_db: list[float] = []
        for both in self._gains:
            width, meets_target = num_prb, False
            while not meets_target:
                snr = float(self._channel.snr(direction, np.array([device]), np.array([width]))[0])
                reported, present = (snr * gains[:, device].astype(np.float64) for gains in both)
                offset_db, meets_target = self._offset_db(reported, present, width, num_symbols)
                if found_db or width == 1:
                    break  # only one layer is sent whatever becomes of it
                width //= 2
            found_db.append(offset_db)
        return np.asarray(10 ** (np.array(found_db) / 10))

    def _offset_db(self, reported: Array, present: Array, num_prb: int, num_symbols: int) -> tuple[float, bool]:
        """Offset of one rank as in `OuterLoopWarmUp`; SINR, [num_blocks, num_groups, rank] each."""
        codewords, num_layers = self._codewords, reported.shape[2]
        sizes, widths = self._channel.carrier.group_sizes, np.full(len(reported), num_prb)
        if self._plain.cqi is not None:
            whole = codewords.effective_sinr(reported, np.broadcast_to(sizes.astype(np.float64), reported.shape[:2]))
            place, _ = codewords.choose(whole, np.ones(len(whole)), widths, num_symbols, num_layers)
            by_group = codewords.by_group(reported, codewords.available[place])
            reported = np.repeat(self._plain.cqi.quantised(by_group)[..., None], num_layers, axis=2)
        quality = np.log2(1 + reported).sum(axis=2)
        weights = best_groups(quality, num_prb, sizes)
        expected = codewords.effective_sinr(reported, weights)
        sinr_db = 10 * np.log10(np.maximum(codewords.effective_sinr(present, weights), 1e-12))
        rates = self._errors.error_rates(codewords.available, num_prb, num_symbols, sinr_db, num_layers)
        low, high, meets_target = self._plain.lowest_db, TOP_DB, False
        every = np.arange(len(rates))
        for _ in range(_NUM_HALVINGS):
            middle = (low + high) / 2
            offset = np.full(len(rates), 10 ** (middle / 10))
            place, is_met = codewords.choose(expected, offset, widths, num_symbols, num_layers)
            is_sent = is_met if num_layers > 1 else np.ones_like(is_met)
            fails = float(rates[every, place][is_sent].mean()) > self._errors.target_bler if is_sent.any() else False
            is_lowest = num_layers == 1 and place.max() == 0
            # Where no larger offset would lead to another choice, none is larger than it is without a loop.
            is_idle = middle > 0 and (not is_met.any() or place.min() == len(codewords.available) - 1)
            if is_idle or (fails and not is_lowest):
                high = middle
            else:
                low, meets_target = middle, not fails
        return low, meets_target

    def _evaluate(self) -> list[tuple[Single, Single]]:
        """Gains of each layer as reported and when blocks are sent, of all devices, by rank.

        Returns:
            [max_layers] pairs of [num_blocks, num_devices, num_groups, rank]
        """
        channel, direction, spatial = self._channel, self._plain.direction, self._channel.spatial
        rows = np.arange(channel.num_devices)
        width = np.full(len(rows), channel.carrier.num_prb)
        if direction == Direction.UPLINK:
            width = np.clip(channel.headroom_prb, 1, width)
        snr = np.repeat(channel.snr(direction, rows, width)[:, None], channel.carrier.num_groups, axis=1)
        found: list[tuple[list[Single], list[Single]]] = [([], []) for _ in range(spatial.max_layers[direction])]
        for report_slot, slot in self._plain.report_and_data_slots():
            reported = channel.small_scale.matrices(direction, report_slot, rows)
            present = channel.small_scale.matrices(direction, slot, rows)
            for rank, index, sinr in spatial.rank_candidates(direction, reported, snr):
                later = spatial.layer_sinr(direction, present, rank, index, snr)
                for kept, one in zip(found[rank - 1], (sinr, later), strict=True):
                    kept.append((one / snr[..., None]).astype(np.float32))
        return [(np.array(reported), np.array(present)) for reported, present in found]
