"""What shorter rows save and cost: acceptance rate and uplink payload, over row length K or by variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.figures.conditions import spread, values_of
from sim.figures.drawing import draw_curves, set_scales, spans_decades
from sim.figures.labels import label_of, number, value_label
from sim.figures.legends import legend_above
from sim.figures.statistics import mean_interval
from sim.figures.style import COLOURS, MARKERS, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_METRICS = ("acceptance_rate", "uplink_bits_per_token")
# Keys that set how much of a row is sent, by the last part of their name.
_ROW_KEYS = ("top_k", "top_p")
_MAX_SERIES = 8


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
        set_scales(panel, means[row_axis], means[metric], spans_decades(means[row_axis]), spans_decades(means[metric]))
        panel.label_outer()
    legend_above(figure, list(grid), 2 if style == "one_column" else 5)
    return figure


def _by_name(table: pd.DataFrame, by: str, names: Sequence[Any], style: str) -> Figure:
    """A dot per name with its interval; a name's colour is that of its curve in the other figures."""
    there = set(table[by])
    shown = [(index, name) for index, name in enumerate(names) if name in there]
    figure = new_figure(style, 0.85 + 0.26 * len(shown))
    grid = figure.subplots(1, 2, sharey=True)
    for panel, metric in zip(grid, _METRICS, strict=True):
        values = []
        for place, (index, name) in enumerate(shown):
            of_replications = table[table[by] == name].groupby("replication")[metric].mean()
            mean, half, _ = mean_interval(of_replications)
            values.append(mean if np.isnan(half) else mean + half)
            _dot(panel, mean, half, place, index)
        _finish(panel, metric, values)
    grid[0].set_yticks(range(len(shown)), [value_label(by, name) for _, name in shown])
    grid[0].set_ylim(len(shown) - 0.4, -0.7)
    return figure


def _dot(panel: Axes, mean: float, half: float, place: int, index: int) -> None:
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
        number(mean), (mean, place), xytext=(0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=6.5
    )


def _finish(panel: Axes, metric: str, values: Sequence[float]) -> None:
    log = spans_decades(values)
    set_scales(panel, values, [1.0], log, False)
    if log:
        panel.set_xlim(min(values) / 2.5, max(values) * 2.5)
    else:
        panel.set_xlim(0, max(values) * 1.25)
    # Two panels in a column leave no width for name and unit on one line.
    panel.set_xlabel(label_of(metric).replace(" (", "\n("))
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
