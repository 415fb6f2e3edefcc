"""YAML 1.2: what plain scalars are, merge keys, lines of messages, and texts that are too much of anything."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sim.compute.data_files import FOLDER
from sim.core import yaml_text
from sim.core.yaml_text import YamlError, read_document, read_table_values, read_values, write_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-1", 0.1),
        ("1E+2", 100.0),
        ("1e3", 1000.0),
        (".5e3", 500.0),
        ("1.", 1.0),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("08", 8),
        ("+1", 1),
        ("~", None),
        ("", None),
        ("True", True),
        # Numbers, booleans and dates of YAML 1.1 are strings.
        ("10:2:2", "10:2:2"),
        ("6:4:4", "6:4:4"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("'1'", "1"),
        ("1e", "1e"),
        ("e3", "e3"),
        ("1.2.3", "1.2.3"),
        ("!!str 1e3", "1e3"),
        ("!!float 3", 3.0),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    for document in (f"key: {text}\n", f"key: [{text}]\n" if text else "key:\n"):
        got = read_values(document)["key"]
        got = got[0] if isinstance(got, list) else got
        assert got == value and type(got) is type(value)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_tables_that_ship_are_read_alike_by_the_fast_parser(path) -> None:
    text = path.read_text(encoding="utf-8")
    # Representations tell numbers from texts, and have the order of keys.
    assert repr(read_table_values(text)) == repr(read_values(text))


def test_the_fast_parser_follows_the_core_schema() -> None:
    text = "[1e-1, 10:2:2, yes, 0o17, 017, ~, True, 1_000, 2001-01-01, .5e3, '1', {a: &b {c: 1}, <<: *b, d: x}]"
    assert repr(read_table_values(text)) == repr(read_values(text))


def test_infinities_are_read_and_left_to_the_schema() -> None:
    assert read_values("[.inf, -.INF]") == [math.inf, -math.inf]
    assert math.isnan(read_values(".NaN"))


def test_a_version_line_changes_nothing() -> None:
    assert read_values("%YAML 1.1\n---\na: yes\nb: 1:30\n") == {"a": "yes", "b": "1:30"}


def test_a_mappings_own_keys_win_over_merged_ones_and_keep_their_lines() -> None:
    text = "base: &base\n  a: 1\n  b: 2\nmore: &more {b: 3, c: 4}\nuse:\n  a: 9\n  <<: [*base, *more]\n  c: 8\n"
    values, lines = read_document(text)
    assert values["use"] == {"a": 9, "b": 2, "c": 8}
    assert [lines["use", key] for key in "abc"] == [6, 3, 8]


def test_lines_of_keys_and_entries() -> None:
    values, lines = read_document("# comment\na:\n- 1\n- {b: 2}\n\nc: [3,\n  4]\n")
    assert values == {"a": [1, {"b": 2}], "c": [3, 4]}
    assert [lines[at] for at in [("a",), ("a", 0), ("a", 1, "b"), ("c",), ("c", 1)]] == [2, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' is given twice"),
        ("a:\n  1: x\n  0x1: y\n", 3, "key 1 is given twice"),
        ("a: *b\n", 1, "undefined alias"),
        ("a: &a [*a]\n", 1, "stands within what it names"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 1\nb: \x00\n", 2, "control characters"),
        ("x: 1\n? [1]\n: 2\n", 2, "a key must be one word"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "is of more than plain values"),
        ("a: !!timestamp 2001-01-01\n", 1, "tag '!!timestamp' is of more than plain values"),
        ("a: !!binary aGk=\n", 1, "is of more than plain values"),
        ("a: !!set {x}\n", 1, "is of more than plain values"),
        ("a: !!int x\n", 1, "'x' is no int"),
        ("a: 1\nb: 99999999999999999999999\n", 2, "beyond 64 bits"),
        ("a: 0x" + "f" * 1000, 1, "beyond 64 bits"),
        ('a: 1\nb: "\\U00110000"\n', 2, ""),
        ("a: 1\nb: {<<: 3}\n", 2, "a merge key << takes a mapping"),
    ],
)
def test_what_is_refused_is_told_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(YamlError) as caught:
        read_document(text)
    assert caught.value.line == line
    assert says in caught.value.problem


def _bomb(links: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, links)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_bomb(9), "aliases counted as what they stand for"),
        ("a: &a {k: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [*a, *a], k: 2}}\n" for i in range(9)), None),
        (
            "m0: &m0 {k: 1}\n" + "".join(f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}]}}\n" for i in range(1, 60)),
            "aliases counted as what they stand for",
        ),
        ("".join(f"{' ' * i}a:\n" for i in range(300)), "nested deeper than 64 levels"),
        ("[" * 100_000, "nested deeper than 64 levels"),
        ("- " * 50_000, "nested deeper than 64 levels"),
        ("? " * 50_000, "nested deeper than 64 levels"),
        ("a: [" + "1," * yaml_text.MAX_NODES + "1]", "keys and values"),
        ("#" * (yaml_text.MAX_CHARS + 1), "characters; valid: at most"),
    ],
)
def test_texts_that_are_too_much_are_refused_while_they_are_read(text: str, says: str | None) -> None:
    if says is None:
        read_document(text)
        return
    with pytest.raises(YamlError, match=says):
        read_document(text)


def test_what_is_written_reads_back_equal() -> None:
    values = {
        "a": ["1e-1", "10:2:2", "yes", "null", "~", "", " x ", "#", "a: b", "'", "\u2028", "0x1", "<<", "*a", "=1+1"],
        "b": [1, 0.1, 1e-9, 1e300, True, False, None, [], {}, [[1], {"c": 2}]],
        "<<": 1,
        "1": 2,
        "null": 3,
        "1e3": 4,
    }
    assert read_values(write_values(values)) == values
