"""Buffer status report levels (TS 38.321 6.1.3.1): what a reported buffer size turns into."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_choice

BSR_FORMATS = ("short", "long")


@cache
def bsr_levels_bytes(bsr_format: str = "short") -> npt.NDArray[np.int64]:
    """Upper edges of the levels: 31 edges of the 5-bit short table, 254 of the 8-bit long one.

    The long table grows by a factor of about 1.0649 per level from some hundred bytes on.
    """
    require_choice("bsr_format", bsr_format, BSR_FORMATS)
    levels = np.array(load_table("nr_bsr")[f"{bsr_format}_bytes"], dtype=np.int64)
    levels.flags.writeable = False
    return levels


def bsr_index(buffer_bytes: npt.ArrayLike, bsr_format: str = "short") -> npt.NDArray[np.int64]:
    """Index of the first level that is not smaller than the buffer; one past the last edge when none is."""
    levels = bsr_levels_bytes(bsr_format)
    if np.any(np.asarray(buffer_bytes) < 0):
        raise ValueError(f"buffer_bytes: got {np.min(buffer_bytes)}; valid: >= 0")
    return np.searchsorted(levels, np.asarray(buffer_bytes), side="left").astype(np.int64)


def bsr_reported_bytes(buffer_bytes: npt.ArrayLike, bsr_format: str = "short") -> npt.NDArray[np.int64]:
    """Bytes that the scheduler believes after the report: the level's upper edge, or the last edge if beyond it."""
    levels = bsr_levels_bytes(bsr_format)
    return levels[np.minimum(bsr_index(buffer_bytes, bsr_format), len(levels) - 1)]
