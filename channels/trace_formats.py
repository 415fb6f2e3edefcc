"""Rows of published bandwidth measurements: which column holds the time and the rate, and in what units."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from channels._validation import require_choice
from channels.bandwidth_traces import (
    MAX_MBPS,
    MAX_TIME_S,
    NS_PER_MS,
    NS_PER_S,
    OPPORTUNITY_BITS,
    other_separator,
    read_lines,
    read_opportunities,
)
from channels.text_files import csv_cells, parse_number

# Factor that makes Mbit/s of a column's values; "bytes" and "bits" are amounts since the row before.
RATE_UNITS = {"bit/s": 1e-6, "kbit/s": 1e-3, "Mbit/s": 1.0, "byte/s": 8e-6, "kbyte/s": 8e-3, "Mbyte/s": 8.0}
AMOUNT_UNITS = {"bytes": 8.0, "bits": 1.0}
UNITS = (*RATE_UNITS, *AMOUNT_UNITS)
TIME_FORMATS = ("s", "ms", "us", "iso", "ucc", "row")
_TIME_SCALES = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
# Some 30,000 years: what no clock shows is another unit.
_MAX_CLOCK_S = 1e12
_UCC_TIME = "%Y.%m.%d_%H.%M.%S"
_MISSING = ("", "-", "nan", "null", "none", "n/a", "na")


@dataclass(frozen=True)
class TraceFormat:
    """Where the numbers of one kind of file are.

    Attributes:
        rate_column: name of the column with the rate, or its number from 0 in a file without a header.
        unit: of that column, one of UNITS.
        time_column: likewise; None with ``time_format`` "row".
        time_format: "s", "ms", "us" (numbers), "iso" (ISO 8601), "ucc" (2020.02.14_09.38.22), or "row": a row is 1 s.
        separator: between columns; " " is any blank space.
        has_header: whether the first line names the columns.
        is_interval_end: a row covers the time before it, since the previous row.
        other_column: rate of the opposite direction, in the same unit, if there is one.
        idle: (column, value) of rows in which nothing was being sent.
        repeats_are_one: an amount that stands there twice, in identical lines, was written twice and moved once.
    """

    rate_column: str | int
    unit: str
    time_column: str | int | None
    time_format: str
    separator: str = ","
    has_header: bool = True
    is_interval_end: bool = False
    other_column: str | int | None = None
    idle: tuple[str | int, str] | None = None
    repeats_are_one: bool = False

    def __post_init__(self) -> None:
        require_choice("unit", self.unit, UNITS)
        require_choice("time_format", self.time_format, TIME_FORMATS)


def _ucc5g(direction: str) -> TraceFormat:
    """uccmisl/5Gdataset, recorded by G-NetTrack: kbit/s, the state of the download, many rows in one second."""
    rate, other = ("UL_bitrate", "DL_bitrate") if direction == "uplink" else ("DL_bitrate", "UL_bitrate")
    return TraceFormat(rate, "kbit/s", "Timestamp", "ucc", other_column=other, idle=("State", "I"))


def _lumos5g(_: str) -> TraceFormat:
    """Lumos5G: Mbit/s second by second, with places but no time of day."""
    return TraceFormat("Throughput", "Mbit/s", None, "row")


def _nuwins(_: str) -> TraceFormat:
    """NUWiNS/starlink-measurement: ISO 8601 times at which interval reports were printed, several at once."""
    return TraceFormat("throughput_mbps", "Mbit/s", "time", "iso", is_interval_end=True)


def _ghent(_: str) -> TraceFormat:
    """4G logs of Ghent (van der Hooft et al., IEEE Commun. Lett. 2016): epoch ms, ms, position, bytes, ms since."""
    return TraceFormat(4, "bytes", 0, "ms", separator=" ", has_header=False, is_interval_end=True, repeats_are_one=True)


def _csv(_: str) -> TraceFormat:
    """The project's own columns, for any table whose columns the caller names."""
    return TraceFormat("mbps", "Mbit/s", "time_s", "s")


_FORMATS: dict[str, Callable[[str], TraceFormat]] = {
    "ucc5g": _ucc5g,
    "lumos5g": _lumos5g,
    "nuwins": _nuwins,
    "ghent": _ghent,
    "csv": _csv,
}
FORMATS = ("mahimahi", *_FORMATS)
DIRECTIONS = ("downlink", "uplink")
# Formats without a column of the uplink, and those of which a file holds one direction and does not say which.
_DOWNLINK_ONLY = ("lumos5g", "ghent")
ONE_DIRECTION = ("mahimahi", "nuwins", "csv")


def trace_format(
    name: str,
    direction: str = "downlink",
    rate_column: str | None = None,
    unit: str | None = None,
    time_column: str | None = None,
    time_format: str | None = None,
) -> TraceFormat:
    """The format of a name, with columns and units replaced where given.

    Raises:
        ValueError: There is no such format, unit or column, or it has no rate of that direction.
    """
    require_choice("format", name, tuple(_FORMATS))
    require_choice("direction", direction, DIRECTIONS)
    if direction == "uplink" and name in _DOWNLINK_ONLY and rate_column is None:
        raise ValueError(f"direction: got 'uplink'; valid: downlink, files of {name} have no rate of the uplink")
    chosen = _FORMATS[name](direction)
    if rate_column is not None:
        chosen = replace(chosen, rate_column=_column(rate_column, chosen.has_header))
    if unit is not None:
        chosen = replace(chosen, unit=unit)
    if time_column is not None:
        chosen = replace(chosen, time_column=_column(time_column, chosen.has_header))
        if chosen.time_format == "row" and time_format is None:
            chosen = replace(chosen, time_format="s")
    if time_format is not None:
        chosen = replace(chosen, time_format=time_format)
    return chosen


def _column(name: str, has_header: bool) -> str | int:
    if has_header:
        return name
    if not name.isdigit():
        raise ValueError(f"column: got {name!r}; valid: a number from 0, the file has no header")
    return int(name)


@dataclass(frozen=True)
class Row:
    """One measurement: where it stands, its time, its rate or amount, that of the other direction, whether idle."""

    line: int
    time_s: float
    value: float
    other: float
    is_idle: bool


@dataclass
class Rows:
    """What a file holds.

    Attributes:
        rows: its measurements, in the file's order.
        num_skipped: rows without a rate; where a row is a second, blank lines among them, too.
        num_repeated: rows left out because an identical line stands before them.
    """

    rows: list[Row] = field(default_factory=list)
    num_skipped: int = 0
    num_repeated: int = 0


@dataclass(frozen=True)
class _Columns:
    """Where the cells of a row are; how many there are at least, and at most."""

    rate: int
    time: int | None
    other: int | None
    idle: int | None
    least: int
    most: float


def read_rows(path: Path, layout: TraceFormat) -> Rows:
    """Rows of a file that hold a rate; rows without one are counted, as are identical lines but the first of them.

    Raises:
        ValueError: the file cannot be read, a column is missing, a row has too few or too many, or a cell is no number
            within the bounds of traces; the message opens with ``file:line:``.
    """
    found = Rows()
    # Of a packet log, two lines may be alike that tell of two packets.
    seen: set[str] | None = set()
    if layout.time_column is None or (layout.unit in AMOUNT_UNITS and not layout.repeats_are_one):
        seen = None
    columns = None if layout.has_header else _columns(path, [], "", layout)
    position, last_number = -1, 0
    for number, line in read_lines(path, keep_comments=True):
        if layout.time_column is None and position >= 0:
            position += number - last_number - 1
            found.num_skipped += number - last_number - 1
        last_number = number
        if line.startswith("#"):
            continue
        cells = _split(path, number, line, layout.separator)
        if columns is None:
            columns = _columns(path, cells, line, layout)
            continue
        position += 1
        row = _row(path, number, cells, columns, layout, position)
        if row is None:
            found.num_skipped += 1
        elif seen is not None and line in seen:
            found.num_repeated += 1
        else:
            _check_span(path, row, found.rows)
            found.rows.append(row)
            if seen is not None:
                seen.add(line)
    if columns is None:
        _columns(path, [], "", layout)
    return found


def _columns(path: Path, header: list[str], line: str, layout: TraceFormat) -> _Columns:
    """Where the cells are that a format names."""
    hint = other_separator(line) if len(header) == 1 else ""
    wanted = (layout.rate_column, layout.time_column, layout.other_column)
    rate, time, other = (_index(path, header, column, hint) for column in wanted)
    idle = _index(path, header, layout.idle[0], hint, is_optional=True) if layout.idle else None
    assert rate is not None
    least = 1 + max(column for column in (rate, time, other, idle) if column is not None)
    return _Columns(rate, time, other, idle, least, len(header) if layout.has_header else math.inf)


def _row(
    path: Path, number: int, cells: list[str], columns: _Columns, layout: TraceFormat, position: int
) -> Row | None:
    """The measurement of a line; None if it holds no rate."""
    if len(cells) < columns.least:
        raise ValueError(f"{path}:{number}: got {len(cells)} columns; valid: at least {columns.least}")
    if len(cells) > columns.most and any(cells[int(columns.most) :]):
        raise ValueError(
            f"{path}:{number}: got {len(cells)} columns; valid: {columns.most}, as the header has (the decimal mark of "
            "a number is a point)"
        )
    if cells[columns.rate].lower() in _MISSING:
        return None
    value = _amount(path, number, cells[columns.rate], layout.unit)
    at_s = float(position) if columns.time is None else _time_s(path, number, cells[columns.time], layout.time_format)
    other = math.nan
    if columns.other is not None and cells[columns.other].lower() not in _MISSING:
        other = _amount(path, number, cells[columns.other], layout.unit)
    is_idle = columns.idle is not None and layout.idle is not None and cells[columns.idle] == layout.idle[1]
    return Row(number, at_s, value, other, is_idle)


def _check_span(path: Path, row: Row, before: list[Row]) -> None:
    if before and abs(row.time_s - before[0].time_s) > MAX_TIME_S:
        raise ValueError(
            f"{path}:{row.line}: expected a time within {MAX_TIME_S:g} s of the first row's, "
            f"{before[0].time_s:.10g} s, got {row.time_s:.10g} s"
        )


def _split(path: Path, number: int, line: str, separator: str) -> list[str]:
    return line.split() if separator == " " else csv_cells(line, path, number, separator)


def _index(path: Path, header: list[str], column: str | int | None, hint: str, is_optional: bool = False) -> int | None:
    """Number of a column; its name counts as it is written or, if it is there once, in small or capital letters."""
    if column is None or isinstance(column, int):
        return column
    exact = [n for n, name in enumerate(header) if name == column]
    found = exact or [n for n, name in enumerate(header) if name.lower() == column.lower()]
    if len(found) > 1:
        raise ValueError(f"{path}: {len(found)} columns are called {column!r}")
    if found:
        return found[0]
    if is_optional:
        return None
    raise ValueError(f"{path}: no column {column!r}; valid: {', '.join(header) or 'the file is empty'}{hint}")


def _amount(path: Path, line: int, cell: str, unit: str) -> float:
    """A rate or an amount; a rate is within the bounds of traces, an amount no more than such a rate moves at most."""
    value = parse_number(cell)
    high = MAX_MBPS / RATE_UNITS[unit] if unit in RATE_UNITS else MAX_MBPS * 1e6 * MAX_TIME_S / AMOUNT_UNITS[unit]
    if not 0 <= value <= high:
        raise ValueError(f"{path}:{line}: expected a number of {unit}, >= 0 and <= {high:g}, got {cell[:40]!r}")
    return value


def _time_s(path: Path, line: int, cell: str, time_format: str) -> float:
    try:
        if time_format == "iso":
            stamp = datetime.fromisoformat(cell)
            return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
        if time_format == "ucc":
            return datetime.strptime(cell, _UCC_TIME).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        # A date near the end of the calendar has no time stamp in every zone.
        raise ValueError(f"{path}:{line}: expected a time as {time_format!r}, got {cell[:40]!r}") from None
    time_s = parse_number(cell) * _TIME_SCALES[time_format]
    if not abs(time_s) <= _MAX_CLOCK_S:
        bound = "" if math.isnan(time_s) else f" of at most {_MAX_CLOCK_S:g} s"
        raise ValueError(f"{path}:{line}: expected a time as {time_format!r}{bound}, got {cell[:40]!r}")
    return time_s


def read_mahimahi(path: Path, bin_s: float) -> tuple[list[float], list[float], int]:
    """Rates of a Mahimahi packet-delivery trace: opportunities of 1500 bytes counted in bins.

    An opportunity belongs to the bin that ends with it, as the period of the trace ends with its last one. The bin that
    this ends early has the rate of its own length and is two steps, since the last step of a trace lasts as long as the
    one before it: the length and the bits of the trace are kept. Empty bins are one step.

    Args:
        path: file to read.
        bin_s: whole milliseconds.

    Returns:
        Start [s] and rate [Mbit/s] of each step, and the number of opportunities. As many steps as there are
        opportunities, twice, and some more, however late they are.

    Raises:
        ValueError: the file is no such trace, with ``file:line:``, or is shorter than two bins.
    """
    bin_ns = round(bin_s * NS_PER_S)
    if bin_ns % NS_PER_MS:
        raise ValueError(f"bin_s: got {bin_s:g}; valid: whole milliseconds, as the opportunities are at")
    times_ms = read_opportunities(path)
    end_ns = times_ms[-1] * NS_PER_MS
    whole, rest_ns = divmod(end_ns, bin_ns)
    if whole + (rest_ns > 0) < 2:
        raise ValueError(f"{path}: lasts {end_ns / NS_PER_S:g} s; valid: more than one bin of {bin_s:g} s")
    counts = Counter(max(0, -(-time_ms * NS_PER_MS // bin_ns) - 1) for time_ms in times_ms)
    starts = {0, *counts, *(index + 1 for index in counts)} | ({whole} if rest_ns else {whole - 2})
    steps = [(index * bin_ns, counts[index], bin_ns) for index in sorted(starts) if index < whole]
    if rest_ns:
        steps += [(whole * bin_ns + part * rest_ns // 2, counts[whole], rest_ns) for part in (0, 1)]
    rates = [count * OPPORTUNITY_BITS * 1e3 / length_ns for _, count, length_ns in steps]
    return [start_ns / NS_PER_S for start_ns, _, _ in steps], rates, len(times_ms)
