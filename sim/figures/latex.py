"""The means and intervals behind a figure as a LaTeX table with booktabs rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.core.errors import InputError
from sim.figures.conditions import check_columns, check_numeric, hold, values_of
from sim.figures.drawing import held_note
from sim.figures.labels import entry_label, label_of, number, panel_label, series_title
from sim.figures.options import FigureOptions, ordered, shown_name
from sim.figures.pareto import MORE_IS_BETTER
from sim.figures.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

_ESCAPED = {
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
}
_SYMBOLS = {"γ": r"$\gamma$", "α": r"$\alpha$", "±": r"$\pm$"}


def latex_table(
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    options: FigureOptions | None = None,
    facet: str | None = None,
) -> str:
    """A table with a row per value of ``x``, a column per series, and means with 95 % half widths.

    Each panel of the figure is a group of rows under a head of its own. What is neither shown nor a panel is held at
    its middle value, as in the figure, and the comment above the table says so.

    The best mean of a row is bold only where its paired difference to every other series, over replications that share
    their random numbers, has a 95 % interval without zero; without replications nothing is bold. The intervals are not
    corrected for their number.

    Args:
        table: A sweep's table.
        x: Column of the rows.
        y: Column of the values.
        by: Column of the series; one column of values if None.
        options: Names and order of the series, labels of rows and values.
        facet: Column of the panels; one group of rows without a head if None.

    Raises:
        InputError: An unknown column, or one that holds no numbers.
    """
    check_columns(table, x=x, y=y, by=by, facet=facet)
    check_numeric(table, y=y)
    options = options or FigureOptions()
    table, held = hold(table, [column for column in (x, by, facet) if column is not None])
    series = ordered(by, [None] if by is None else values_of(table, by), options)
    if not series:
        raise InputError(f"--by: column {by!r} is empty here")
    lines = [
        r"\begin{tabular}{l" + "r" * len(series) + "}",
        r"\toprule",
        *_heads(options.x_label or label_of(x), y, by, series, options),
    ]
    for panel in [None] if facet is None else values_of(table, facet):
        lines.append(r"\midrule")
        rows = table
        if panel is not None:
            rows = table[table[facet] == panel]
            head = escape(panel_label(str(facet), panel))
            lines += [rf"\multicolumn{{{len(series) + 1}}}{{l}}{{\textit{{{head}}}}} \\", r"\midrule"]
        lines += _rows(rows, x, y, by, series)
    caption = f"% {options.y_label or label_of(y)}: means and 95 % half widths; bold: paired intervals without zero"
    caption = "; ".join(filter(None, [caption, held_note(held)]))
    return "\n".join([caption, *lines, r"\bottomrule", r"\end{tabular}", ""])


def _rows(table: pd.DataFrame, x: str, y: str, by: str | None, series: Sequence[Any]) -> list[str]:
    """A row per value of ``x`` that a panel has."""
    lines = []
    for value in values_of(table, x):
        here = table[table[x] == value]
        groups = [here if name is None else here[here[by] == name] for name in series]
        winner = _winner(groups, y)
        cells = [_cell(group[y], place == winner) for place, group in enumerate(groups)]
        lines.append(" & ".join([escape(_row_label(value)), *cells]) + r" \\")
    return lines


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_ESCAPED.get(letter) or _SYMBOLS.get(letter, letter) for letter in text)


def _heads(x_label: str, y: str, by: str | None, series: Sequence[Any], options: FigureOptions) -> list[str]:
    """The line of heads; where the series are values of a key, its label once above them."""
    if by is None:
        return [" & ".join([escape(x_label), escape(label_of(y))]) + r" \\"]
    title = series_title(by)
    named = [shown_name(by, value, options) for value in series]
    if not title or len(series) < 2:
        named = [f"{title} {name}".strip() for name in named]
        return [" & ".join([escape(x_label), *map(escape, named)]) + r" \\"]
    if all(name == entry_label(by, value) for name, value in zip(named, series, strict=True)):
        title, named = label_of(by), [number(value) for value in series]  # the unit stands above, too
    return [
        rf" & \multicolumn{{{len(series)}}}{{c}}{{{escape(title)}}} \\",
        rf"\cmidrule(lr){{2-{len(series) + 1}}}",
        " & ".join([escape(x_label), *map(escape, named)]) + r" \\",
    ]


def _row_label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _cell(values: Any, is_bold: bool) -> str:
    """A mean and its half width, to two digits of the half width."""
    mean, half, count = mean_interval(values)
    if not count:
        return "--"
    if np.isnan(half) or half <= 0:
        number = f"{mean:.3g}"
        return f"$\\mathbf{{{number}}}$" if is_bold else f"${number}$"
    digits = max(0, 1 - int(np.floor(np.log10(half))))
    number = f"{mean:.{digits}f}"
    number = rf"\mathbf{{{number}}}" if is_bold else number
    return rf"${number} \pm {half:.{digits}f}$"


def _winner(groups: list[pd.DataFrame], y: str) -> int | None:
    """Place of the series whose paired difference to every other one is not zero within the interval."""
    means = [mean_interval(group[y])[0] for group in groups]
    known = [place for place, mean in enumerate(means) if not np.isnan(mean)]
    if len(known) < 2:
        return None
    best = (max if y in MORE_IS_BETTER else min)(known, key=lambda place: means[place])
    for place in known:
        if place != best and not _differs(groups[best], groups[place], y):
            return None
    return best


def _differs(first: pd.DataFrame, second: pd.DataFrame, y: str) -> bool:
    if "replication" not in first or "replication" not in second:
        return False
    pairs = first[["replication", y]].merge(second[["replication", y]], on="replication", suffixes=("_a", "_b"))
    mean, half, count = mean_interval(pairs[f"{y}_a"] - pairs[f"{y}_b"])
    return count >= 2 and abs(mean) > half
