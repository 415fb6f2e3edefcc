"""What people see: tables and progress bars on stderr, JSON alone on stdout."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

# Without a terminal there is no width to fit; wide enough that no column name is broken.
error_console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 140)


def say(message: str) -> None:
    """One line for people."""
    error_console.print(message, soft_wrap=True, markup=False)


def print_json(value: Any) -> None:
    """JSON on stdout; not-a-number becomes null."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: plain(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [plain(inner) for inner in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    json.dump(plain(value), sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table under its title; numbers right-aligned with three significant digits."""
    # As a line of its own the title is not broken to the width of a narrow table.
    error_console.print()
    error_console.print(title, style="bold", soft_wrap=True, markup=False)
    table = _table(columns, rows)
    if table.__rich_measure__(error_console, error_console.options).maximum > error_console.width:
        # Too narrow for whole names: better broken at their joints than within a word.
        table = _table([re.sub(r"(?<=[._])(?=.)", "\n", column) for column in columns], rows)
    error_console.print(table)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) or re.fullmatch(r"[\d.]+%", str(row[index])) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(format_value(value) for value in row))
    return table


def format_value(value: Any) -> str:
    """A table's cell."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class ProgressBars:
    """Progress on stderr, one bar per kind of work; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=error_console,
            disable=not sys.stderr.isatty(),
            # Pieces come in lumps of many requests; a shorter memory would swing with each of them.
            speed_estimate_period=120.0,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` pieces of a kind of work are done."""
        if what not in self._tasks:
            # What was done before, by a sweep that is resumed, took none of this time and says nothing of what is left.
            self._tasks[what] = self._progress.add_task(what, total=total, completed=done)
        self._progress.update(self._tasks[what], completed=done, total=total)
