"""The standard error of a ratio of sums over requests, whose positions depend on each other."""

from __future__ import annotations

import math
from collections import defaultdict


class RatioOfSums:
    """Gathers sum a / sum t over independent texts; requests that replay one recording are one text.

    The standard error is that of the ratio estimator, sqrt(n/(n-1) * sum (a_i - r t_i)^2) / sum t_i
    (Cochran, Sampling Techniques, 3rd ed., eq. 6.13, without the finite-population factor).
    """

    def __init__(self) -> None:
        self._texts = 0
        self._a = self._t = self._aa = self._at = self._tt = 0
        self._shared: dict[int, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, a: int, t: int, recording: int | None = None) -> None:
        """Take one request.

        Args:
            a: Its part of the numerator.
            t: Its part of the denominator.
            recording: Number of what it replays along with others; None if its text is its own.
        """
        if recording is None:
            self._count(a, t)
        else:
            self._shared[recording][0] += a
            self._shared[recording][1] += t

    def _count(self, a: int, t: int) -> None:
        self._texts += 1
        self._a += a
        self._t += t
        self._aa += a * a
        self._at += a * t
        self._tt += t * t

    def standard_error(self) -> float:
        """The standard error; nan of fewer than two texts, or where nothing was counted."""
        whole = RatioOfSums()
        whole.__dict__.update(self.__dict__)
        for a, t in self._shared.values():
            whole._count(a, t)
        n, total = whole._texts, whole._t
        if n < 2 or not total:
            return math.nan
        # sum (a - r t)^2 with r = A / T, in whole numbers up to the last division.
        squares = whole._aa * total**2 - 2 * whole._a * total * whole._at + whole._a**2 * whole._tt
        return math.sqrt(n / (n - 1) * squares) / total**2
