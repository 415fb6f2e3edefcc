"""Simulated time is a whole number of nanoseconds, so that sums of durations are exact and order never matters."""

from __future__ import annotations

import math

NS_PER_S = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Round seconds up to whole nanoseconds.

    Raises:
        ValueError: The duration is negative, infinite or not a number.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a duration must be finite and not negative, got {seconds!r} s")
    return math.ceil(seconds * NS_PER_S - 1e-6)
