"""The panels of a plot: one for each value of a column, and one for every eight series where there are more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError
from sim.figures.conditions import hold, is_numeric, spread, values_of
from sim.figures.drawing import (
    LOG_DECADES_Y,
    draw_conditions,
    draw_curves,
    draw_names,
    head_panel,
    held_note,
    intervals_note,
    left_out_note,
    say_replications,
    set_scales,
    spans_decades,
    without_note,
)
from sim.figures.heatmap import draw_best, mean_limits
from sim.figures.labels import panel_label, series_title
from sim.figures.legends import legend_of_each, place_legend, place_title
from sim.figures.options import FigureOptions, Look, looks_of, ordered
from sim.figures.pareto import draw_front
from sim.figures.roles import Roles, has_curves, off_axis, shown_columns
from sim.figures.style import COLOURS, new_figure
from sim.figures.ticks import label_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_PANELS = 24
_MAX_SERIES = 64


@dataclass(frozen=True)
class _Panel:
    """One panel: the value that it is at, if panels are by a column, and its series."""

    value: Any
    series: tuple[Any, ...]
    looks: tuple[Look, ...]


def draw_panels(
    table: pd.DataFrame,
    roles: Roles,
    kind: str,
    log_x: bool | None,
    log_y: bool | None,
    options: FigureOptions,
    fixed: Mapping[str, Any],
) -> Figure:
    """Draw a table.

    Args:
        table: A row per condition and replication.
        roles: Which column is drawn how.
        kind: ``line``, ``pareto`` or ``heatmap``.
        log_x, log_y: Scales; by the values where None.
        options: How it is to look.
        fixed: Columns that were given one value.
    """
    held: dict[str, Any] = {}
    whole = table
    for column in filter(None, (roles.by, roles.facet)):
        table = table[table[column].notna()]  # what lacks it is not drawn, and is told below
    if kind == "heatmap":
        shown = [column for column in (roles.x, roles.y, roles.by, roles.facet) if column is not None]
        table, held = hold(table, shown)
    elif kind == "line" and has_curves(table, roles.x):
        table, held = hold(table, shown_columns(table, roles))
    values: list[Any] = [None] if roles.facet is None else spread(values_of(table, roles.facet), _MAX_PANELS)
    panels = _with_rows(_panels(table, roles, kind, values, options), table, roles)
    split = len({panel.series for panel in panels}) > 1
    columns = min(len(panels), 1 if options.is_narrow else 3)
    figure, grid = _grid(len(panels), columns, kind, options, split)
    counts: set[int] = set()
    for axes, panel in zip(grid, panels, strict=True):
        chosen = table if panel.value is None else table[table[roles.facet] == panel.value]
        counts |= _draw_panel(axes, chosen, table, roles, panel, kind)
        if panel.value is not None:
            _head(axes, panel_label(str(roles.facet), panel.value) or "no variant", kind, roles, split)
    if kind != "heatmap":
        _finish_axes(grid, columns, table, roles, log_x, log_y)
    _label_axes(figure, grid, columns, options)
    notes = [held_note({**fixed, **held}), left_out_note(table, roles.facet, values)]
    notes += [without_note(whole, column) for column in dict.fromkeys((roles.by, roles.facet))]
    notes += off_axis(table, roles, log_x, log_y)
    what = "bands" if kind == "line" and is_numeric(table, roles.x) else "bars"
    if counts and len(panels) == 1 and panels[0].value is None:
        say_replications(grid[0], counts, what)
    elif counts:
        notes.insert(0, intervals_note(counts, what))
    _legends(figure, grid, kind, options, split, "; ".join(filter(None, notes)), roles)
    place_title(figure, options.title)
    return figure


def _panels(
    table: pd.DataFrame, roles: Roles, kind: str, values: Sequence[Any], options: FigureOptions
) -> list[_Panel]:
    """A panel per value; where colours alone would not distinguish the series, one per value and eight series."""
    series: list[Any] = [None] if roles.by is None else values_of(table, roles.by)
    series = ordered(roles.by, series, options)
    max_series = len(COLOURS) if kind == "heatmap" else _MAX_SERIES
    if len(series) > max_series:
        raise InputError(f"--by: {roles.by!r} has {len(series)} values; at most {max_series} can be distinguished")
    size = len(COLOURS) if kind == "line" else max_series
    chunks = [series[start : start + size] for start in range(0, len(series), size)]
    panels = []
    for value in values:
        for chunk in chunks:
            panels.append(_Panel(value, tuple(chunk), tuple(looks_of(roles.by, chunk, options))))
    return panels


def _with_rows(panels: Sequence[_Panel], table: pd.DataFrame, roles: Roles) -> list[_Panel]:
    """The panels in which something is drawn; the first if that is none."""
    drawn = table[table[roles.y].notna() & table[roles.x].notna()]
    found = []
    for panel in panels:
        rows = drawn if panel.value is None else drawn[drawn[roles.facet] == panel.value]
        if roles.by is None or rows[roles.by].isin(panel.series).any():
            found.append(panel)
    return found or list(panels[:1])


def _grid(count: int, columns: int, kind: str, options: FigureOptions, split: bool) -> tuple[Figure, list[Axes]]:
    rows = -(-count // columns)
    # A Pareto front's legend explains marks and sizes, too.
    legend_in = 0.9 if kind == "pareto" else 0.45
    figure = new_figure(options.size, legend_in + (2.6 if split else 2.1) * rows)
    shared = kind != "heatmap"
    grid = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).ravel()
    for unused in grid[count:]:
        unused.remove()
    return figure, list(grid[:count])


def _head(axes: Axes, text: str, kind: str, roles: Roles, split: bool) -> None:
    """The head of a panel, above what a heat map's own head and a panel's own legend say."""
    if split:
        head_panel(axes, text, 30)
    else:
        head_panel(axes, text, 13 if kind == "heatmap" and roles.by else None)


def _draw_panel(
    axes: Axes, table: pd.DataFrame, whole: pd.DataFrame, roles: Roles, panel: _Panel, kind: str
) -> set[int]:
    """Draw one panel; returns the numbers of replications that its intervals are over."""
    x, y, by, series, looks = roles.x, roles.y, roles.by, panel.series, panel.looks
    if kind == "heatmap":
        limits = mean_limits(whole, roles.facet, x, y, roles.metric)
        draw_best(axes, table, x, y, roles.metric, by, series, limits, looks)
    elif kind == "pareto":
        return draw_front(axes, table, x, y, by, series, looks)
    elif not is_numeric(whole, x):
        return draw_names(axes, table, x, y, by, series, values_of(whole, x), looks)
    elif has_curves(whole, x):
        return draw_curves(axes, table, x, y, by, series, looks)
    else:
        draw_conditions(axes, table, x, y, by, series, looks)
    return set()


def _finish_axes(
    grid: Sequence[Axes], columns: int, table: pd.DataFrame, roles: Roles, log_x: bool | None, log_y: bool | None
) -> None:
    """Scales, and labels on the outer panels alone; a panel with none below it is an outer one."""
    x_values = table[roles.x] if is_numeric(table, roles.x) else [0.0]
    is_log_x = spans_decades(x_values) if log_x is None else log_x
    is_log_y = spans_decades(table[roles.y], LOG_DECADES_Y) if log_y is None else log_y
    for axes in grid:
        set_scales(axes, x_values, table[roles.y], is_log_x, is_log_y, is_key=has_curves(table, roles.x))
        x_label = axes.get_xlabel()
        axes.label_outer()
    for axes in grid[-columns:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(x_label)


def _label_axes(figure: Figure, grid: Sequence[Axes], columns: int, options: FigureOptions) -> None:
    """What the options say instead of the columns' labels and the values' limits."""
    for axes in grid:
        if options.x_label is not None and axes.get_xlabel():
            label_axis(axes.xaxis, options.x_label)
        if options.y_label is not None and axes.get_ylabel():
            label_axis(axes.yaxis, options.y_label)
        for set_limits, (low, high) in ((axes.set_xlim, options.x_limits), (axes.set_ylim, options.y_limits)):
            if low is not None or high is not None:
                set_limits(low, high)


def _legends(
    figure: Figure, grid: Sequence[Axes], kind: str, options: FigureOptions, split: bool, note: str, roles: Roles
) -> None:
    handle_length, title = 2.8 if kind == "line" else 1.2, series_title(roles.by)
    if not split:
        # Where panels and series are one, the panels' heads are the legend.
        place = "none" if roles.by is not None and roles.by == roles.facet else options.legend
        place_legend(figure, grid, place, 2 if options.is_narrow else 5, handle_length, note, title)
        return
    # Panels hold different series, so each says which; beside or above them all, colours would mean several things.
    place_legend(figure, grid, "none", 1, handle_length, note)
    if options.legend != "none":
        legend_of_each(grid, 2, handle_length, title)
