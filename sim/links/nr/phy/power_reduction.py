"""How far devices stay below their largest power: by the modulation of a block and where its PRBs lie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from channels.power import MAX_POWER_REDUCTION_DB, is_inner_allocation
from sim.links.nr.phy.channel import RadioChannel

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class PowerReduction:
    """Maximum power reduction of CP-OFDM blocks in the uplink (TS 38.101-1 6.2.2), taken in full.

    Args:
        channel: Powers.
    """

    def __init__(self, channel: RadioChannel) -> None:
        carrier = channel.carrier
        self._channel, self._num_prb = channel, carrier.num_prb
        self._starts = [0, *accumulate(carrier.group_sizes.tolist())][:-1]
        orders = carrier.mcs_table.modulation_order.tolist()
        # Inner and outer allocations by MCS [dB], [2, num_mcs].
        self._table = np.array([MAX_POWER_REDUCTION_DB[order] for order in orders]).T.copy()
        self._largest_db = float(self._table.max())

    def _is_outer(self, prbs_per_group: Sequence[int]) -> int:
        """1 if a block's PRBs, from the lowest to the highest, do not keep their half width from the edges."""
        used = [group for group, count in enumerate(prbs_per_group) if count]
        first = self._starts[used[0]]
        width = self._starts[used[-1]] + prbs_per_group[used[-1]] - first
        return 0 if is_inner_allocation(first, width, self._num_prb) else 1

    def of_blocks(
        self, devices: Indices, num_prb: Indices, mcs: Sequence[int], prbs_per_group: Sequence[Sequence[int]]
    ) -> Array | float:
        """Reduction of each block [dB], as far as it matters. [num_blocks] or 0."""
        near = np.flatnonzero(self._channel.headroom_db(devices, num_prb) < self._largest_db)
        if not len(near):
            return 0.0
        reduction = np.zeros(len(devices))
        for block in near.tolist():
            reduction[block] = self._table[self._is_outer(prbs_per_group[block]), mcs[block]]
        return reduction

    def losses_db(
        self, devices: Indices, num_prb: Indices, prbs_per_group: Sequence[Sequence[int]] | None = None
    ) -> Array | None:
        """What each MCS would take off the SINR [dB], [num_blocks, num_mcs]; None if none takes anything.

        Args:
            prbs_per_group: PRBs of each block, [num_blocks][num_groups]; None for blocks on most of the carrier.
        """
        headroom = self._channel.headroom_db(devices, num_prb)
        near = np.flatnonzero(headroom < self._largest_db)
        if not len(near):
            return None
        losses = np.zeros((len(devices), self._table.shape[1]))
        for block in near.tolist():
            outer = 1 if prbs_per_group is None else self._is_outer(prbs_per_group[block])
            losses[block] = np.maximum(self._table[outer] - max(headroom[block], 0.0), 0.0)
        return losses
