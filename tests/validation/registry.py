"""Rows of the validation table, and the registry of the functions that make them."""

from __future__ import annotations

import importlib
import math
import pkgutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Value = float | int | str | bool | Sequence[Any] | None

SECTIONS = (
    "decoding laws",
    "closed forms",
    "3GPP vectors and calibration",
    "link-level chain",
    "queueing",
    "prices against measured hardware",
    "energy",
    "published systems",
)
"""The sections in the order in which they are printed."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: What is compared, with its unit.
        source: Where the expected value comes from.
        expected: The value that the source gives; None where the source does not give enough.
        got: The value that the simulator gives.
        tolerance: By how much the two may differ, in words.
        ok: Whether they agree; None where there is nothing to compare.
        note: Why a tolerance is what it is, what a source lacks, or why a known deviation is there.
        deviates: Whether the note explains a known deviation: the row must then *not* agree.
        section: Set by the registry.
    """

    what: str
    source: str
    expected: Value
    got: Value
    tolerance: str
    ok: bool | None
    note: str = ""
    deviates: bool = False
    section: str = field(default="", compare=False)

    @property
    def verdict(self) -> str:
        """``agrees``, ``DISAGREES``, ``deviates`` (known and explained) or ``not comparable``."""
        if self.ok is None:
            return "not comparable"
        if self.deviates:
            return "deviates" if not self.ok else "AGREES, and is listed as deviating"
        return "agrees" if self.ok else "DISAGREES"

    @property
    def is_as_stated(self) -> bool:
        """Whether the row says what it should: it agrees, deviates as explained, or cannot be compared."""
        return self.ok is None or self.ok != self.deviates

    def to_json(self) -> dict[str, Any]:
        """The row as ``results/reference/validation.json`` holds it."""
        return {
            "section": self.section,
            "what": self.what,
            "source": self.source,
            "expected": _plain(self.expected),
            "got": _plain(self.got),
            "tolerance": self.tolerance,
            "ok": self.ok,
            "verdict": self.verdict,
            "note": self.note,
        }


RowMaker = Callable[[], Iterable[Row]]


@dataclass(frozen=True)
class Maker:
    """A function that yields rows of a section.

    Attributes:
        section: Which section its rows belong to.
        make: The function.
        is_fast: Whether it belongs to the subset that runs in under a minute.
    """

    section: str
    make: RowMaker
    is_fast: bool


MAKERS: list[Maker] = []


def section(name: str, fast: bool = True) -> Callable[[RowMaker], RowMaker]:
    """Decorator: the rows that a function yields belong to a section.

    Args:
        name: One of ``SECTIONS``.
        fast: Whether its rows are made within a second or so; others are left out of ``--fast``.
    """
    if name not in SECTIONS:
        raise ValueError(f"unknown section {name!r}; valid: {', '.join(SECTIONS)}")

    def enter(make: RowMaker) -> RowMaker:
        MAKERS.append(Maker(name, make, fast))
        return make

    return enter


def makers() -> list[Maker]:
    """All row makers, by section and in the order of their definition."""
    package = importlib.import_module("tests.validation")
    for module in sorted(found.name for found in pkgutil.iter_modules(package.__path__)):
        if not module.startswith(("_", "test_")):
            importlib.import_module(f"tests.validation.{module}")
    return sorted(MAKERS, key=lambda maker: SECTIONS.index(maker.section))


def run(
    fast: bool = False, only: Sequence[str] = (), took: Callable[[Maker, float], None] | None = None
) -> Iterator[Row]:
    """Make the rows.

    Args:
        fast: Leave out what takes longer than a second or so.
        only: Sections or names of functions; all if empty.
        took: Told how many seconds of processor time each function took.
    """
    for maker in makers():
        if fast and not maker.is_fast:
            continue
        if only and maker.section not in only and maker.make.__name__ not in only:
            continue
        start_s = time.process_time()
        made = [replace(row, section=maker.section) for row in maker.make()]
        if took is not None:
            took(maker, time.process_time() - start_s)
        yield from made


# ---- rows ------------------------------------------------------------------------------------------------------------


def near(
    what: str,
    source: str,
    expected: float | Sequence[float],
    got: float | Sequence[float],
    *,
    abs: float | None = None,
    rel: float | None = None,
    note: str = "",
    deviates: bool = False,
) -> Row:
    """A row whose numbers must agree within an absolute or a relative tolerance, each of them if there are several."""
    if (abs is None) == (rel is None):
        raise ValueError("give one of abs and rel")
    pairs = list(zip(_numbers(expected), _numbers(got), strict=True))
    if abs is not None:
        ok = all(math.fabs(value - wanted) <= abs for wanted, value in pairs)
        tolerance = f"± {abs:g}"
    else:
        assert rel is not None
        ok = all(math.fabs(value - wanted) <= rel * math.fabs(wanted) for wanted, value in pairs)
        tolerance = f"± {100 * rel:g} %"
    return Row(what, source, expected, got, tolerance, ok, note, deviates)


def same(what: str, source: str, expected: Value, got: Value, note: str = "", deviates: bool = False) -> Row:
    """A row whose values must be equal."""
    return Row(what, source, expected, got, "equal", _plain(expected) == _plain(got), note, deviates)


def between(what: str, source: str, low: float, high: float, got: float, note: str = "", deviates: bool = False) -> Row:
    """A row whose value must lie in an interval; infinite ends are bounds on one side."""
    if math.isinf(low):
        expected = f"at most {high:g}"
    elif math.isinf(high):
        expected = f"at least {low:g}"
    else:
        expected = f"{low:g} to {high:g}"
    return Row(what, source, expected, got, "bounds", bool(low <= got <= high), note, deviates)


def within_factor(
    what: str, source: str, expected: float, got: float, factor: float, note: str = "", deviates: bool = False
) -> Row:
    """A row whose value must be neither more than so many times the expected one nor less than that part of it."""
    ok = bool(expected / factor <= got <= expected * factor)
    return Row(what, source, expected, got, f"factor {factor:g}", ok, note, deviates)


def missing(what: str, source: str, lacks: str) -> Row:
    """A published figure that cannot be rebuilt, and what the source would have to say for that."""
    return Row(what, source, None, None, "", None, lacks)


def _numbers(values: float | Sequence[float]) -> list[float]:
    return [float(value) for value in values] if isinstance(values, Sequence) else [float(values)]


def _plain(value: Any) -> Any:
    """A value of Python's own types, as JSON has them."""
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
