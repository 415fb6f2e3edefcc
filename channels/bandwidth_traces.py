"""Bandwidth over time as a cumulative capacity that can be asked both ways: constant, piecewise constant, packet trace.

Capacity is counted in nanobits (1e-9 bit) since time zero and time in nanoseconds, both Python integers: a rate of
R bit/s offers exactly R nanobits per nanosecond, so nothing is lost to rounding however long a simulation runs.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Protocol

from channels.text_files import TextFileError, parse_number
from channels.text_files import read_lines as text_lines

NANOBITS_PER_BIT = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
OPPORTUNITY_BITS = 1500 * 8
"""Size of a Mahimahi packet-delivery opportunity: one 1500-byte MTU."""

# Bounds of what a file may say: thirty years, a petabit per second, thirty days of packet opportunities.
MAX_TIME_S = 1e9
MAX_MBPS = 1e9
MAX_OPPORTUNITY_MS = 30 * 86_400_000
_MAX_DIGITS = 12
_QUOTED = re.compile(r'"([^",]*)"')
_SEPARATORS = {";": "';'", "\t": "tabs"}


class Capacity(Protocol):
    """What a transmitter could have carried since time zero; traces extend periodically to negative times."""

    def offered(self, time_ns: int) -> int:
        """Nanobits offered before a time."""

    def time_of(self, nanobits: int) -> int:
        """First whole nanosecond by which so many nanobits have been offered."""


class ConstantRate:
    """The same rate for ever.

    Args:
        mbps: Rate [Mbit/s], rounded to whole bit/s.

    Raises:
        ValueError: The rate is below 1 bit/s.
    """

    def __init__(self, mbps: float) -> None:
        if not 1e-6 <= mbps < math.inf:
            raise ValueError(f"mbps: got {mbps}; valid: finite and >= 1e-6")
        self.bps = round(mbps * 1e6)

    def offered(self, time_ns: int) -> int:
        """Nanobits offered before a time."""
        return time_ns * self.bps

    def time_of(self, nanobits: int) -> int:
        """First whole nanosecond by which so many nanobits have been offered."""
        return -(-nanobits // self.bps)


class StartedLate:
    """A capacity from a moment of its own time on: what it offers from then is offered from time zero.

    Args:
        capacity: What is offered.
        start_ns: The moment, >= 0.
    """

    def __init__(self, capacity: Capacity, start_ns: int) -> None:
        if start_ns < 0:
            raise ValueError(f"start_ns: got {start_ns}; valid: >= 0")
        self._capacity, self._start_ns = capacity, start_ns
        self._before = capacity.offered(start_ns)

    def offered(self, time_ns: int) -> int:
        """Nanobits offered before a time."""
        return self._capacity.offered(time_ns + self._start_ns) - self._before

    def time_of(self, nanobits: int) -> int:
        """First whole nanosecond by which so many nanobits have been offered."""
        return self._capacity.time_of(nanobits + self._before) - self._start_ns


class PiecewiseRate:
    """Rates that hold between given times, repeated for ever; bits flow as a fluid.

    Args:
        times_s: Start of each rate [s], increasing; shifted so that the first is time zero. [num_steps]
        mbps: Rates [Mbit/s] >= 0, rounded to whole bit/s, not all zero. [num_steps]
        scale: Factor on every rate, > 0.

    The last rate holds for as long as the one before it (a single one: for a second); then the trace starts anew.

    Raises:
        ValueError: Unequal lengths, no rate, times that do not increase, or rates that are negative or all zero.
    """

    def __init__(self, times_s: Sequence[float], mbps: Sequence[float], scale: float = 1.0) -> None:
        if len(times_s) != len(mbps) or not len(mbps):
            raise ValueError(f"times_s, mbps: got {len(times_s)} and {len(mbps)}; valid: as many of each, at least one")
        if not all(0 <= rate < math.inf for rate in mbps):
            raise ValueError("mbps: valid: finite and >= 0")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale: got {scale}; valid: finite and > 0")
        starts = [round((time - times_s[0]) * NS_PER_S) for time in times_s]
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError("times_s: valid: increasing by at least a nanosecond")
        last_ns = starts[-1] - starts[-2] if len(starts) > 1 else NS_PER_S
        self._starts = [*starts, starts[-1] + last_ns]
        self._bps = [round(rate * scale * 1e6) for rate in mbps]
        steps = zip(self._bps, self._starts, self._starts[1:], strict=False)
        self._offered = [0, *accumulate(bps * (end - start) for bps, start, end in steps)]
        self.period_ns = self._starts[-1]
        self._per_period = self._offered[-1]
        if not self._per_period:
            raise ValueError("mbps: all rates are zero; valid: at least one rate of 1 bit/s or more")

    def offered(self, time_ns: int) -> int:
        """Nanobits offered before a time."""
        loops, within = divmod(time_ns, self.period_ns)
        step = bisect_right(self._starts, within) - 1
        return loops * self._per_period + self._offered[step] + self._bps[step] * (within - self._starts[step])

    def time_of(self, nanobits: int) -> int:
        """First whole nanosecond by which so many nanobits have been offered."""
        # The period that holds the wanted nanobit ends with it at the latest: within is in 1..per_period.
        loops, within = divmod(nanobits - 1, self._per_period)
        within += 1
        step = bisect_left(self._offered, within) - 1
        into_step = -(-(within - self._offered[step]) // self._bps[step])
        return loops * self.period_ns + self._starts[step] + into_step


class PacketOpportunities:
    """Instants at which up to 1500 bytes can leave, repeated for ever; an instant that finds no bytes is lost.

    This is the packet-delivery trace of the Mahimahi emulator (Netravali et al., USENIX ATC 2015): an opportunity is
    shared by messages while bytes wait, a message may need several, and the period is the last instant.

    Args:
        times_ms: Instants [ms], not decreasing, the last > 0; equal ones are as many opportunities. [num_opportunities]
        scale: Factor on the size of every opportunity, > 0.

    Raises:
        ValueError: No instant, decreasing or negative instants, or a period of zero.
    """

    def __init__(self, times_ms: Sequence[int], scale: float = 1.0) -> None:
        if not len(times_ms) or times_ms[-1] <= 0:
            raise ValueError("times_ms: valid: at least one instant, the last after time zero")
        if times_ms[0] < 0 or any(later < earlier for earlier, later in pairwise(times_ms)):
            raise ValueError("times_ms: valid: >= 0 and not decreasing")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale: got {scale}; valid: finite and > 0")
        self._times = [int(time) * NS_PER_MS for time in times_ms]
        self._size = max(1, round(OPPORTUNITY_BITS * scale * NANOBITS_PER_BIT))
        self.period_ns = self._times[-1]

    def offered(self, time_ns: int) -> int:
        """Nanobits of the opportunities before a time; one at that very time still lies ahead."""
        # Within 1..period, so that the last instant of a period belongs to it and not to the next one.
        loops, within = divmod(time_ns - 1, self.period_ns)
        return (loops * len(self._times) + bisect_left(self._times, within + 1)) * self._size

    def time_of(self, nanobits: int) -> int:
        """Instant of the opportunity that completes so many nanobits."""
        loops, index = divmod(-(-nanobits // self._size) - 1, len(self._times))
        return loops * self.period_ns + self._times[index]


def load_trace(path: Path, scale: float = 1.0) -> PiecewiseRate | PacketOpportunities:
    """Read a bandwidth trace: `.csv` holds `time_s, mbps` rows, anything else is a Mahimahi packet-delivery trace.

    Blank lines and lines that start with `#` are skipped; a CSV may open with a header row, in quotes or capitals, too.

    Args:
        path: File to read.
        scale: Factor on the bandwidth.

    Raises:
        ValueError: The file is missing, empty or has a broken line; the message opens with ``file:line:``.
    """
    return (
        _load_csv(path, scale)
        if path.suffix.lower() == ".csv"
        else PacketOpportunities(read_opportunities(path), scale)
    )


def read_lines(path: Path, keep_comments: bool = False) -> Iterator[tuple[int, str]]:
    """Numbered lines that hold something: not blank, no comment. ValueError if the file cannot be read as text."""
    try:
        for number, raw in text_lines(path):
            line = raw.strip()
            if keep_comments or not line.startswith("#"):
                yield number, line
    except TextFileError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        raise ValueError(f"{path}: no such trace file" if missing else str(error)) from None


def other_separator(line: str) -> str:
    """A hint for a message if a line's columns are separated by something else than commas; else nothing."""
    return next(
        (
            f" (columns must be separated by commas, not by {name})"
            for mark, name in _SEPARATORS.items()
            if mark in line
        ),
        "",
    )


def read_opportunities(path: Path) -> list[int]:
    """Instants of a Mahimahi packet-delivery trace [ms], not decreasing, the last above zero.

    Raises:
        ValueError: A line is no whole number of milliseconds up to MAX_OPPORTUNITY_MS, or its time goes back; the
            message opens with ``file:line:``.
    """
    times_ms: list[int] = []
    for number, line in read_lines(path):
        is_count = line.isascii() and line.isdigit()
        if not is_count or len(line) > _MAX_DIGITS or int(line) > MAX_OPPORTUNITY_MS:
            hint = "" if is_count else " (a file of time_s, mbps rows must end in .csv)"
            raise ValueError(
                f"{path}:{number}: expected a whole number of milliseconds, at most {MAX_OPPORTUNITY_MS} (30 days), "
                f"got {line[:40]!r}{hint}"
            )
        times_ms.append(int(line))
        if len(times_ms) > 1 and times_ms[-1] < times_ms[-2]:
            raise ValueError(f"{path}:{number}: time goes back from {times_ms[-2]} to {times_ms[-1]} ms")
    if not times_ms:
        raise ValueError(f"{path}: the trace is empty")
    if not times_ms[-1]:
        raise ValueError(f"{path}: the trace must last longer than 0 ms")
    return times_ms


def _load_csv(path: Path, scale: float) -> PiecewiseRate:
    times_s: list[float] = []
    mbps: list[float] = []
    for index, (number, line) in enumerate(read_lines(path)):
        cells = _QUOTED.sub(r"\1", line).split(",")
        if index == 0 and [cell.strip().lower() for cell in cells] == ["time_s", "mbps"]:
            continue
        numbers = [parse_number(cell) for cell in cells]
        if len(numbers) != 2 or any(math.isnan(value) for value in numbers):
            expected = "expected two numbers 'time_s, mbps'" + (", or these two names" if index == 0 else "")
            raise ValueError(f"{path}:{number}: {expected}, got {line[:40]!r}{other_separator(line)}")
        time, rate = numbers
        if not (abs(time) <= MAX_TIME_S and 0 <= rate <= MAX_MBPS):
            bounds = f"a time of at most {MAX_TIME_S:g} s and a rate >= 0 and <= {MAX_MBPS:g} Mbit/s"
            raise ValueError(f"{path}:{number}: expected {bounds}, got {line[:40]!r}")
        if times_s and round((time - times_s[-1]) * NS_PER_S) <= 0:
            raise ValueError(f"{path}:{number}: time must increase, got {time:g} s after {times_s[-1]:g} s")
        times_s.append(time)
        mbps.append(rate)
    if not times_s:
        raise ValueError(f"{path}: the trace is empty")
    try:
        return PiecewiseRate(times_s, mbps, scale)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
