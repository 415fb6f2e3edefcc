"""Sums over the PRB groups of a slot's blocks by compiled code: the same as the plain ones to the last bit."""

from __future__ import annotations

from math import exp, log, log2

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@compiled
def _snr_of_blocks(table: Array, devices: Indices, num_prb: Indices) -> Array:
    """SNR of blocks, [num_blocks], from a table as `RadioChannel.snr_table` makes it."""
    found = np.empty(len(devices))
    for block in range(len(devices)):
        found[block] = table[devices[block], num_prb[block] if table.shape[1] > 1 else 0]
    return found


@compiled
def choose_mcs(
    gains: Array, rows: Indices, levels: tuple[Array, Array], prbs_per_group: Indices, needed: Array, lowest: int,
    mcs: Indices,
) -> None:  # fmt: skip
    """Highest MCS whose threshold the mean log2(1 + SINR) over a block's PRBs reaches, of each block.

    Args:
        gains: [num_devices, num_groups].
        rows: Device of each block, [num_blocks].
        levels: SINR over gain, and the greatest SINR that counts, [num_blocks] each.
        prbs_per_group: [num_blocks, num_groups].
        needed: Thresholds as log2(1 + SINR), rising with the MCS, [num_prb + 1, num_mcs].
        lowest: MCS where none is reached.
        mcs: Takes them, [num_blocks].
    """
    scales, ceilings = levels
    for block in range(len(rows)):
        total, count = 0.0, 0
        for group in range(prbs_per_group.shape[1]):
            weight = prbs_per_group[block, group]
            if weight:
                total += weight * log2(1.0 + gains[rows[block], group] * scales[block])
                count += weight
        capacity = min(total / count, log2(1.0 + ceilings[block]))
        reached = 0
        while reached < needed.shape[1] and needed[count, reached] <= capacity:
            reached += 1
        mcs[block] = max(reached - 1, lowest)


@compiled
def choose_reported_mcs(
    gains: Array, snr_table: Array, offset: Array, ceiling: float, devices: Indices, num_prb: Indices,
    prbs_per_group: Indices, needed: Array, lowest: int, mcs: Indices,
) -> None:  # fmt: skip
    """`choose_mcs` by reported gains, mean SNR and the offsets of outer loops.

    Args:
        gains, prbs_per_group, needed, lowest, mcs: As there.
        snr_table: As `RadioChannel.snr_table` makes it.
        offset: [num_devices].
        ceiling: The greatest SINR that counts, before the offset.
        devices, num_prb: Of each block, [num_blocks].
    """
    own = offset[devices]
    levels = _snr_of_blocks(snr_table, devices, num_prb) * own, ceiling * own
    choose_mcs(gains, devices, levels, prbs_per_group, needed, lowest, mcs)


@compiled
def effective_sinrs_at_mean(
    gains: Array, snr_table: Array, blocks: tuple[Indices, Indices, Indices], betas: Array, prbs_per_group: Indices,
    effective: Array,
) -> None:  # fmt: skip
    """`effective_sinrs` of blocks without reduction of power.

    Args:
        gains: [num_blocks, num_groups].
        snr_table: As `RadioChannel.snr_table` makes it.
        blocks: Devices, PRBs and MCS, [num_blocks] each.
        betas: By MCS, [num_mcs].
        prbs_per_group, effective: As there.
    """
    devices, num_prb, mcs = blocks
    effective_sinrs(gains, _snr_of_blocks(snr_table, devices, num_prb), betas[mcs], prbs_per_group, effective)


@compiled
def effective_sinrs(sinr: Array, scales: Array, betas: Array, prbs_per_group: Indices, effective: Array) -> None:
    """`channels.eesm.block_effective_sinr` of each block.

    Args:
        sinr: [num_blocks, num_groups] after ``scales``, [num_blocks].
        betas: Of each block's MCS, [num_blocks].
        prbs_per_group: [num_blocks, num_groups].
        effective: Takes them, [num_blocks].
    """
    num_groups = prbs_per_group.shape[1]
    for block in range(len(sinr)):
        smallest, beta, scale = np.inf, betas[block], scales[block]
        for group in range(num_groups):
            if prbs_per_group[block, group]:
                smallest = min(smallest, sinr[block, group] * scale)
        total, spread = 0.0, 0.0
        for group in range(num_groups):
            weight = prbs_per_group[block, group]
            if weight:
                total += weight
                spread += weight * exp((smallest - sinr[block, group] * scale) / beta)
        effective[block] = smallest - beta * log(spread / total) if total else 0.0


@compiled
def effective_sinrs_of_entries(sinr: Array, which: Indices, weights: Indices, betas: Array, effective: Array) -> None:
    """`channels.eesm.block_effective_sinr` of blocks of several layers, from the groups that they use.

    Args:
        sinr: [num_entries, num_layers].
        which: Block of each entry, rising, [num_entries].
        weights: PRBs of each entry, [num_entries].
        betas: Of each block's MCS, [num_blocks].
        effective: Takes those of the blocks that have entries, [num_blocks].
    """
    num_layers = sinr.shape[1]
    start = 0
    while start < len(which):
        block, end, smallest = which[start], start, np.inf
        while end < len(which) and which[end] == block:
            for layer in range(num_layers):
                smallest = min(smallest, sinr[end, layer])
            end += 1
        total, spread = 0.0, 0.0
        for entry in range(start, end):
            for layer in range(num_layers):
                total += weights[entry]
                spread += weights[entry] * exp((smallest - sinr[entry, layer]) / betas[block])
        effective[block] = smallest - betas[block] * log(spread / total)
        start = end
