"""Transmission bandwidth: PRBs of a carrier, occupied hertz, PRB groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_choice

SUBCARRIERS_PER_PRB = 12


def num_prb(bandwidth_mhz: float, scs_khz: int, frequency_range: str | None = None) -> int:
    """N_RB of a channel bandwidth (TS 38.101-1/-2 Table 5.3.2-1).

    Args:
        frequency_range: "fr1" or "fr2"; None takes FR1 where it has the pair, else FR2
            (they differ only at 60 kHz, 50 and 100 MHz).

    Raises:
        ValueError: no such bandwidth at this subcarrier spacing; the message lists those that exist.
    """
    table = load_table("nr_prb")
    if frequency_range is not None:
        require_choice("frequency_range", frequency_range, ("fr1", "fr2"))
    ranges = ("fr1", "fr2") if frequency_range is None else (frequency_range,)
    require_choice("scs_khz", scs_khz, sorted({int(scs) for name in ranges for scs in table[name]}))
    valid: list[str] = []
    for name in ranges:
        row = table[name].get(str(scs_khz), {})
        key = f"{bandwidth_mhz:g}"
        if key in row:
            return int(row[key])
        valid.extend(row)
    raise ValueError(f"bandwidth_mhz at {scs_khz} kHz: got {bandwidth_mhz:g}; valid: {', '.join(valid)}")


def prb_bandwidth_hz(scs_khz: int) -> float:
    """Width of one PRB: 12 subcarriers."""
    return SUBCARRIERS_PER_PRB * scs_khz * 1e3


def prb_group_sizes(num_prb: int, group_size: int) -> npt.NDArray[np.int64]:
    """PRBs in each group of `group_size` consecutive PRBs; the last group holds the remainder. [num_groups]."""
    if not 1 <= group_size <= num_prb:
        raise ValueError(f"group_size: got {group_size}; valid: 1 to num_prb = {num_prb}")
    starts = np.arange(0, num_prb, group_size)
    return np.minimum(num_prb - starts, group_size).astype(np.int64)


def prb_group_centres_hz(num_prb: int, group_size: int, scs_khz: int) -> npt.NDArray[np.float64]:
    """Centre frequency of each PRB group relative to the carrier's centre. [num_groups]."""
    sizes = prb_group_sizes(num_prb, group_size)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    return (starts + sizes / 2 - num_prb / 2) * prb_bandwidth_hz(scs_khz)
