"""Transmission bandwidth: PRBs of a carrier, occupied hertz, PRB groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_choice

SUBCARRIERS_PER_PRB = 12
# TS 38.101-1, -2 5.1: FR1 ends at 7.125 GHz, FR2 begins at 24.25 GHz.
_FR1_END_GHZ = 7.125
_FR2_START_GHZ = 24.25


def frequency_range_of(carrier_ghz: float) -> str | None:
    """Frequency range of a carrier: "fr1" below 7.125 GHz, "fr2" from 24.25 GHz, None between, where 3GPP has no band.

    >>> frequency_range_of(3.5), frequency_range_of(10.0), frequency_range_of(28.0)
    ('fr1', None, 'fr2')
    """
    if carrier_ghz < _FR1_END_GHZ:
        return "fr1"
    return "fr2" if carrier_ghz >= _FR2_START_GHZ else None


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
    of_range = "" if frequency_range is None else f" in {frequency_range.upper()}"
    require_choice(f"scs_khz{of_range}", scs_khz, sorted({int(scs) for name in ranges for scs in table[name]}))
    valid: list[str] = []
    for name in ranges:
        row = table[name].get(str(scs_khz), {})
        key = f"{bandwidth_mhz:g}"
        if key in row:
            return int(row[key])
        valid.extend(row)
    choices = ", ".join(sorted(set(valid), key=float))
    raise ValueError(f"bandwidth_mhz at {scs_khz} kHz{of_range}: got {bandwidth_mhz:g}; valid: {choices}")


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
