"""Arrival processes: renewal processes of a mean rate and a coefficient of variation, scaled by the time of day.

A gap's coefficient of variation is 1 for a Poisson process; larger ones make bursts. Serving benchmarks state its
inverse square, the shape of a gamma distribution, as "burstiness".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DrawGaps = Callable[[np.random.Generator, int], Floats]
"""Draws gaps of mean 1."""

PROCESSES = ("poisson", "gamma", "weibull", "constant")
_DRAWN_AT_ONCE = 256


def gap_distribution(process: str, cv: float = 1.0) -> DrawGaps:
    """Gaps of mean 1 between arrivals.

    Args:
        process: One of ``PROCESSES``.
        cv: Coefficient of variation of a gap, for ``gamma`` and ``weibull``.

    Raises:
        ValueError: No such process.
    """
    if process == "poisson":
        return lambda rng, count: -np.log1p(-rng.random(count))
    if process == "gamma":
        shape = 1 / cv**2
        return lambda rng, count: rng.gamma(shape, 1 / shape, count)
    if process == "weibull":
        exponent = weibull_shape(cv)
        scale = 1 / math.gamma(1 + 1 / exponent)
        return lambda rng, count: rng.weibull(exponent, count) * scale
    if process == "constant":
        return lambda rng, count: np.ones(count)  # noqa: ARG005
    raise ValueError(f"unknown arrival process {process!r}; valid: {', '.join(PROCESSES)}")


def weibull_shape(cv: float) -> float:
    """Shape k of the Weibull distribution with a coefficient of variation: cv^2 = G(1 + 2/k) / G(1 + 1/k)^2 - 1."""
    from scipy.optimize import brentq

    def excess(log_shape: float) -> float:
        inverse = math.exp(-log_shape)
        return math.lgamma(1 + 2 * inverse) - 2 * math.lgamma(1 + inverse) - math.log1p(cv**2)

    return math.exp(brentq(excess, math.log(0.05), math.log(200.0), xtol=1e-12))


class RateProfile:
    """How the rate of arrivals follows the time: piecewise constant factors, repeated.

    Args:
        starts_s: When each factor begins to hold, ascending from 0.
        factors: What the mean rate is multiplied by; at least one is positive.
        period_s: When the first one holds again.
    """

    def __init__(self, starts_s: Sequence[float], factors: Sequence[float], period_s: float) -> None:
        self._edges_s = np.array([*starts_s, period_s], dtype=float)
        self._factors = np.array(factors, dtype=float)
        self._period_s = period_s
        self._work = np.concatenate([[0.0], np.cumsum(self._factors * np.diff(self._edges_s))])

    @property
    def mean_factor(self) -> float:
        """Time average of the factors."""
        return float(self._work[-1] / self._period_s)

    def factor_at(self, time_s: float) -> float:
        """The factor that holds at a time."""
        index = int(np.searchsorted(self._edges_s, time_s % self._period_s, side="right")) - 1
        return float(self._factors[min(index, len(self._factors) - 1)])

    def elapsed(self, time_s: float) -> float:
        """Integral of the factor up to a time [s]."""
        periods, rest = divmod(time_s, self._period_s)
        return float(periods * self._work[-1] + np.interp(rest, self._edges_s, self._work))

    def times_s(self, elapsed: Floats) -> Floats:
        """The times at which the factor's integral reaches given values, [n] each."""
        periods = np.floor(elapsed / self._work[-1])
        rest = elapsed - periods * self._work[-1]
        # Where a factor is 0 the integral stands still: whatever arrives does so at the end of such a part.
        index = np.clip(np.searchsorted(self._work, rest, side="right") - 1, 0, len(self._factors) - 1)
        within = (rest - self._work[index]) / np.where(self._factors[index] > 0, self._factors[index], 1.0)
        value: Floats = periods * self._period_s + self._edges_s[index] + within
        return value


def arrival_times_s(
    rate_hz: float,
    draw_gaps: DrawGaps,
    rng: np.random.Generator,
    profile: RateProfile | None = None,
    phase: bool = False,
) -> Iterator[float]:
    """Times of arrival, ascending, without an end.

    Args:
        rate_hz: Mean rate where the profile's factor is 1.
        draw_gaps: Distribution of the gaps.
        rng: Where they come from.
        profile: What the rate is multiplied by, by time; None for a constant rate.
        phase: Begin anywhere in the first gap, so that processes of constant gaps do not run in step.
    """
    elapsed = rng.random() - 1.0 if phase else 0.0
    while True:
        reached = elapsed + np.cumsum(draw_gaps(rng, _DRAWN_AT_ONCE))
        elapsed = float(reached[-1])
        times = reached / rate_hz if profile is None else profile.times_s(reached / rate_hz)
        yield from times.tolist()
