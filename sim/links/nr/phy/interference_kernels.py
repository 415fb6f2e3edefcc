"""Interference between a slot's blocks by compiled code: the same as the steps in NumPy to the last bit.

Sums over all blocks and matrix products are NumPy's, whose order of addition is its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Single = npt.NDArray[np.complex64]
Indices = npt.NDArray[np.int64]


@compiled
def uplink_means(
    sent_mw: Array, gains: Array, devices: Indices, cells: Indices, noise_mw: float, mean: Array, received_mw: Array
) -> None:
    """I / N that devices bring to cells of other blocks, and their power at all other cells.

    Args:
        sent_mw: [num_blocks].
        gains: [num_devices, num_cells].
        devices, cells: [num_blocks].
        mean: Takes I / N at the receiver of block b from block s, [num_blocks, num_blocks].
        received_mw: Takes powers, [num_blocks, num_cells].
    """
    for source in range(len(cells)):
        row = gains[devices[source]]
        for cell in range(len(row)):
            received_mw[source, cell] = sent_mw[source] * row[cell]
        received_mw[source, cells[source]] = 0.0
        for victim in range(len(cells)):
            mean[victim, source] = received_mw[source, cells[victim]] / noise_mw


@compiled
def downlink_means(
    gains_mw: Array, devices: Indices, cells: Indices, noise_mw: float, loads: Array, mean: Array, used: Array
) -> None:
    """I / N that cells of other blocks bring to devices, and what each cell uses.

    Args:
        gains_mw: What a PRB of each cell brings to each device, [num_devices, num_cells].
        devices, cells: [num_blocks].
        loads: Share of each PRB group that blocks use, [num_blocks, num_groups].
        mean: Takes I / N at the receiver of block b from block s, [num_blocks, num_blocks].
        used: Takes the sum of loads by cell, [num_cells, num_groups]; zeros.
    """
    for block in range(len(cells)):
        for group in range(loads.shape[1]):
            used[cells[block], group] += loads[block, group]
        for source in range(len(cells)):
            is_other = cells[source] != cells[block]
            mean[block, source] = gains_mw[devices[block], cells[source]] / noise_mw if is_other else 0.0


@compiled
def shared_means(mean: Array, loads: Array, shared: Array) -> None:
    """``mean`` of the pairs of blocks that share any PRB group, else 0. [num_blocks, num_blocks]."""
    num_groups = loads.shape[1]
    for victim in range(len(mean)):
        for source in range(len(mean)):
            value = 0.0
            if mean[victim, source] > 0:
                for group in range(num_groups):
                    if loads[victim, group] > 0 and loads[source, group] > 0:
                        value = mean[victim, source]
                        break
            shared[victim, source] = value


@compiled
def pairs_above(shared: Array, threshold: Array) -> tuple[Indices, Indices]:
    """(victim, source) of the pairs of more than ``threshold``, [num_blocks], of the victim."""
    count = 0
    for victim in range(len(shared)):
        for source in range(len(shared)):
            count += shared[victim, source] > threshold[victim]
    victims, sources = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    place = 0
    for victim in range(len(shared)):
        for source in range(len(shared)):
            if shared[victim, source] > threshold[victim]:
                victims[place], sources[place] = victim, source
                place += 1
    return victims, sources


@compiled
def covariances(
    entries: tuple[Indices, Indices],
    white: Array,
    pairs: tuple[Indices, Indices, Array],
    loads: Array,
    channels: tuple[Single, Single],
    place: Indices,
    result: Complex,
) -> None:
    """Covariance of white noise and of pairs' single layers.

    Args:
        entries: Block and PRB group, [num_entries] each.
        white: [num_blocks, num_groups].
        pairs: Victim, source and I / N at unit fading of each pair, [num_pairs] each; victims rise.
        loads: [num_blocks, num_groups].
        channels: To the site of the device itself, and to others, [..., num_groups, num_rx, 1].
        place: Row of each pair's channel to another site, or -1 - row of that to the device's own, [num_pairs].
        result: Takes them, [num_entries, num_rx, num_rx]; zeros.
    """
    which, groups = entries
    victims, sources, strong = pairs
    own, others = channels
    num_rx = result.shape[1]
    for entry in range(len(which)):
        block, group = which[entry], groups[entry]
        for antenna in range(num_rx):
            result[entry, antenna, antenna] = white[block, group]
        for pair in range(len(victims)):
            if victims[pair] != block or not loads[sources[pair], group] > 0:
                continue
            power = strong[pair] * loads[sources[pair], group]
            vector = others[place[pair], group] if place[pair] >= 0 else own[-1 - place[pair], group]
            for i in range(num_rx):
                for j in range(num_rx):
                    a, b = np.complex128(vector[i, 0]), np.complex128(vector[j, 0])
                    real, imaginary = a.real * b.real + a.imag * b.imag, a.imag * b.real - a.real * b.imag
                    result[entry, i, j] += complex(power * real, power * imaginary)
