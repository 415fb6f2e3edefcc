"""Published bandwidth measurements as traces: duplicates merged, gaps reported, application-limited stretches found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice
from channels.bandwidth_traces import MAX_MBPS
from channels.trace_formats import AMOUNT_UNITS, RATE_UNITS, Row, TraceFormat, read_mahimahi, read_rows

Array = npt.NDArray[np.float64]
GAP_TREATMENTS = ("cut", "hold", "zero")
# Rows closer than this are one report.
MERGE_S = 0.01
# Times are written in microseconds, rates in bit/s.
_MIN_MERGE_S, _MIN_MBPS = 2e-6, 1e-6
# A pause this many times as long as the usual distance of rows, or longer, is a gap, and at least as long as this. The
# factor leaves room for rounded times.
_GAP_FACTOR, _MIN_GAP_S = 3.0 * (1 - 1e-6), 1.0 * (1 - 1e-6)
# What radio links do not carry; a file whose usual rate is higher is probably in another unit.
_IMPLAUSIBLE_MBPS = 10_000.0
# Traffic of the other direction this many times as strong: what is measured is its acknowledgements.
_ACKNOWLEDGEMENT_RATIO = 20.0
# A rate that stays within this of its mean for so long is the source's, not the air's.
_FLAT_SHARE, _FLAT_S = 0.01, 10.0
_MIN_ROWS = 2


@dataclass(frozen=True)
class ImportedTrace:
    """A bandwidth trace and what was found on the way.

    Attributes:
        times_s, mbps: start [s] and rate [Mbit/s] of each step, the first at 0; [num_steps] each.
        num_rows: measurements in the file; of a Mahimahi trace, its opportunities.
        num_skipped: rows without a measurement: empty or NaN.
        num_merged: measurements that fell together with another, and rows that stood there twice.
        num_reordered: those that stood before an earlier one.
        gaps: (start, length) of pauses in the measurement, seconds of the trace as read; [num_gaps, 2].
        limited: (start, end, reason) of stretches in which the source, not the air, may have set the rate, seconds of
            the trace as written.
    """

    times_s: Array
    mbps: Array
    num_rows: int
    num_merged: int
    num_reordered: int
    num_skipped: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    limited: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Length of the trace; the last step is as long as the one before it."""
        return float(self.times_s[-1] + (self.times_s[-1] - self.times_s[-2]))

    @property
    def mean_mbps(self) -> float:
        """Mean rate over time."""
        lengths = np.append(np.diff(self.times_s), self.times_s[-1] - self.times_s[-2])
        return float(self.mbps @ lengths / lengths.sum())

    @property
    def is_implausible(self) -> bool:
        """Whether the median of the steps is beyond what radio links carry, as of a file in another unit."""
        return float(np.median(self.mbps)) > _IMPLAUSIBLE_MBPS

    @property
    def limited_share(self) -> float:
        """Share of the time that may be limited by the application; overlapping reasons count once."""
        covered, reached = 0.0, -math.inf
        for start, end, _ in sorted(self.limited):
            covered += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return covered / self.duration_s

    def as_csv(self, source: str) -> str:
        """`time_s, mbps` rows under a header, which `channels.bandwidth_traces.load_trace` reads."""
        rows = (f"{time:.6f},{rate:.6f}\n" for time, rate in zip(self.times_s, self.mbps, strict=True))
        return f"# Imported from {' '.join(source.split())}\ntime_s,mbps\n" + "".join(rows)


@dataclass
class _Measured:
    """Merged measurements in order of time: [num_steps] each."""

    times_s: Array
    mbps: Array
    other_mbps: Array
    is_idle: npt.NDArray[np.bool_]


def import_trace(
    path: Path, layout: TraceFormat | None, gaps: str = "cut", merge_s: float = MERGE_S, bin_s: float = 0.1
) -> ImportedTrace:
    """Read a measurement file.

    Args:
        path: file to read.
        layout: where its numbers are; None for a Mahimahi packet-delivery trace.
        gaps: what becomes of pauses in the measurement: "cut" joins the ends, "hold" keeps the last rate, "zero" has
            none. What is left of a gap is one ordinary step.
        merge_s: rows this near to each other are one measurement, of their mean rate (or their sum, for amounts).
        bin_s: bins in which Mahimahi's opportunities are counted; such a trace has no gaps, and nothing is merged.

    Raises:
        ValueError: the file cannot be read, holds fewer than two measurements at different times, or a number
            beyond the bounds of traces.
    """
    require_choice("gaps", gaps, GAP_TREATMENTS)
    require_between("merge_s", merge_s, 0, 3600)
    require_between("bin_s", bin_s, 1e-3, 3600)
    if layout is None:
        times_s, mbps, num_rows = read_mahimahi(path, bin_s)
        unknown = np.full(len(mbps), math.nan)
        measured = _Measured(np.array(times_s), np.array(mbps), unknown, np.isnan(mbps))
        return _checked(
            path, ImportedTrace(measured.times_s, measured.mbps, num_rows, 0, 0, limited=_limited(measured))
        )
    read = read_rows(path, layout)
    rows = read.rows
    if not rows:
        raise ValueError(f"{path}: holds no measurement, and {read.num_skipped} rows without one")
    times = [row.time_s for row in rows]
    num_reordered = sum(later < earlier for earlier, later in pairwise(times))
    rows.sort(key=lambda row: row.time_s)
    measured, num_merged = _merged(path, rows, layout, max(merge_s, _MIN_MERGE_S))
    if len(measured.times_s) < _MIN_ROWS:
        merged = f", {num_merged} others lie within {merge_s:g} s of them" if num_merged else ""
        raise ValueError(
            f"{path}: got {len(measured.times_s)} measurements at different times{merged}; valid: at least 2"
        )
    found = _gaps(measured.times_s)
    measured = _without_gaps(measured, found, gaps)
    trace = ImportedTrace(
        measured.times_s,
        measured.mbps,
        len(rows) + read.num_repeated,
        num_merged + read.num_repeated,
        num_reordered,
        read.num_skipped,
        found,
        _limited(measured),
    )
    return _checked(path, trace)


def _checked(path: Path, trace: ImportedTrace) -> ImportedTrace:
    if not np.any(trace.mbps >= _MIN_MBPS):
        raise ValueError(f"{path}: all rates are zero, or below 1 bit/s")
    return trace


def _merged(path: Path, rows: list[Row], layout: TraceFormat, merge_s: float) -> tuple[_Measured, int]:
    """Bundles of rows within `merge_s` of their first, as rates from the bundle's time on; and how many fell away."""
    bundles: list[list[Row]] = []
    for row in rows:
        if bundles and row.time_s - bundles[-1][0].time_s <= merge_s:
            bundles[-1].append(row)
        else:
            bundles.append([row])
    unit = layout.unit
    times = np.array([bundle[0].time_s for bundle in bundles])
    if unit in AMOUNT_UNITS:
        values = np.array([sum(row.value for row in bundle) for bundle in bundles])
        others = np.full(len(bundles), math.nan)
        lengths = np.diff(times)
        rates = values[1:] * AMOUNT_UNITS[unit] * 1e-6 / lengths
        for index in np.flatnonzero(rates > MAX_MBPS)[:1]:
            raise ValueError(
                f"{path}:{bundles[index + 1][0].line}: {values[index + 1]:g} {unit} in {lengths[index]:g} s are "
                f"more than {MAX_MBPS:g} Mbit/s"
            )
        # An amount belongs to the time since the bundle before; the first has none.
        return _Measured(times[:-1] - times[0], rates, others[1:], np.zeros(len(rates), dtype=bool)), len(rows) - len(
            bundles
        )
    scale = RATE_UNITS[unit]
    rates = scale * np.array([np.mean([row.value for row in bundle]) for bundle in bundles])
    others = scale * np.array([np.mean([row.other for row in bundle]) for bundle in bundles])
    idle = np.array([all(row.is_idle for row in bundle) for bundle in bundles], dtype=bool)
    if layout.is_interval_end and len(bundles) > 1:
        times, rates, others, idle = times[:-1], rates[1:], others[1:], idle[1:]
    return _Measured(times - times[0], rates, others, idle), len(rows) - len(bundles)


def _gaps(times_s: Array) -> list[tuple[float, float]]:
    steps = np.diff(times_s)
    longest = max(_GAP_FACTOR * float(np.median(steps)), _MIN_GAP_S)
    return [(float(times_s[n]), float(steps[n])) for n in np.flatnonzero(steps >= longest)]


def _without_gaps(measured: _Measured, gaps: list[tuple[float, float]], treatment: str) -> _Measured:
    if not gaps or treatment == "hold":
        return measured
    usual = float(np.median(np.diff(measured.times_s)))
    starts = np.searchsorted(measured.times_s, [start for start, _ in gaps])
    if treatment == "cut":
        shift = np.zeros(len(measured.times_s))
        for index, (_, length) in zip(starts, gaps, strict=True):
            shift[index + 1 :] += length - usual
        return _Measured(measured.times_s - shift, measured.mbps, measured.other_mbps, measured.is_idle)
    return _Measured(
        np.insert(measured.times_s, starts + 1, measured.times_s[starts] + usual),
        np.insert(measured.mbps, starts + 1, 0.0),
        np.insert(measured.other_mbps, starts + 1, math.nan),
        np.insert(measured.is_idle, starts + 1, False),
    )


def _limited(measured: _Measured) -> list[tuple[float, float, str]]:
    """Stretches in which something else than the air may have set the rate."""
    rate, other = measured.mbps, np.nan_to_num(measured.other_mbps)
    answers = (other > _ACKNOWLEDGEMENT_RATIO * rate) & (other > 1.0)
    found = _stretches(measured, measured.is_idle, "nothing was being sent")
    found += _stretches(measured, answers & ~measured.is_idle, "acknowledgements of the other direction")
    return sorted(found + _flat(measured))


def _stretches(measured: _Measured, is_in: npt.NDArray[np.bool_], reason: str) -> list[tuple[float, float, str]]:
    ends = np.append(measured.times_s[1:], 2 * measured.times_s[-1] - measured.times_s[-2])
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_in, [False])).astype(int)))
    return [
        (float(measured.times_s[first]), float(ends[last - 1]), reason)
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]


def _flat(measured: _Measured) -> list[tuple[float, float, str]]:
    """Stretches of a rate above zero that hardly moves."""
    times, rate = measured.times_s, measured.mbps
    found: list[tuple[float, float, str]] = []
    first = 0
    for n in range(1, len(rate) + 1):
        if n < len(rate) and abs(rate[n] - rate[first]) <= _FLAT_SHARE * rate[first]:
            continue
        if rate[first] > 0 and times[n - 1] - times[first] >= _FLAT_S and n - first > _MIN_ROWS:
            found.append((float(times[first]), float(times[n - 1]), f"a constant {rate[first]:.3g} Mbit/s"))
        first = n
    return found
