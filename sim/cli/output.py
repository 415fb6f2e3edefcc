"""What people see: results on stdout, as a table, JSON or CSV; progress and remarks on stderr.

Texts may come from files that someone else has written: whatever would steer a terminal is shown as its escape, and
a CSV cell that a spreadsheet would take for a formula is marked as text.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sim.cli.terminal import inert
from sim.core.addresses import digest
from sim.figures.labels import significant
from sim.results.csv_file import csv_text

if TYPE_CHECKING:
    from sim.scenario.schema import Scenario

# Seconds between two lines of progress where stderr is no terminal.
PROGRESS_S = 30.0
# Without a terminal there is no width to fit; wide enough that no column name is broken.
_WIDTH = 140
# Characters of a line of a head where heads are broken, tried in this order.
_HEAD_WIDTHS = (16, 12)
_NUMBER = re.compile(r"[-\u2212]?[\d.,]+%?")
error_console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDTH)


def say(message: str) -> None:
    """One line for people, on stderr."""
    error_console.print(Text(inert(message)), soft_wrap=True)


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Within the block, whatever libraries or a user's own code print goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def answer_folder(out: Path, scenario: Scenario, name: str, asked: Mapping[str, Any]) -> Path:
    """Make the folder of an answer; another question, or another scenario of the same name, has another one.

    Files of the scenario count by their contents, as in addresses of runs.

    Args:
        out: Folder of results.
        scenario: What is asked about.
        name: What the folder's name begins with.
        asked: All that the answer depends on beside the scenario.
    """
    from sim.inputs.identity import with_contents

    question = digest({"scenario": with_contents(scenario.dump()), "asked": asked})
    folder = out / scenario.name / f"{name}-{question[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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


def print_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table as CSV on stdout."""
    sys.stdout.write(inert(csv_text(columns, rows)))


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Rows with the same keys as JSON or CSV on stdout."""
    if as_json:
        print_json([dict(row) for row in rows])
    elif rows:
        print_csv(list(rows[0]), [list(row.values()) for row in rows])


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], dispensable: Sequence[str] = ()
) -> None:
    """A table under its title on stdout; numbers right-aligned with three significant digits.

    Args:
        title: A line above it.
        columns: Their heads, which are broken between words, or at the joints of a name, where the terminal is narrow.
        rows: Their cells.
        dispensable: Heads of columns that are left out, in this order, where the terminal is too narrow all the same.
    """
    console = results_console()
    # As a line of its own the title is not broken to the width of a narrow table.
    console.print(Text(inert(title), style="bold"), soft_wrap=True)
    left_out: list[str] = []
    for head in [*(name for name in dispensable if name in columns), None]:
        table = _fitting(columns, rows, console)
        if head is None or _width(table, console) <= console.width:
            break
        place = list(columns).index(head)
        columns = [*columns[:place], *columns[place + 1 :]]
        rows = [[*row[:place], *row[place + 1 :]] for row in rows]
        left_out.append(head)
    console.print(table)
    if left_out:
        say(f"no room: {', '.join(left_out)}")


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[Any]], console: Console) -> Table:
    """The table with its heads broken as little as the width asks for."""
    table = _table(columns, rows)
    for limit in (*_HEAD_WIDTHS, 0):
        if _width(table, console) <= console.width:
            break
        table = _table([_broken(column, limit) for column in columns], rows)
    return table


def _width(table: Table, console: Console) -> int:
    return table.__rich_measure__(console, console.options).maximum


def results_console() -> Console:
    """A console on what stdout is now."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    texts = [_column_texts([row[index] for row in rows]) for index in range(len(columns))]
    for index, column in enumerate(columns):
        numeric = any(_NUMBER.fullmatch(text) for text in texts[index])
        table.add_column(Text(inert(column)), justify="right" if numeric else "left", overflow="fold")
    for cells in zip(*texts, strict=True):
        # As texts, so that brackets in a name are no markup.
        table.add_row(*(Text(inert(cell)) for cell in cells))
    return table


def _broken(head: str, limit: int) -> str:
    """A head with its words below each other, a unit in one piece; a name of a column at its joints."""
    if " " not in head:
        return re.sub(r"(?<=[._])(?=.)", "\n", head)
    width = max(limit, *map(len, head.split()))
    return "\n".join(textwrap.wrap(head, width, break_long_words=False, break_on_hyphens=False))


def _column_texts(values: Sequence[Any]) -> list[str]:
    """The cells of a column; numbers that are whole in all of it have no decimals."""
    floats = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    if floats and all(value.is_integer() for value in floats):
        return [
            f"{value:,.0f}" if isinstance(value, float) and math.isfinite(value) else format_value(value)
            for value in values
        ]
    return [format_value(value) for value in values]


def format_value(value: Any) -> str:
    """A table's cell."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return significant(value)


class ProgressBars:
    """Progress on stderr: one bar per kind of work, or where stderr is no terminal a line every ``PROGRESS_S``."""

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
        self._lines = ProgressLines() if self._progress.disable else None

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        if self._lines is not None:
            self._lines.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()
        if self._lines is not None:
            self._lines.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` pieces of a kind of work are done."""
        if what not in self._tasks:
            # What was done before, by a sweep that is resumed, took none of this time and says nothing of what is left.
            self._tasks[what] = self._progress.add_task(what, total=total, completed=done)
        self._progress.update(self._tasks[what], completed=done, total=total)
        if self._lines is not None:
            self._lines.update(what, done, total)


class ProgressLines:
    """Says every ``PROGRESS_S`` on stderr how far the work is, also while a piece takes longer than that."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()
        self._latest = ("", 0, 0)
        self._first: dict[str, tuple[float, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._ended.set()
        self._thread.join()

    def update(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` pieces of a kind of work are done."""
        self._first.setdefault(what, (time.monotonic(), done))
        self._latest = (what, done, total)

    def line(self) -> str:
        """How far the work is, how long it has taken and, once some of it is done, how long it may still take."""
        now_s, (what, done, total) = time.monotonic(), self._latest
        text = f"running: {what} {done:,}/{total:,}" if what else "running: reading and preparing"
        text += f", {now_s - self._start_s:.0f} s so far"
        if what:
            begun_s, done_before = self._first[what]
            if done_before < done < total:
                left_s = (now_s - begun_s) * (total - done) / (done - done_before)
                text += f", about {left_s:.0f} s left of it"
        return text

    def _tell(self) -> None:
        while not self._ended.wait(PROGRESS_S):
            say(self.line())
