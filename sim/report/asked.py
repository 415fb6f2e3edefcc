"""The part of a report that can be asked: a table as JSON, from which the page's script draws what a reader chooses."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.figures.conditions import values_of
from sim.figures.labels import name_of, unit_of

if TYPE_CHECKING:
    import pandas as pd

# More points than are told apart in one picture; the table beside the page has them all.
_MAX_POINTS = 500
_NUMBERING = ("replication", "seed", "run_id")
_FIRST_METRICS = ("e2e_mean_s", "e2e_s")


def asked_of_sweep(table: pd.DataFrame, axes: Sequence[str]) -> str:
    """The section of a sweep: a point per combination of what was varied, with means and intervals of all columns.

    Args:
        table: One row per point and replication.
        axes: The varied keys; with variants these are one more.
    """
    keys: list[str] = []
    for name in [*axes, "variant"]:
        if name in table and table[name].nunique(dropna=False) > 1 and not _goes_with(table, name, keys):
            keys.append(name)
    if table.empty or not keys:
        return ""
    means, halves = _means(table, keys)
    columns = [_column(name, means[name], None, values_of(table, name)) for name in keys]
    columns += [_column(str(name), means[name], halves[name]) for name in halves if name not in keys]
    return _section(columns, keys, len(means), is_joined=True)


def asked_of_requests(requests: pd.DataFrame) -> str:
    """The section of a run: a point per request."""
    numbers = [str(name) for name in requests if requests[name].dtype.kind in "iufb" and requests[name].nunique() > 1]
    if len(requests) < 2 or len(numbers) < 2:
        return ""
    keys = [name for name in ("kind", "category", "device") if name in requests and requests[name].nunique() > 1]
    columns = [_column(str(name), requests[name], None, values_of(requests, name)) for name in keys]
    columns += [_column(str(name), requests[name], None) for name in numbers if name not in keys]
    return _section(columns, keys, len(requests), is_joined=False)


def _goes_with(table: pd.DataFrame, name: str, keys: Sequence[str]) -> bool:
    """Whether a column was varied together with one of the others, value by value."""
    count = table[name].nunique(dropna=False)
    return any(table[key].nunique(dropna=False) == count == len(table[[key, name]].drop_duplicates()) for key in keys)


def _means(table: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over replications, keys among the columns, and half widths of their 95 % intervals (Student's t)."""
    from scipy.special import stdtrit

    numbers = [
        str(name)
        for name in table
        if name not in (*keys, *_NUMBERING) and table[name].dtype.kind in "iufb" and table[name].nunique() > 1
    ]
    finite = table[numbers].astype(float).replace([np.inf, -np.inf], np.nan)
    groups = finite.groupby([table[key] for key in keys], sort=False, dropna=False)
    count = groups.count()
    factors: pd.DataFrame = count.map(lambda n: float(stdtrit(max(n - 1, 1), 0.975)) / math.sqrt(max(n, 1)))
    halves = groups.std(ddof=1) * factors
    return groups.mean().reset_index(), halves.reset_index(drop=True)


def _column(name: str, values: Any, halves: Any, order: Sequence[Any] | None = None) -> dict[str, Any]:
    """One column as the script takes it; words and keys come with their distinct values in order."""
    is_text = values.dtype.kind not in "iufb"
    found: dict[str, Any] = {"name": name, "label": name_of(name), "unit": unit_of(name), "text": is_text}
    shown = values.head(_MAX_POINTS)
    found["values"] = [str(value) if is_text else _rounded(value) for value in shown]
    if halves is not None and halves.notna().any():
        found["halves"] = [_rounded(value) for value in halves.head(_MAX_POINTS)]
    if order is not None:
        found["order"] = [str(value) if is_text else _rounded(value) for value in order]
    return found


def _rounded(value: Any) -> float | int | None:
    """Six significant digits; none for what is no number."""
    number = float(value)
    if not math.isfinite(number):
        return None
    short = float(f"{number:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _section(columns: list[dict[str, Any]], keys: list[str], count: int, is_joined: bool) -> str:
    names = [column["name"] for column in columns]
    numbers = [column["name"] for column in columns if not column["text"]]
    first = next((name for name in _FIRST_METRICS if name in names), numbers[-1] if numbers else "")
    if not first:
        return ""
    by = "variant" if "variant" in keys else next((key for key in reversed(keys[1:])), "")
    x = next((key for key in keys if key != by and key in numbers), names[0])
    if not is_joined and "issued_s" in names:
        x = "issued_s"
    data = {"columns": columns, "keys": keys, "x": x, "y": first, "by": by if by != x else "", "joined": is_joined}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    left_out = f"The first {_MAX_POINTS} of {count} points. " if count > _MAX_POINTS else ""
    bars = "Bars are 95 % intervals over replications. " if is_joined else ""
    note = escape(f"{left_out}{bars}Point at a mark for its numbers.")
    return f"""<section class="ask" hidden>
<h2>Ask the table</h2>
<form class="choices" autocomplete="off"></form>
<div class="chart" role="img" aria-live="polite"></div>
<ul class="legend"></ul>
<p class="note">{note} <span class="command"></span></p>
<script type="application/json" class="asked">{text}</script>
</section>"""


def script() -> str:
    """What draws the section."""
    return files("sim.report").joinpath("ask.js").read_text(encoding="utf-8")
