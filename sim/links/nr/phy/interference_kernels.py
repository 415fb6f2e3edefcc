"""Interference between a slot's blocks by compiled code: the same as the steps in NumPy to the last bit.

Matrix products are NumPy's, whose order of addition is its own.
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
    levels: tuple[Array, Array], gains: Array, devices: Indices, cells: Indices, noise_mw: float, mean: Array,
    received_mw: Array,
) -> None:  # fmt: skip
    """I / N that devices bring to cells of other blocks, and their power at all other cells.

    Args:
        levels: SNR of each block, [num_blocks], and over the mean gain to the serving cell 1, [num_devices].
        gains: [num_devices, num_cells].
        devices, cells: [num_blocks].
        mean: Takes I / N at the receiver of block b from block s, [num_blocks, num_blocks].
        received_mw: Takes powers, [num_blocks, num_cells].
    """
    snr, serving_loss = levels
    for source in range(len(cells)):
        row = gains[devices[source]]
        sent_mw = snr[source] * noise_mw * serving_loss[devices[source]]
        for cell in range(len(row)):
            received_mw[source, cell] = sent_mw * row[cell]
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
def at_cells(load_mw: Array, serving: Indices, devices: Indices, noise_mw: float, over_noise: Array) -> None:
    """I / N at the cells of devices, [num_wanted], from powers, [num_cells, num_groups]. [num_wanted, num_groups]."""
    for place in range(len(devices)):
        cell = serving[devices[place]]
        for group in range(load_mw.shape[1]):
            over_noise[place, group] = load_mw[cell, group] / noise_mw


@compiled
def gains_of_others(gains: Array, serving: Indices, devices: Indices, found: Array) -> None:
    """Gains to all cells, [num_devices, num_cells], of some devices, to their own 0. [num_wanted, num_cells]."""
    for place in range(len(devices)):
        device = devices[place]
        for cell in range(gains.shape[1]):
            found[place, cell] = gains[device, cell] if cell != serving[device] else 0.0


@compiled
def _sum_of_few(values: Array, first: int, count: int) -> float:
    """Sum of up to 128 numbers, in eight parts where there are as many."""
    total = 0.0
    if count < 8:
        for place in range(first, first + count):
            total += values[place]
        return total
    r0, r1, r2, r3 = values[first], values[first + 1], values[first + 2], values[first + 3]
    r4, r5, r6, r7 = values[first + 4], values[first + 5], values[first + 6], values[first + 7]
    whole = first + count - count % 8
    for place in range(first + 8, whole, 8):
        r0 += values[place]
        r1 += values[place + 1]
        r2 += values[place + 2]
        r3 += values[place + 3]
        r4 += values[place + 4]
        r5 += values[place + 5]
        r6 += values[place + 6]
        r7 += values[place + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for place in range(whole, first + count):
        total += values[place]
    return float(total)


@compiled
def pairwise_sum(values: Array) -> float:
    """Sum of numbers, added in the order in which NumPy adds those of a row: halves of halves (pairwise summation)."""
    if len(values) <= 128:
        return _sum_of_few(values, 0, len(values))
    # Without recursion, which compiled code that is read from disk does not survive.
    starts, counts, left = np.zeros(64, dtype=np.int64), np.zeros(64, dtype=np.int64), np.zeros(64)
    has_left = np.zeros(64, dtype=np.bool_)
    counts[0], depth, total = len(values), 0, 0.0
    while depth >= 0:
        if counts[depth] > 128:
            # The left half comes first.
            half = counts[depth] // 2
            starts[depth + 1], counts[depth + 1] = starts[depth], half - half % 8
            has_left[depth] = False
            depth += 1
            continue
        total = _sum_of_few(values, starts[depth], counts[depth])
        depth -= 1
        while depth >= 0 and has_left[depth]:
            total = left[depth] + total
            depth -= 1
        if depth >= 0:
            half = counts[depth] // 2
            half -= half % 8
            left[depth], has_left[depth] = total, True
            starts[depth + 1], counts[depth + 1] = starts[depth] + half, counts[depth] - half
            depth += 1
    return total


@compiled
def take_strong(
    mean: Array, loads: Array, share: float, victims: Indices, sources: Indices, strong: Array
) -> int:  # fmt: skip
    """Take those pairs of blocks that share PRBs and bring more than a share of noise and of all such pairs.

    Args:
        mean: I / N at the receiver of block b from block s, [num_blocks, num_blocks]; what is taken is 0 then.
        loads: Share of each PRB group that blocks use, [num_blocks, num_groups].
        share: Of 1 and the sum over a victim's sources.
        victims, sources, strong: Take the pairs and their I / N, victims rising, [num_blocks ** 2] each.

    Returns:
        Number of pairs.
    """
    num_blocks, num_groups = loads.shape
    shared = np.empty(num_blocks)
    count = 0
    for victim in range(num_blocks):
        for source in range(num_blocks):
            value = 0.0
            if mean[victim, source] > 0:
                for group in range(num_groups):
                    if loads[victim, group] > 0 and loads[source, group] > 0:
                        value = mean[victim, source]
                        break
            shared[source] = value
        threshold = share * (1 + pairwise_sum(shared))
        for source in range(num_blocks):
            if shared[source] > threshold:
                victims[count], sources[count], strong[count] = victim, source, mean[victim, source]
                mean[victim, source] = 0.0
                count += 1
    return count


@compiled
def links_of_pairs(
    pairs: tuple[Indices, Indices], ends: tuple[Indices, Indices], sites: tuple[Indices, Indices], is_uplink: bool,
    seen: Indices, links: Indices, place: Indices,
) -> int:  # fmt: skip
    """Links between sources and victims, each once; it is the device's end that moves.

    Args:
        pairs: Victims and sources, blocks by number, [num_pairs] each.
        ends: Devices and cells of blocks, [num_blocks] each.
        sites: Of each cell, [num_cells], and of each device's serving cell, [num_devices].
        seen: -1, and again so afterwards, [num_devices * num_sites].
        links: Takes device * num_sites + site of links to other sites than the device's own, [num_pairs].
        place: Takes the place of each pair's link among these, or -1 - block if it is to the device's own site,
            [num_pairs].

    Returns:
        Number of links.
    """
    victims, sources = pairs
    devices, cells = ends
    cell_site, own_site = sites
    num_sites = len(seen) // len(own_site)
    count = 0
    for pair in range(len(victims)):
        moving, fixed = (sources[pair], victims[pair]) if is_uplink else (victims[pair], sources[pair])
        device, site = devices[moving], cell_site[cells[fixed]]
        if own_site[device] == site:
            place[pair] = -1 - moving
            continue
        link = device * num_sites + site
        if seen[link] < 0:
            seen[link] = count
            links[count] = link
            count += 1
        place[pair] = seen[link]
    for link in links[:count]:
        seen[link] = -1
    return count


@compiled
def uplink_pairs(
    levels: tuple[Array, Array], gains: Array, ends: tuple[Indices, Indices], noise_mw: float, loads: Array,
    share: float, sites: tuple[Indices, Indices], seen: Indices, powers: tuple[Array, Array],
    pairs: tuple[Indices, Indices, Array], links: tuple[Indices, Indices],
) -> tuple[int, int]:  # fmt: skip
    """`uplink_means`, `take_strong` and `links_of_pairs` one after the other; returns numbers of pairs and of links.

    Args:
        powers: Take ``mean`` and ``received_mw``.
        pairs, links: Take what is found, with room for all of it.
    """
    mean, received_mw = powers
    devices, cells = ends
    uplink_means(levels, gains, devices, cells, noise_mw, mean, received_mw)
    return _pairs_and_links(mean, loads, share, ends, sites, True, seen, pairs, links)


@compiled
def downlink_pairs(
    gains_mw: Array, ends: tuple[Indices, Indices], noise_mw: float, loads: Array, share: float,
    sites: tuple[Indices, Indices], seen: Indices, powers: tuple[Array, Array],
    pairs: tuple[Indices, Indices, Array], links: tuple[Indices, Indices],
) -> tuple[int, int]:  # fmt: skip
    """`uplink_pairs` of the other direction; ``powers`` takes ``mean`` and ``used``."""
    mean, used = powers
    devices, cells = ends
    used[:] = 0.0
    downlink_means(gains_mw, devices, cells, noise_mw, loads, mean, used)
    return _pairs_and_links(mean, loads, share, ends, sites, False, seen, pairs, links)


@compiled
def _pairs_and_links(
    mean: Array, loads: Array, share: float, ends: tuple[Indices, Indices], sites: tuple[Indices, Indices],
    is_uplink: bool, seen: Indices, pairs: tuple[Indices, Indices, Array], links: tuple[Indices, Indices],
) -> tuple[int, int]:  # fmt: skip
    victims, sources, strong = pairs
    names, place = links
    count = take_strong(mean, loads, share, victims, sources, strong)
    found = victims[:count], sources[:count]
    return count, links_of_pairs(found, ends, sites, is_uplink, seen, names, place)


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
        entries: Block, rising, and PRB group, [num_entries] each.
        white: [num_blocks, num_groups].
        pairs: Victim, source and I / N at unit fading of each pair, [num_pairs] each; victims rise.
        loads: [num_blocks, num_groups].
        channels: To the site of the device itself, and to others, [..., num_groups, num_rx, 1].
        place: Row of each pair's channel to another site, or -1 - row of that to the device's own, [num_pairs].
        result: Takes them, [num_entries, num_rx, num_rx].
    """
    which, groups = entries
    victims, sources, strong = pairs
    own, others = channels
    num_rx, first = result.shape[1], 0
    for entry in range(len(which)):
        block, group = which[entry], groups[entry]
        for i in range(num_rx):
            for j in range(num_rx):
                result[entry, i, j] = white[block, group] if i == j else 0.0
        while first < len(victims) and victims[first] < block:
            first += 1
        for pair in range(first, len(victims)):
            if victims[pair] != block:
                break
            if not loads[sources[pair], group] > 0:
                continue
            power = strong[pair] * loads[sources[pair], group]
            vector = others[place[pair], group] if place[pair] >= 0 else own[-1 - place[pair], group]
            for i in range(num_rx):
                for j in range(num_rx):
                    a, b = np.complex128(vector[i, 0]), np.complex128(vector[j, 0])
                    real, imaginary = a.real * b.real + a.imag * b.imag, a.imag * b.real - a.real * b.imag
                    result[entry, i, j] += complex(power * real, power * imaginary)
