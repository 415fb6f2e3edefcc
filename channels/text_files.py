"""The one reader of text files: UTF-8 with or without a byte order mark, lines that end at a line feed, bounded values.

Only regular files are read: a scenario's files are looked at before a run and read again by it, and a pipe without a
writer would never answer.

Every message names the file and, where there is one, the line. Line separators of Unicode (U+2028 and its like) are
characters of a line, as JSON has them; a carriage return before a line feed belongs to the line's end.
"""

from __future__ import annotations

import csv
import difflib
import json
import math
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# More than any trace or set of prompts has; what is larger is another kind of file.
MAX_BYTES = 1 << 28
JSON_LINES = (".jsonl", ".ndjson")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_INT = 1 << 64
# A number as scenarios and tables have it; Python's own reader takes 1_000, digits of every script and "infinity", too.
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_KINDS = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))


class TextFileError(ValueError):
    """A file that cannot be used.

    Attributes:
        path: Which file.
        problem: What is wrong.
        line: Where, counted from 1; None if it is the file as a whole.
    """

    def __init__(self, path: Path | str, problem: str, line: int | None = None) -> None:
        super().__init__(str(path), problem, line)
        self.path = path
        self.problem = problem
        self.line = line

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.line is None else f"{self.path}:{self.line}: {self.problem}"


def has_suffix(path: Path | str, *suffixes: str) -> bool:
    """Whether a file's name ends in one of these suffixes, such as ``.csv``, in small or capital letters."""
    return Path(path).suffix.lower() in suffixes


def reading_format(path: Path | str) -> str:
    """What a file's name says of how it is read: ``.csv``, ``.json`` or ``.jsonl``; of any other name nothing."""
    suffix = Path(path).suffix.lower()
    if suffix in JSON_LINES:
        return JSON_LINES[0]
    return suffix if suffix in (".csv", ".json") else ""


def check_regular(path: Path | str) -> None:
    """Refuse a pipe, a socket or a device, of which reading may never end; what is missing or a folder passes.

    Raises:
        TextFileError: It is one.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return  # Opening it says what is wrong.
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise TextFileError(path, f"is a {kind}; only regular files are read")


def read_text(path: Path | str, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file, without its byte order mark.

    Args:
        path: File to read.
        max_bytes: What it may hold.

    Raises:
        TextFileError: It is no regular file, cannot be read, is larger, or is no UTF-8.
    """
    check_regular(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        # A path with a null byte is a ValueError.
        raise TextFileError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > max_bytes:
        raise TextFileError(path, f"is larger than {max_bytes} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TextFileError(path, f"cannot be read as UTF-8 text: byte {data[error.start]:#04x}", line) from error


def read_lines(path: Path | str) -> Iterator[tuple[int, str]]:
    """Lines that hold more than blanks, with their numbers from 1 and without their ends.

    Raises:
        TextFileError: As ``read_text``.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def parse_json(text: str, path: Path | str, line: int | None = None) -> Any:
    """JSON as the standard has it: finite numbers of at most 64 bits, no half of a surrogate pair, no key twice.

    Args:
        text: What to parse.
        path: Where it stands, for messages.
        line: Its line there, if it is one line.

    Raises:
        TextFileError: It is no such JSON.
    """
    try:
        value = json.loads(
            text, parse_constant=_no_number, parse_int=_whole, parse_float=_finite, object_pairs_hook=_once
        )
    except json.JSONDecodeError as error:
        raise TextFileError(path, f"not JSON: {error.msg}", line or error.lineno) from error
    except RecursionError as error:
        raise TextFileError(path, "not JSON that can be used: it is nested too deeply", line) from error
    except ValueError as error:
        raise TextFileError(path, f"not JSON that can be used: {error}", line) from error
    if _SURROGATE.search(text) or ("\\u" in text and _has_surrogate(value)):
        raise TextFileError(path, "holds half of a surrogate pair, which is no character", line)
    return value


def read_records(path: Path | str) -> Iterator[tuple[Any, str]]:
    """The entries of a JSON file and where they stand: one per line, or those of one list over any number of lines.

    Raises:
        TextFileError: The file cannot be read, or a line is no JSON.
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        for number, entry in enumerate(parse_json(text, path), start=1):
            yield entry, f"{path}, entry {number}"
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield parse_json(line, path, number), f"{path}:{number}"


def csv_cells(line: str, path: Path | str, number: int, separator: str = ",") -> list[str]:
    """Cells of a line of separated values, without surrounding blanks; none of a blank line.

    Args:
        line: One line without its end; no cell goes on in the next one.
        path: Its file, for messages.
        number: Of the line, from 1, for messages.
        separator: Between cells.

    Raises:
        TextFileError: The line has an open quotation, a carriage return in it, or a cell of over 131,072 letters.
    """
    try:
        (cells,) = csv.reader([line], delimiter=separator, strict=True) if line.strip() else ([],)
    except (csv.Error, ValueError) as error:
        kind = "comma" if separator == "," else repr(separator)
        reason = str(error).split(" - ")[0]
        raise TextFileError(path, f"not a line of {kind}-separated values: {reason}", number) from error
    return [cell.strip() for cell in cells]


def read_table(
    path: Path | str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file whose first line names the columns, with their lines; blank and ``#`` lines are left out.

    Args:
        path: File to read.
        columns: Names that must be there.
        optional: Names that may be; others are refused.

    Yields:
        Line and cells by column, without surrounding blanks; an empty cell is an empty text.

    Raises:
        TextFileError: The file cannot be read, a column is missing or unknown, or a row has too few or too many cells.
    """
    head: list[str] | None = None
    for number, line in read_lines(path):
        if line.lstrip().startswith("#"):
            continue
        cells = csv_cells(line, path, number)
        if head is None:
            head = cells
            _check_head(path, number, head, columns, optional)
        elif len(cells) != len(head):
            raise TextFileError(path, f"got {len(cells)} cells; valid: {len(head)}, as the first line has", number)
        else:
            yield number, dict(zip(head, cells, strict=True))
    if head is None:
        raise TextFileError(path, f"is empty; expected a first line {','.join(columns)}")


def parse_number(text: str) -> float:
    """The number that a cell holds, in the digits 0 to 9; NaN if it holds none.

    Examples:
        >>> parse_number("1.5e3"), parse_number("1_000"), parse_number("nan")
        (1500.0, nan, nan)
    """
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def number_in(text: str, name: str, low: float, high: float, path: Path | str, line: int) -> float:
    """A finite number within bounds from a cell.

    Raises:
        TextFileError: It is none, or out of bounds.
    """
    value = parse_number(text)
    if not low <= value <= high:
        bounds = f"{low:g} to {high:g}"
        raise TextFileError(path, f"{name} must be a finite number, {bounds}, got {text[:40]!r}", line)
    return value


def _check_head(
    path: Path | str, number: int, head: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> None:
    wanted = f"the columns {', '.join(columns)}" + (f" and, optionally, {', '.join(optional)}" if optional else "")
    missing = [name for name in columns if name not in head]
    if missing or len(set(head)) != len(head):
        raise TextFileError(path, f"expected {wanted}, got {','.join(head)[:80]!r}", number)
    absent = [name for name in optional if name not in head]
    for name in head:
        # Further columns are the file's own business, but not a misspelt one.
        near = [] if name in (*columns, *optional) else difflib.get_close_matches(name[:40].lower(), absent, n=1)
        if near:
            raise TextFileError(path, f"unknown column {name!r} (did you mean {near[0]!r}?); expected {wanted}", number)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _whole(text: str) -> int:
    if len(text) > 21 or abs(int(text)) > _MAX_INT:
        raise ValueError(f"{text[:40]} is beyond 64 bits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond the range of numbers")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)[:40]!r} is given twice")
    return found


def _has_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_surrogate(key) or _has_surrogate(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_surrogate(item) for item in value)
