"""Mutations of text, bytes and nested values, drawn from a seeded source: the same seed gives the same mutants."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

# Values that schemas, parsers and arithmetic stumble over.
NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 1 << 31, 1 << 63, -(1 << 63), 1 << 64, 10**30, 0.0, -0.0, 0.5, -1.5, 1e-300,
    1e300,
    float("inf"), float("-inf"), float("nan"), "", " ", "0", "1e-1", "1e400", "nan", "inf", "yes", "no", "null", "~",
    "auto", "none", "fixed", "shannon", "nr", "trace", "tslt", "dsd", "hsd", "gumbel", "embedded", "embedded/draft",
    "no/such/file.csv", "/dev/null", "..", "a:b", "os:system", "module:Name", "x" * 5000, "\x00", "\u202e", "\ud7ff",
    "é",
    "$x_$", "=1+1", "<b>", "\x1b[31m", [], {}, [None], [1, 2], [1, "a"], [[]], {"a": 1}, {"kind": "fixed"},
    {"name": "tslt"}, {"from": 1, "to": 2, "points": 3}, {"from": 1, "to": 2, "points": 10**9}, [0] * 100,
]  # fmt: skip
YAML_BITS = [
    "&a", "*a", "<<: *a", "!!python/object/apply:os.system [ls]", "!!binary aGk=", "%YAML 1.2", "---", "...", "? a",
    "- ",
    ": ", "#", "|", ">", "{", "}", "[", "]", "'", '"', "\t", "\r", "\ufeff", "\u2028", "\x07", ",", "1_000", "0x10",
    "0o7",
    "10:20", "1e3", "-.inf", ".nan", "2001-01-01", "=", "@", "`", "!!set {a}", "!!omap [a: 1]", "  " * 40 + "x",
]  # fmt: skip
TEXT_BITS = [
    "\x00", "\ufeff", "\r", "\n\n", "\u2028", "\x85", "nan", "inf", "-1", "1e400", "1e-400", "9" * 400, "0x1p3",
    "1_0", ",",
    ",,", ";", '"', "'", "{", "}", "[" * 300, "null", "true", "time_s", "mbps", "device", "\\u0000", "é", "=1+1", "#",
]  # fmt: skip


def mutate_value(value: Any, rng: random.Random, others: list[str]) -> Any:
    """A copy of nested values with one to four changes at random places.

    Args:
        value: Nested mappings and lists.
        rng: Draws.
        others: Keys that may be put in, or put in place of others.
    """
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(value))
        if not places:
            return rng.choice(NASTY)
        holder, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.55:
            holder[key] = _changed(holder[key], rng)
        elif kind < 0.7:
            del holder[key]
        elif kind < 0.85 and isinstance(holder, dict):
            holder[_misspelt(str(key), rng) if rng.random() < 0.5 else rng.choice(others)] = holder.pop(key)
        elif isinstance(holder, dict):
            holder[rng.choice(others)] = copy.deepcopy(rng.choice(NASTY))
        else:
            other, other_key = rng.choice(places)
            holder[key] = copy.deepcopy(other[other_key])
    return value


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from _places(value[index])


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        other = float(min(max(value, -1e308), 1e308))  # whole numbers may be of any size
        whole = int(other) if math.isfinite(other) else 0
        return rng.choice((-value, other * 1000, other / 1000, value + 1, other, str(value), [value], whole))
    return copy.deepcopy(rng.choice(NASTY))


def _misspelt(key: str, rng: random.Random) -> str:
    place = rng.randrange(len(key) + 1)
    return rng.choice((key[:place] + key[place + 1 :], key.upper(), key.replace("_", "-"), key + "s", f" {key}"))


def mutate_text(text: str, rng: random.Random, bits: list[str]) -> str:
    """A text with one to four changes: lines and characters that are dropped, doubled, swapped or put in."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        lines = text.split("\n")
        line = rng.randrange(len(lines))
        place = rng.randrange(len(text) + 1)
        match rng.randrange(7):
            case 0:
                del lines[line]
                text = "\n".join(lines)
            case 1:
                lines.insert(line, lines[line])
                text = "\n".join(lines)
            case 2:
                other = rng.randrange(len(lines))
                lines[line], lines[other] = lines[other], lines[line]
                text = "\n".join(lines)
            case 3:
                text = text[:place] + text[place + rng.randint(1, 6) :]
            case 4:
                text = text[:place]
            case _:
                text = text[:place] + rng.choice(bits) + text[place:]
    return text


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one to four changes: bits, runs that are dropped, doubled or overwritten, an end that is cut off."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not data:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
        place = rng.randrange(len(data))
        length = min(len(data) - place, rng.choice((1, 1, 2, 4, 8, 64)))
        match rng.randrange(6):
            case 0:
                data = data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
            case 1:
                data = data[:place] + data[place + length :]
            case 2:
                data = data[: place + length] + data[place:]
            case 3:
                data = data[:place] + bytes(rng.randrange(256) for _ in range(length)) + data[place + length :]
            case 4:
                data = data[:place] + rng.choice((b"\xff", b"\x00")) * length + data[place + length :]
            case _:
                data = data[:place]
    return data
