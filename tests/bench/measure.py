"""How benchmarks measure: medians of repeats, two things in turn, whole processes by the system's own accounting."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any


def result(
    what: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None, **more: Any
) -> dict[str, Any]:
    """One line of the record; ``met`` says whether the target was reached."""
    entry: dict[str, Any] = {"what": what, "value": value, "unit": unit, **more}
    if at_least is not None:
        entry |= {"at_least": at_least, "met": value >= at_least}
    if at_most is not None:
        entry |= {"at_most": at_most, "met": value <= at_most}
    return entry


def median_s(action: Callable[[], object], repeats: int) -> float:
    """Median wall seconds of an action."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        action()
        times.append(perf_counter() - start)
    return statistics.median(times)


def yardstick_ms() -> float:
    """Median milliseconds of a fixed Python loop: how fast the host is now, which on shared ones varies by half."""

    def loop() -> None:
        total = 0
        for number in range(100_000):
            total += number * number

    return 1e3 * median_s(loop, 51)


def paired_ratio(first: Callable[[], float], second: Callable[[], float], repeats: int) -> tuple[float, float, float]:
    """Run two measurements in turn; medians of each, and the median of their ratios first / second, pair by pair."""
    pairs = [(first(), second()) for _ in range(repeats)]
    ratios = [a / b for a, b in pairs]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(ratios)


def process_s(arguments: list[str], environment: dict[str, str] | None = None) -> float:
    """CPU seconds of a whole process, which other work on the machine hardly changes."""
    before = os.times()
    subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, env={**os.environ, **(environment or {})}
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
