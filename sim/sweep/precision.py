"""When enough replications were run: decided by their order alone, so that it never depends on who ran them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sim.scenario.points import Point
from sim.scenario.sweep_schema import MIN_REPLICATIONS


def half_width(values: Sequence[float]) -> float:
    """Half of Student's 95 % interval of a mean; infinite below two values."""
    from scipy.special import stdtrit

    count = len(values)
    if count < 2:
        return math.inf
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return float(stdtrit(count - 1, 0.975)) * math.sqrt(variance / count)


class Replications:
    """Hands out the points of a sweep wave by wave: replications of a point until its mean is known well enough.

    Args:
        points: All points, replications included.
        precision: Half width of the 95 % interval of the mean latency, relative to the mean; None runs them all.
    """

    def __init__(self, points: Sequence[Point], precision: float | None) -> None:
        self.precision = precision
        self._groups: dict[tuple[int, ...], list[Point]] = {}
        for point in points:
            # Replications are innermost: a point's first index names its group.
            self._groups.setdefault((point.index - point.replication,), []).append(point)
        self._handed_out = 0

    def next_wave(self, latencies: dict[int, float]) -> list[Point]:
        """Points to run now; empty when every mean is known well enough or all were run.

        Args:
            latencies: Mean latency by index of the points run so far; those that failed are missing.
        """
        first, self._handed_out = self._handed_out, self._handed_out + (1 if self._handed_out else MIN_REPLICATIONS)
        groups = list(self._groups.values())
        if self.precision is None:
            return [] if first else [point for group in groups for point in group]
        return [
            point
            for group in groups
            if not self._is_enough(group[:first], latencies)
            for point in group[first : self._handed_out]
        ]

    def _is_enough(self, ran: Sequence[Point], latencies: dict[int, float]) -> bool:
        assert self.precision is not None
        for count in range(MIN_REPLICATIONS, len(ran) + 1):
            values = [latencies[point.index] for point in ran[:count] if point.index in latencies]
            if len(values) >= MIN_REPLICATIONS and half_width(values) <= self.precision * abs(
                math.fsum(values) / len(values)
            ):
                return True
        return False
