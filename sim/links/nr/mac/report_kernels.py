"""What reports and backlogs are worth, by compiled code: the same as the steps in NumPy to the last bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@compiled
def reported_sinr(
    rows: Indices, snr_table: Array, headroom: Indices, offset: Array, max_sinr: float, held: tuple[Array, Array],
    terms: Array, ceiling: Array,
) -> Indices:  # fmt: skip
    """SINR at the width of each device's power headroom, by its report and the offset of its outer loop.

    Args:
        rows: Devices, [num_rows].
        snr_table: As `RadioChannel.snr_table` makes it.
        headroom: PRBs within the devices' power, [num_devices].
        offset: [num_devices].
        max_sinr: The greatest that counts, before the offset.
        held: Reported gains; takes the SINR, [num_devices, num_groups] each.
        terms: Takes 1 + SINR, [num_rows, num_groups].
        ceiling: Takes 1 + the greatest SINR that counts, [num_rows].

    Returns:
        The widths, [num_rows].
    """
    gains, sinr = held
    width = headroom[rows]
    for place in range(len(rows)):
        row = rows[place]
        scale = snr_table[row, width[place] if snr_table.shape[1] > 1 else 0] * offset[row]
        for group in range(gains.shape[1]):
            own = gains[row, group] * scale
            sinr[row, group] = own
            terms[place, group] = 1.0 + own
        ceiling[place] = 1.0 + max_sinr * offset[row]
    return width


@compiled
def take_reports(
    rows: Indices, capacity: Array, means: tuple[Array, Array], width: Indices, needed: Array, lowest: int,
    rate_of_capacity: tuple[float, Array], rate_bps: Array, mcs: Indices,
) -> None:  # fmt: skip
    """Rates of PRB groups and MCS of the whole carrier, of one layer.

    Args:
        rows: Devices, [num_rows].
        capacity: log2(1 + SINR), [num_rows, num_groups].
        means: Its mean over the carrier, and the greatest that counts, [num_rows] each.
        width: PRBs that it is for, [num_rows].
        needed: Capacity that each MCS needs, [num_prb + 1, num_mcs].
        lowest: MCS where that of none is reached.
        rate_of_capacity: Greatest capacity of a group, and bit/s per capacity, [num_groups].
        rate_bps: Takes the rates, [num_devices, num_groups].
        mcs: Takes the MCS, [num_rows].
    """
    mean, ceiling = means
    max_capacity, bps = rate_of_capacity
    for place in range(len(rows)):
        for group in range(len(bps)):
            rate_bps[rows[place], group] = min(capacity[place, group], max_capacity) * bps[group]
        reached = 0
        for one in needed[width[place]]:
            reached += one <= min(mean[place], ceiling[place])
        mcs[place] = max(reached - 1, lowest)


@compiled
def renew_widths(
    rows: Indices, mcs: Indices, sizes: Indices, max_bytes: Indices, min_prb: Indices, power: tuple[Indices, Indices],
    own_mcs: Indices, found: tuple[Indices, Indices, Indices], is_open: Bools, min_bytes: int,
) -> bool:  # fmt: skip
    """What `GrantWidths` keeps of devices whose MCS is known anew; whether any needs more than its headroom at least.

    Args:
        rows, mcs: Devices and their MCS, [num_rows] each.
        sizes: Block of a full slot, [num_mcs, num_prb + 1]; ``max_bytes`` is the largest of any MCS, [num_prb + 1].
        min_prb: PRBs of the smallest useful grant, [num_mcs].
        power: ``headroom_prb`` and ``max_prb``, [num_devices] each.
        own_mcs: Takes the MCS, [num_devices].
        found: Takes ``headroom_bytes``, the largest block and ``smallest_prb``, [num_devices] each.
        is_open: Takes that sizes beyond the headroom are to be found anew, [num_devices].
        min_bytes: Wanted of the smallest grant.
    """
    is_any_small = False
    headroom, widest = power
    headroom_bytes, full_bytes, smallest = found
    for place in range(len(rows)):
        row, index = rows[place], mcs[place]
        own_mcs[row] = index
        headroom_bytes[row] = own = sizes[index, headroom[row]]
        full_bytes[row] = max_bytes[widest[row]] if headroom[row] < widest[row] else own
        smallest[row] = min(min_prb[index], widest[row])
        is_open[row] = True
        is_any_small |= own < min_bytes
    return is_any_small


@compiled
def needed_prb(
    devices: Indices, want_bytes: Indices, sizes: Indices, mcs: Indices, max_prb: Indices,
    bytes_of: tuple[Indices, Indices], needed: Indices,
) -> bool:  # fmt: skip
    """PRBs that devices' bytes need, -1 where that is more than their headroom; whether it is for any.

    Args:
        devices, want_bytes: [num_devices_wanted] each.
        sizes: Block of the slot, [num_mcs, num_prb + 1].
        mcs, max_prb: [num_devices].
        bytes_of: Block on the headroom's width, and the largest, [num_devices] each.
        needed: Takes them, [num_devices_wanted].
    """
    headroom_bytes, full_bytes = bytes_of
    is_any_wide = False
    for place in range(len(devices)):
        device, want = devices[place], want_bytes[place]
        needed[place] = max_prb[device]
        if want > full_bytes[device]:
            continue
        if want > headroom_bytes[device]:
            needed[place] = -1
            is_any_wide = True
            continue
        enough = 0
        for size in sizes[mcs[device]]:
            enough += size < want
        needed[place] = min(enough, needed[place])
    return is_any_wide
