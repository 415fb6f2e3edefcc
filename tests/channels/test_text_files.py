"""The one reader of text files: byte order marks, line ends, numbers within bounds, and messages with file and line."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from channels.text_files import (
    TextFileError,
    has_suffix,
    number_in,
    parse_json,
    read_lines,
    read_records,
    read_table,
    read_text,
)


def written(folder: Path, content: str | bytes, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffone\u2028still\r\n\n  \ntwo\x0c\x1c\x85\u2029x\rstill\nthree")
    assert list(read_lines(path)) == [
        (1, "one\u2028still"),
        (4, "two\x0c\x1c\x85\u2029x\rstill"),
        (5, "three"),
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "dir.x/a.Csv"])
def test_suffixes_count_in_small_and_capital_letters(name: str) -> None:
    assert has_suffix(name, ".csv")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"good\nbad \xff\n", "file.txt:2: cannot be read as UTF-8 text: byte 0xff"),
        (b"\xff\xfea\x00", "file.txt:1: cannot be read as UTF-8 text"),
    ],
)
def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(TextFileError) as caught:
        list(read_lines(written(tmp_path, content)))
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["missing.txt", ".", "a\x00b"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(TextFileError, match="cannot be read"):
        list(read_lines(tmp_path / name))


@pytest.mark.parametrize("how", ["a pipe", "a socket", "a device"])
def test_what_may_never_end_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("a pipe")
    socket.socket(socket.AF_UNIX).bind("a socket")
    Path("a device").symlink_to("/dev/zero")
    with pytest.raises(TextFileError, match=f"is {how}; only regular files are read"):
        read_text(how)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "beyond the range of numbers"),
        ("9" * 5000, "beyond 64 bits"),
        ('{"a": 1, "a": 2}', "key 'a' is given twice"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 50_000, "nested too deeply"),
        ("{'a': 1}", "not JSON"),
    ],
)
def test_json_that_is_refused(text: str, says: str) -> None:
    with pytest.raises(TextFileError, match=says) as caught:
        parse_json(text, "file.json", 7)
    assert caught.value.line == 7


def test_json_keeps_what_is_a_character() -> None:
    assert parse_json('["\\ud83d\\ude00", "\u2028"]', "x") == ["\U0001f600", "\u2028"]


def records(folder: Path, text: str) -> list[Any]:
    return [value for value, _ in read_records(written(folder, text, "a.jsonl"))]


def test_records_are_lines_or_the_entries_of_one_list(tmp_path: Path) -> None:
    assert records(tmp_path, '\ufeff{"t": "a\u2028b"}\r\n\n[1]\n') == [{"t": "a\u2028b"}, [1]]
    assert records(tmp_path, '[\n {"a":\n 1},\n 2\n]\n') == [{"a": 1}, 2]
    with pytest.raises(TextFileError, match=r"a\.jsonl:3: not JSON"):
        records(tmp_path, "1\n2\n{\n")


def test_a_table(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeff# made by hand\r\ntime_s, device ,note\r\n\r\n 1 ,0,"a, b"\r\n2,,x\r\n')
    assert list(read_table(path, ["time_s"], ["device"])) == [
        (4, {"time_s": "1", "device": "0", "note": "a, b"}),
        (5, {"time_s": "2", "device": "", "note": "x"}),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("time\n1\n", "file.csv:1: expected the columns time_s"),
        ("time_s,time_s\n1,2\n", "file.csv:1: expected the columns time_s"),
        ("time_s,Device\n1,2\n", "file.csv:1: unknown column 'Device' (did you mean 'device'?)"),
        ("time_s\n1\n1,2\n", "file.csv:3: got 2 cells; valid: 1"),
        ('time_s\n"1\n', "file.csv:2: not a line of comma-separated values"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TextFileError) as caught:
        list(read_table(written(tmp_path, text, "file.csv"), ["time_s"], ["device"]))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-inf", "1e999", "-1", "1e300", "x", "", "1_0", "\u0661", "infinity", "0x1"]
)
def test_numbers_are_finite_and_bounded_where_they_are_read(cell: str) -> None:
    with pytest.raises(TextFileError, match=r"f:3: time_s must be a finite number, 0 to 1e\+06"):
        number_in(cell, "time_s", 0, 1e6, "f", 3)
    assert number_in("1e-1", "time_s", 0, 1e6, "f", 3) == 0.1
