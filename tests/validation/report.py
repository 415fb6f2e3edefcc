"""The validation table on a terminal, as JSON, and as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.validation.registry import SECTIONS, Row

_VALUES_SHOWN = 6
_INTRODUCTION = """\
# Validation

Every row holds a figure of the simulator against one from outside it: a table of a standard, a vector of another
implementation, a paper, or arithmetic that does not use the simulator's code. `make validate` makes this page anew
(`python -m tests.validation`); the rows are also in `results/reference/validation.json`.

A row *agrees* within its tolerance, *deviates* where the difference is known and its note says why, or is
*not comparable* where the source does not state what the figure depends on; such a row says what is missing.
"""


def value_text(value: Any) -> str:
    """A value as people read it: numbers with up to six significant digits, long lists cut."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, Sequence):
        shown = ", ".join(value_text(item) for item in value[:_VALUES_SHOWN])
        left_out = len(value) - _VALUES_SHOWN
        return f"{shown}, … ({left_out} more)" if left_out > 0 else shown
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u2009") if abs(value) >= 100_000 else str(value)
    return f"{value:.6g}"


def print_rows(rows: Iterable[Row]) -> list[Row]:
    """Print rows as they are made, a table per section; returns them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    by_section: dict[str, list[Row]] = {}
    for row in rows:
        by_section.setdefault(row.section, []).append(row)
    made = []
    for name in SECTIONS:
        found = by_section.get(name, [])
        if not found:
            continue
        table = Table(title=name.capitalize(), title_justify="left", title_style="bold", expand=False)
        for column in ("what", "source", "expected", "got", "tolerance", "verdict"):
            table.add_column(column, overflow="fold")
        for row in found:
            cells = (row.what, row.source, value_text(row.expected), value_text(row.got), row.tolerance, row.verdict)
            table.add_row(*map(escape, cells))
        console.print(table)
        made += found
    return made


def counts(rows: Sequence[Row]) -> str:
    """How many rows agree, deviate, cannot be compared and disagree, in words."""
    agree = sum(row.ok is True and not row.deviates for row in rows)
    deviate = sum(row.deviates and row.is_as_stated for row in rows)
    open_ = sum(row.ok is None for row in rows)
    wrong = sum(not row.is_as_stated for row in rows)
    return f"{len(rows)} rows: {agree} agree, {deviate} deviate as explained, {open_} not comparable, {wrong} disagree"


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([row.to_json() for row in rows], indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page of the documentation, in Markdown.

    Args:
        rows: As in ``validation.json``.
    """
    parts = [_INTRODUCTION, _summary(rows)]
    for name in SECTIONS:
        found = [row for row in rows if row["section"] == name]
        if not found:
            continue
        parts.append(f"## {name[:1].upper()}{name[1:]}\n")
        parts.append("| what | source | expected | got | tolerance | verdict |\n|---|---|---|---|---|---|")
        parts += [_line(row) for row in found]
        parts.append("")
    return "\n".join(parts) + "\n"


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| section | rows | agree | deviate | not comparable |", "|---|---|---|---|---|"]
    for name in SECTIONS:
        found = [row["verdict"] for row in rows if row["section"] == name]
        if found:
            numbers = (len(found), *(found.count(verdict) for verdict in ("agrees", "deviates", "not comparable")))
            lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    note = f"<br><small>{_cell(row['note'])}</small>" if row["note"] else ""
    cells = (row["source"], value_text(row["expected"]), value_text(row["got"]), row["tolerance"], row["verdict"])
    return f"| {_cell(row['what'])}{note} | {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
