"""What shorter rows save and cost: acceptance rate and uplink payload, over row length K or by variant."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.figures.conditions import spread, values_of
from sim.figures.drawing import draw_curves, set_scales, spans_decades
from sim.figures.labels import entry_label, label_of, series_title
from sim.figures.legends import legend_above
from sim.figures.statistics import mean_interval
from sim.figures.style import COLOURS, MARKERS, new_figure
from sim.figures.ticks import texts_beside

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_METRICS = ("acceptance_rate", "uplink_bits_per_token")
# Keys that set how much of a row is sent, by the last part of their name.
_ROW_KEYS = ("top_k", "top_p")
_MAX_SERIES = 8
# A longer name beside the dots is broken.
_NAME_CHARACTERS = 18


def draw_rows(table: pd.DataFrame, by: str | None, axes: Sequence[str], style: str) -> Figure | None:
    """Acceptance and payload over K if it was varied, else by variant; None if neither was.

    Values are means over the other axes within a replication: neither depends on the channel unless a protocol
    adapts to it.
    """
    names = [] if by is None else spread(values_of(table, by), _MAX_SERIES)
    table = table[table[_METRICS[0]].notna()]
    row_axis = next((axis for axis in axes if axis.endswith(_ROW_KEYS) and table[axis].nunique() > 1), None)
    if row_axis is not None:
        return _over_row_length(table, row_axis, by if by != row_axis else None, style)
    if by is None or table[by].nunique() < 2:
        return None
    return _by_name(table, by, names, style)


def _over_row_length(table: pd.DataFrame, row_axis: str, by: str | None, style: str) -> Figure:
    figure = new_figure(style, 2.3 if style == "two_column" else 3.4)
    grid = figure.subplots(1, 2) if style == "two_column" else figure.subplots(2, 1, sharex=True)
    series: list[Any] = [None] if by is None else spread(values_of(table, by), _MAX_SERIES)
    labels = [row_axis, "replication", *([by] if by else [])]
    means = table.groupby(labels, sort=False)[list(_METRICS)].mean().reset_index()
    for panel, metric in zip(grid, _METRICS, strict=True):
        draw_curves(panel, means, row_axis, metric, by, series)
        logs = spans_decades(means[row_axis]), spans_decades(means[metric])
        set_scales(panel, means[row_axis], means[metric], *logs, is_key=True)
        panel.label_outer()
    legend_above(figure, list(grid), 2 if style == "one_column" else 5, title=series_title(by))
    return figure


def _by_name(table: pd.DataFrame, by: str, names: Sequence[Any], style: str) -> Figure | None:
    """A dot per name with its interval, coloured as its curve in the other figures; None if all names are alike."""
    there = set(table[by])
    shown = [(index, name) for index, name in enumerate(names) if name in there]
    intervals = {
        metric: [mean_interval(table[table[by] == name].groupby("replication")[metric].mean())[:2] for _, name in shown]
        for metric in _METRICS
    }
    if not any(_differ(means) for means in intervals.values()):
        return None
    labels = [textwrap.fill(entry_label(by, name), _NAME_CHARACTERS) for _, name in shown]
    num_lines = max(label.count("\n") + 1 for label in labels)
    figure = new_figure(style, 0.95 + (0.16 + 0.1 * max(1, num_lines)) * len(shown))
    grid = figure.subplots(1, 2, sharey=True)
    for panel, metric in zip(grid, _METRICS, strict=True):
        _finish(panel, metric, [mean if np.isnan(half) else mean + half for mean, half in intervals[metric]])
        texts = texts_beside(panel.xaxis, [mean for mean, _ in intervals[metric]])
        for place, ((mean, half), text, (index, _)) in enumerate(zip(intervals[metric], texts, shown, strict=True)):
            _dot(panel, mean, half, text, place, index)
    grid[0].set_yticks(range(len(shown)), labels)
    grid[0].set_ylim(len(shown) - 0.4, -0.7)
    grid[0].set_ylabel(series_title(by))
    return figure


def _differ(intervals: Sequence[tuple[float, float]]) -> bool:
    means = [mean for mean, _ in intervals]
    return max(means) - min(means) > 1e-9 * max(map(abs, means))


def _dot(panel: Axes, mean: float, half: float, text: str, place: int, index: int) -> None:
    panel.errorbar(
        mean,
        place,
        xerr=None if np.isnan(half) else half,
        fmt=MARKERS[index % len(MARKERS)],
        color=COLOURS[index % len(COLOURS)],
        capsize=2,
        elinewidth=1,
    )
    panel.annotate(
        text, (mean, place), xytext=(0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=6.5
    )


def _finish(panel: Axes, metric: str, values: Sequence[float]) -> None:
    log = spans_decades(values)
    # Two panels in a column leave no width for name and unit on one line.
    panel.set_xlabel(label_of(metric).replace(" (", "\n("))
    set_scales(panel, values, [1.0], log, False)
    if log:
        panel.set_xlim(min(values) / 4, max(values) * 4)  # numbers above the outer dots stay clear of the frame
    else:
        panel.set_xlim(0, max(values) * 1.25)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
