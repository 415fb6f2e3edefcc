"""Rows of published bandwidth measurements: which column holds the time and the rate, and in what units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from channels._validation import require_choice
from channels.bandwidth_traces import OPPORTUNITY_BITS, read_lines
from channels.text_files import csv_cells

# Factor that makes Mbit/s of a column's values; "bytes" and "bits" are amounts since the row before.
RATE_UNITS = {"bit/s": 1e-6, "kbit/s": 1e-3, "Mbit/s": 1.0, "byte/s": 8e-6, "kbyte/s": 8e-3, "Mbyte/s": 8.0}
AMOUNT_UNITS = {"bytes": 8.0, "bits": 1.0}
UNITS = (*RATE_UNITS, *AMOUNT_UNITS)
TIME_FORMATS = ("s", "ms", "us", "iso", "ucc", "row")
_TIME_SCALES = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
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
    return TraceFormat(4, "bytes", 0, "ms", separator=" ", has_header=False, is_interval_end=True)


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


def trace_format(
    name: str,
    direction: str = "downlink",
    rate_column: str | None = None,
    unit: str | None = None,
    time_column: str | None = None,
    time_format: str | None = None,
) -> TraceFormat:
    """The format of a name, with columns and units replaced where given."""
    require_choice("format", name, tuple(_FORMATS))
    require_choice("direction", direction, DIRECTIONS)
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


def read_rows(path: Path, layout: TraceFormat) -> Iterator[Row]:
    """Rows of a file that hold a rate, in the file's order; rows without one are skipped.

    Raises:
        ValueError: the file cannot be read, a column is missing, or a cell is no number; the message opens with
            ``file:line:``.
    """
    lines = list(read_lines(path))
    if layout.has_header and lines:
        header = _split(path, *lines[0], layout.separator)
        lines = lines[1:]
    else:
        header = []
    rate, time, other = (
        _index(path, header, column) for column in (layout.rate_column, layout.time_column, layout.other_column)
    )
    idle = _index(path, header, layout.idle[0], is_optional=True) if layout.idle else None
    assert rate is not None
    for position, (number, line) in enumerate(lines):
        cells = _split(path, number, line, layout.separator)
        wanted = max(column for column in (rate, time, other, idle) if column is not None)
        if len(cells) <= wanted:
            raise ValueError(f"{path}:{number}: got {len(cells)} columns; valid: at least {wanted + 1}")
        if cells[rate].lower() in _MISSING:
            continue
        value = _number(path, number, cells[rate])
        at_s = float(position) if time is None else _time_s(path, number, cells[time], layout.time_format)
        backwards = math.nan
        if other is not None and cells[other].lower() not in _MISSING:
            backwards = _number(path, number, cells[other])
        is_idle = idle is not None and layout.idle is not None and cells[idle] == layout.idle[1]
        yield Row(number, at_s, value, backwards, is_idle)


def _split(path: Path, number: int, line: str, separator: str) -> list[str]:
    return line.split() if separator == " " else csv_cells(line, path, number, separator)


def _index(path: Path, header: list[str], column: str | int | None, is_optional: bool = False) -> int | None:
    if column is None or isinstance(column, int):
        return column
    if column in header:
        return header.index(column)
    if is_optional:
        return None
    raise ValueError(f"{path}: no column {column!r}; valid: {', '.join(header) or 'the file is empty'}")


def _number(path: Path, line: int, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{path}:{line}: expected a number >= 0, got {cell!r}")
    return value


def _time_s(path: Path, line: int, cell: str, time_format: str) -> float:
    try:
        if time_format == "iso":
            stamp = datetime.fromisoformat(cell)
            return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
        if time_format == "ucc":
            return datetime.strptime(cell, _UCC_TIME).replace(tzinfo=UTC).timestamp()
        time_s = float(cell) * _TIME_SCALES[time_format]
    except ValueError:
        time_s = math.nan
    if not math.isfinite(time_s):
        raise ValueError(f"{path}:{line}: expected a time as {time_format!r}, got {cell!r}")
    return time_s


def read_mahimahi(path: Path, bin_s: float) -> list[Row]:
    """Rates of a Mahimahi packet-delivery trace: opportunities of 1500 bytes counted in bins of `bin_s`."""
    times_ms: list[int] = []
    for number, line in read_lines(path):
        if not (line.isascii() and line.isdigit()):
            raise ValueError(f"{path}:{number}: expected a whole number of milliseconds, got {line!r}")
        times_ms.append(int(line))
    if not times_ms or not times_ms[-1]:
        raise ValueError(f"{path}: the trace is empty")
    counts = [0] * math.ceil(times_ms[-1] * 1e-3 / bin_s)
    for time_ms in times_ms:
        counts[min(int(time_ms * 1e-3 / bin_s), len(counts) - 1)] += 1
    rate = OPPORTUNITY_BITS / bin_s * 1e-6
    return [Row(0, index * bin_s, count * rate, math.nan, False) for index, count in enumerate(counts)]
