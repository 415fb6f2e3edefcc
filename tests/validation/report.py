"""The validation table on a terminal, as JSON, and as a page of the documentation."""

from __future__ import annotations

import json
import re
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

Of measured prices the file `tests/compute/measured_points.csv` has every point with its source, and says of each
whether anything was fitted with it in sight. Vectors of other implementations lie beside the tests that hold them.
"""
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
# Named as owner/name.
_REPOSITORIES = (
    "microsoft/vidur",
    "ml-energy/leaderboard",
    "XiongjieDai/GPU-Benchmarks-on-LLM-Inference",
    "john-rocky/apple-silicon-llm-bench",
)
_GITHUB = re.compile(rf"\b({'|'.join(_REPOSITORIES)})\b")
# What papers call their schemes, or who wrote them, so that a row can be read without looking each number up.
_PAPERS = {
    "2211.17192": "Leviathan et al.",
    "2302.01318": "Chen et al.",
    "2305.09781": "SpecInfer",
    "2310.15141": "SpecTr",
    "2401.06706": "MCSD",
    "2412.12687": "U-HLM",
    "2505.11788": "CU-HLM",
    "2505.17052": "SpecEdge",
    "2506.09397": "SLED",
    "2507.00605": "QSV",
    "2507.12000": "DSSD",
    "2509.04576": "TK-SLT",
    "2510.19705": "HSD",
    "2512.16273": "TSLT",
    "2603.19133": "PicoSpec",
    "2605.10124": "GELATO",
    "2606.04581": "Multi-SPIN",
    "2606.20591": "UCB-SpecStop",
    "2606.25091": "break-even round trip",
    "2608.04974": "AsymSpec",
}


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
    cells = (value_text(row["expected"]), value_text(row["got"]), row["tolerance"], row["verdict"])
    return f"| {_cell(row['what'])}{note} | {_linked(_cell(row['source']))} | {' | '.join(map(_cell, cells))} |"


def _linked(source: str) -> str:
    """A source with links to papers and repositories, papers with what they are called."""

    def paper(match: re.Match[str]) -> str:
        name = _PAPERS.get(match[1], "")
        called = f" ({name})" if name and name not in source else ""
        return f"[arXiv {match[1]}](https://arxiv.org/abs/{match[1]}){called}"

    return _GITHUB.sub(r"[\1](https://github.com/\1)", _ARXIV.sub(paper, source))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
