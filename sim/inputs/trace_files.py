"""Traces of real services: when requests came, and how long prompts and answers were; most hold no text.

A trace's format is found by its columns or keys. One that is not understood is refused with the formats that are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from channels.text_files import TextFileError, csv_cells, has_suffix, parse_json, parse_number, read_lines, read_table
from sim.core.errors import InputError, shortened
from sim.core.wording import counted

MOONCAKE_BLOCK_TOKENS = 512
# Latest arrival that a file may name: over a week, from its first entry on.
MAX_ARRIVAL_S = 1e6
_MAX_TOKENS = 10_000_000
_MAX_STAMP_S = 1e12  # Dates count from some first moment.


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One request of a trace.

    Attributes:
        where: File and line, for messages.
        time_s: When it came, from the trace's first entry on where the trace has dates.
        prompt_tokens: Length of the prompt; None in a file of arrival times alone.
        output_tokens: Length of the answer, likewise.
        blocks: Numbers of the prompt's blocks of 512 tokens; equal numbers are equal text.
        device: Index of the device that asks, or None.
    """

    where: str
    time_s: float
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    blocks: tuple[int, ...] = ()
    device: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace that was understood.

    Attributes:
        format: What it is.
        entries: Ascending in time.
        left_out: How many of its rows stand for nothing that can be asked again, by reason.
    """

    format: str
    entries: tuple[TraceEntry, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What was left out, in words."""
        return [f"{counted(count, 'row')} left out: {reason}" for reason, count in self.left_out.items()]


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """A published format.

    Attributes:
        name: What messages call it.
        keys: Columns or keys by which it is known.
        read: Makes an entry of a row, given where it stands; a text says why the row is left out.
        optional: Columns that may be missing.
        has_dates: Whether its times are counted from the first entry on.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[Row, str], TraceEntry | str]
    optional: tuple[str, ...] = ()
    has_dates: bool = True


def _tokens(row: Row, key: str, min_tokens: int = 0) -> int:
    number = _number(row[key])
    if not min_tokens <= number <= _MAX_TOKENS or number != int(number):
        raise ValueError(f"{key} must be a whole number, {min_tokens} to {_MAX_TOKENS}, got {shortened(row[key])}")
    return int(number)


def _seconds(row: Row, key: str, unit_s: float = 1.0) -> float:
    number = _number(row[key]) * unit_s
    if not 0 <= number <= _MAX_STAMP_S:
        largest = f"{_MAX_STAMP_S / unit_s:g}"
        raise ValueError(f"{key} must be a finite number, 0 to {largest}, got {shortened(row[key])}")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool):
        return math.nan
    try:
        return parse_number(value.strip()) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _azure(row: Row, where: str) -> TraceEntry | str:
    stamp = str(row["TIMESTAMP"]).strip()
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError as error:
        raise ValueError(f"TIMESTAMP must be a date and a time, got {shortened(stamp)}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    prompt, output = _tokens(row, "ContextTokens"), _tokens(row, "GeneratedTokens")
    if prompt == 0 or output == 0:
        return "no tokens asked or answered"
    return TraceEntry(where, moment.timestamp(), prompt, output)


def _burst_gpt(row: Row, where: str) -> TraceEntry | str:
    prompt, output = _tokens(row, "Request tokens"), _tokens(row, "Response tokens")
    time_s = _seconds(row, "Timestamp")
    if output == 0:
        return "failed requests, without response tokens"
    return TraceEntry(where, time_s, prompt, output) if prompt else "no request tokens"


def _mooncake(row: Row, where: str) -> TraceEntry | str:
    blocks = row["hash_ids"]
    if not isinstance(blocks, list) or not all(type(number) is int for number in blocks):
        raise ValueError(f"hash_ids must be a list of whole numbers, got {shortened(blocks)}")
    prompt, output = _tokens(row, "input_length", 1), _tokens(row, "output_length")
    if len(blocks) < -(-prompt // MOONCAKE_BLOCK_TOKENS):
        raise ValueError(f"hash_ids names {len(blocks)} blocks of {MOONCAKE_BLOCK_TOKENS} tokens for {prompt} tokens")
    time_s = _seconds(row, "timestamp", 1e-3)
    return TraceEntry(where, time_s, prompt, output, tuple(blocks)) if output else "no tokens answered"


def _times(row: Row, where: str) -> TraceEntry | str:
    time_s, device = _seconds(row, "time_s"), row.get("device")
    if not device:
        return TraceEntry(where, time_s)
    number = _number(device)
    if not 0 <= number <= 1e9 or not number.is_integer():
        raise ValueError(f"device must be a whole number, 0 to 1e9, got {shortened(device)}")
    return TraceEntry(where, time_s, device=int(number))


CSV_FORMATS = (
    TraceFormat("Azure LLM inference trace", ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _azure),
    TraceFormat("BurstGPT", ("Timestamp", "Request tokens", "Response tokens"), _burst_gpt),
    TraceFormat("arrival times", ("time_s",), _times, ("device",), has_dates=False),
)
MOONCAKE = TraceFormat("Mooncake trace", ("timestamp", "input_length", "output_length", "hash_ids"), _mooncake)


def read_trace(path: Path, key: str) -> Trace:
    """Read a trace of any known format.

    Args:
        path: Where it lies.
        key: The scenario's key that names it, for messages.

    Raises:
        InputError: It cannot be read, is of no known format, has a broken row, or none that can be used.
    """
    try:
        trace = _read_csv(path) if has_suffix(path, ".csv") else _read(path, MOONCAKE, _json_rows(path))
    except TextFileError as error:
        raise InputError(str(error), key) from error
    if not trace.entries:
        raise InputError("; ".join([f"{path} holds no request", *trace.notes]), key)
    return trace


def name_of_csv_trace(first_line: str) -> str | None:
    """Name of the format whose columns a line holds, None if it is that of none."""
    cells = {cell.strip() for cell in first_line.split(",")}
    found = [one.name for one in CSV_FORMATS if len(one.keys) > 1 and set(one.keys) <= cells]
    return found[0] if found else None


def _read_csv(path: Path) -> Trace:
    number, line = next(((n, text) for n, text in read_lines(path) if not text.lstrip().startswith("#")), (1, ""))
    columns = csv_cells(line, path, number)
    for one in CSV_FORMATS:
        if set(one.keys) <= set(columns):
            return _read(path, one, read_table(path, one.keys, one.optional))
    raise TextFileError(path, f"columns {', '.join(columns)[:200]!r} are of no known trace; {_formats_text()}", number)


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in read_lines(path):
        row = parse_json(line, path, number)
        if not isinstance(row, dict):
            raise TextFileError(path, f"expected an object of keys and values, got {shortened(row)}", number)
        if missing := [key for key in MOONCAKE.keys if key not in row]:
            raise TextFileError(path, f"a line of a {MOONCAKE.name} has {', '.join(missing)}, too", number)
        yield number, row


def _read(path: Path, chosen: TraceFormat, rows: Iterator[tuple[int, Row]]) -> Trace:
    entries: list[TraceEntry] = []
    left_out: dict[str, int] = {}
    for line, row in rows:
        try:
            entry = chosen.read(row, f"{path}:{line}")
        except ValueError as error:
            raise TextFileError(path, str(error), line) from error
        if isinstance(entry, str):
            left_out[entry] = left_out.get(entry, 0) + 1
        else:
            entries.append(entry)
    entries.sort(key=lambda entry: entry.time_s)
    first_s = entries[0].time_s if chosen.has_dates and entries else 0.0
    entries = [replace(entry, time_s=entry.time_s - first_s) for entry in entries]
    for entry in entries[-1:]:
        if entry.time_s > MAX_ARRIVAL_S:
            raise TextFileError(
                path, f"the last request comes after {entry.time_s:g} s; valid: up to {MAX_ARRIVAL_S:g}"
            )
    return Trace(chosen.name, tuple(entries), left_out)


def _formats_text() -> str:
    """The formats that are understood, for messages."""
    of_csv = [f"{one.name} ({', '.join(one.keys)})" for one in CSV_FORMATS]
    return f"valid: {'; '.join(of_csv)}; JSON lines of a {MOONCAKE.name} ({', '.join(MOONCAKE.keys)})"
