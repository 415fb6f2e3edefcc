"""What reports and backlogs are worth, by compiled code: the same as the steps in NumPy to the last bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@compiled
def combined_power(amplitudes: Single, rows: Indices, gains: Array) -> None:
    """Gain of maximum-ratio combining: the sum of the squares over the receive antennas.

    Args:
        amplitudes: Of the channel, [num_rows, num_groups, num_rx], fewer than eight antennas.
        rows: Devices, [num_rows].
        gains: Takes them, [num_devices, num_groups].
    """
    for place in range(len(rows)):
        for group in range(amplitudes.shape[1]):
            total = 0.0
            for antenna in range(amplitudes.shape[2]):
                amplitude = np.float64(amplitudes[place, group, antenna])
                total += amplitude * amplitude
            gains[rows[place], group] = total


@compiled
def reported_sinr(
    rows: Indices, gains: Array, levels: tuple[Array, Array, Indices], over_noise: Array, max_sinr: float,
    found: tuple[Array, Array, Array],
) -> None:  # fmt: skip
    """SINR of reports at the width of the headroom, outer loop applied, and the arguments of its logarithms.

    Args:
        rows: Devices, [num_rows].
        gains: [num_devices, num_groups].
        levels: SNR by device and PRBs (see `RadioChannel.snr_table`), offsets and widths, [num_devices] each.
        over_noise: Interference over noise, [num_rows, num_groups]; without rows there is none.
        max_sinr: Greatest that counts, before the offset.
        found: Takes SINR and 1 + SINR, [num_rows, num_groups] each, and 1 + the greatest that counts, [num_rows].
    """
    snr, offset, widths = levels
    sinr, more, most = found
    for place in range(len(rows)):
        row = rows[place]
        scale = snr[row, min(widths[row], snr.shape[1] - 1)] * offset[row]
        most[place] = 1 + max_sinr * offset[row]
        for group in range(gains.shape[1]):
            value = gains[row, group] * scale
            if len(over_noise):
                value /= 1 + over_noise[place, group]
            sinr[place, group] = value
            more[place, group] = 1 + value


@compiled
def relative_quality(rows: Indices, gains: Array, over_noise: Array, quality: Array) -> None:
    """Gains over noise and interference. Arguments as above, quality [num_rows, num_groups]."""
    for place in range(len(rows)):
        for group in range(gains.shape[1]):
            quality[place, group] = gains[rows[place], group] / (1 + over_noise[place, group])


@compiled
def take_reports(
    rows: Indices, capacity: Array, sinr: Array, means: tuple[Array, Array], widths: Indices, needed: Array,
    lowest: int, rate_of_capacity: tuple[float, Array], reports: tuple[Array, Array, Array], mcs: Indices,
) -> None:  # fmt: skip
    """Rates of PRB groups and MCS of the whole carrier, of one layer.

    Args:
        rows: Devices, [num_rows].
        capacity: log2(1 + SINR), [num_rows, num_groups]; and ``sinr`` itself.
        means: Its mean over the carrier, and the greatest that counts, [num_rows] each.
        widths: PRBs that it is for, [num_devices].
        needed: Capacity that each MCS needs, [num_prb + 1, num_mcs].
        lowest: MCS where that of none is reached.
        rate_of_capacity: Greatest capacity of a group, and bit/s per capacity, [num_groups].
        reports: Take the rates and the SINR, [num_devices, num_groups] each, and the greatest capacity that counts,
            [num_devices].
        mcs: Takes the MCS, [num_rows].
    """
    mean, ceiling = means
    max_capacity, bps = rate_of_capacity
    rate_bps, report_sinr, report_ceiling = reports
    for place in range(len(rows)):
        row = rows[place]
        report_ceiling[row] = ceiling[place]
        for group in range(len(bps)):
            rate_bps[row, group] = min(capacity[place, group], max_capacity) * bps[group]
            report_sinr[row, group] = sinr[place, group]
        reached = 0
        for one in needed[widths[row]]:
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


@compiled
def stale_rows(devices: Indices, held: Indices, newest: int, rows: Indices) -> tuple[int, bool]:
    """Devices whose report is not of the newest measurement, which is noted to be theirs now.

    Args:
        devices: Asked for, [num_devices_wanted].
        held: Slot of each device's measurement, [num_devices].
        rows: Takes them, [num_devices_wanted].

    Returns:
        How many, and whether all devices hold the newest now.
    """
    count = 0
    for device in devices:
        if held[device] != newest:
            held[device] = newest
            rows[count] = device
            count += 1
    for slot in held:
        if slot != newest:
            return count, False
    return count, True
