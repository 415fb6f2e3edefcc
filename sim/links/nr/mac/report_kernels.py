"""What reports and backlogs are worth, by compiled code: the same as the steps in NumPy to the last bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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
    own_mcs: Indices, found: tuple[Indices, Indices, Indices],
) -> None:  # fmt: skip
    """What `GrantWidths` keeps of devices whose MCS is known anew.

    Args:
        rows, mcs: Devices and their MCS, [num_rows] each.
        sizes: Block of a full slot, [num_mcs, num_prb + 1]; ``max_bytes`` is the largest of any MCS, [num_prb + 1].
        min_prb: PRBs of the smallest useful grant, [num_mcs].
        power: ``headroom_prb`` and ``max_prb``, [num_devices] each.
        own_mcs: Takes the MCS, [num_devices].
        found: Takes ``headroom_bytes``, the largest block and ``smallest_prb``, [num_devices] each.
    """
    headroom, widest = power
    headroom_bytes, full_bytes, smallest = found
    for place in range(len(rows)):
        row, index = rows[place], mcs[place]
        own_mcs[row] = index
        headroom_bytes[row] = own = sizes[index, headroom[row]]
        full_bytes[row] = max_bytes[widest[row]] if headroom[row] < widest[row] else own
        smallest[row] = min(min_prb[index], widest[row])


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
