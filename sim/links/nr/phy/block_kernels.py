"""Sums over the PRB groups of a slot's blocks by compiled code: the same as the plain ones to the last bit."""

from __future__ import annotations

from math import erfc, exp, log, log2, log10, sqrt

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Single = npt.NDArray[np.complex64]
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
    devices: Indices, gains: Array, levels: tuple[Array, Array, float], over_noise: Array, prbs_per_group: Indices,
    needed: Array, lowest: int, mcs: Indices,
) -> None:  # fmt: skip
    """Highest MCS whose threshold the mean log2(1 + SINR) over a block's PRBs reaches, of each block.

    Args:
        devices: Of each block, [num_blocks].
        gains: [num_devices, num_groups].
        levels: SNR by device and PRBs (see `RadioChannel.snr_table`), the outer loop's offsets, [num_devices], and the
            greatest SINR that counts before them.
        over_noise: Interference over noise, [num_blocks, num_groups]; without rows there is none.
        prbs_per_group: [num_blocks, num_groups].
        needed: Thresholds as log2(1 + SINR), rising with the MCS, [num_prb + 1, num_mcs].
        lowest: MCS where none is reached.
        mcs: Takes them, [num_blocks].
    """
    snr, offset, max_sinr = levels
    for block in range(len(devices)):
        device, total, count = devices[block], 0.0, 0
        for group in range(prbs_per_group.shape[1]):
            count += prbs_per_group[block, group]
        scale = snr[device, min(count, snr.shape[1] - 1)] * offset[device]
        for group in range(prbs_per_group.shape[1]):
            weight = prbs_per_group[block, group]
            if weight:
                sinr = gains[device, group] * scale
                if len(over_noise):
                    sinr /= 1 + over_noise[block, group]
                total += weight * log2(1.0 + sinr)
        capacity = min(total / count, log2(1.0 + max_sinr * offset[device]))
        reached = 0
        while reached < needed.shape[1] and needed[count, reached] <= capacity:
            reached += 1
        mcs[block] = max(reached - 1, lowest)


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
    effective_sinrs(gains, _snr_of_blocks(snr_table, devices, num_prb), betas, mcs, prbs_per_group, effective)


@compiled
def effective_sinrs(
    gains: Array, snr: Array, betas: Array, mcs: Indices, prbs_per_group: Indices, effective: Array
) -> None:  # fmt: skip
    """`channels.eesm.block_effective_sinr` of each block.

    Args:
        gains: [num_blocks, num_groups].
        snr: Of unit gain, [num_blocks].
        betas: Of each MCS, [num_mcs].
        mcs: [num_blocks].
        prbs_per_group: [num_blocks, num_groups].
        effective: Takes them, [num_blocks].
    """
    num_groups = prbs_per_group.shape[1]
    for block in range(len(gains)):
        smallest, beta, scale = np.inf, betas[mcs[block]], snr[block]
        for group in range(num_groups):
            if prbs_per_group[block, group]:
                smallest = min(smallest, gains[block, group] * scale)
        total, spread = 0.0, 0.0
        for group in range(num_groups):
            weight = prbs_per_group[block, group]
            if weight:
                total += weight
                spread += weight * exp((smallest - gains[block, group] * scale) / beta)
        effective[block] = smallest - beta * log(spread / total) if total else 0.0


@compiled
def effective_sinrs_of_entries(
    sinr: Array, which: Indices, weights: Indices, betas: Array, mcs: Indices, effective: Array
) -> None:  # fmt: skip
    """`channels.eesm.block_effective_sinr` of blocks of several layers, from the groups that they use.

    Args:
        sinr: [num_entries, num_layers].
        which: Block of each entry, rising, [num_entries].
        weights: PRBs of each entry, [num_entries].
        betas: Of each MCS, [num_mcs].
        mcs: [num_blocks].
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
        total, spread, beta = 0.0, 0.0, betas[mcs[block]]
        for entry in range(start, end):
            for layer in range(num_layers):
                total += weights[entry]
                spread += weights[entry] * exp((smallest - sinr[entry, layer]) / beta)
        effective[block] = smallest - beta * log(spread / total)
        start = end


@compiled
def received_layers(
    channel: Single, snr: Array, prbs_per_group: Indices, entries: tuple[Indices, Indices, Indices], received: Complex
) -> int:
    """What a layer brings to each receive antenna, in all PRB groups that blocks use.

    Args:
        channel: Of each block's device, [num_blocks, num_groups, num_rx, 1].
        snr: [num_blocks].
        prbs_per_group: [num_blocks, num_groups].
        entries: Take block, group and PRBs of each entry, [num_entries] each or more.
        received: Takes amplitudes, [num_entries, num_rx, 1] or more.

    Returns:
        Number of entries.
    """
    which, groups, weights = entries
    count = 0
    for block in range(prbs_per_group.shape[0]):
        amplitude = sqrt(snr[block])
        for group in range(prbs_per_group.shape[1]):
            weight = prbs_per_group[block, group]
            if weight:
                which[count], groups[count], weights[count] = block, group, weight
                for antenna in range(channel.shape[2]):
                    value = channel[block, group, antenna, 0]
                    received[count, antenna, 0] = complex(value.real * amplitude, value.imag * amplitude)
                count += 1
    return count


@compiled
def error_rates(mcs: Indices, waterfall: Array, sinr: Array, rates: Array) -> None:
    """`BlockErrors.error_rate` of blocks of one width.

    Args:
        mcs: [num_blocks].
        waterfall: Of this width, see `BlockErrors.waterfalls`, [num_mcs, 3].
        sinr: Effective, linear, [num_blocks].
        rates: Takes them, [num_blocks].
    """
    for block in range(len(mcs)):
        rates[block] = _error_rate(waterfall[mcs[block]], 10 * log10(max(sinr[block], 1e-12)))


@compiled
def read_curves(
    mcs: Indices, num_prb: Indices, waterfalls: Array, sinr: Array, sinr_db: Array, rates: Array
) -> None:  # fmt: skip
    """Effective SINR in decibels and error rate there, of blocks of any width; arguments as above."""
    for block in range(len(mcs)):
        sinr_db[block] = 10 * log10(max(sinr[block], 1e-12))
        rates[block] = _error_rate(waterfalls[mcs[block], num_prb[block]], sinr_db[block])


@compiled
def _error_rate(waterfall: Array, sinr_db: float) -> float:
    center, scale, count = waterfall
    code_block_error = 0.5 * erfc((sinr_db - center) * scale)
    return float(1.0 - (1.0 - code_block_error) ** count)
