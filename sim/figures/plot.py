"""``specran plot``: any column against any other, as curves, as a Pareto front, or as a map of who is best where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, unknown_name_message
from sim.figures.conditions import (
    check_columns,
    check_numeric,
    free_columns,
    hold,
    is_numeric,
    join,
    only,
    spread,
    values_of,
    varied_columns,
)
from sim.figures.drawing import (
    draw_conditions,
    draw_curves,
    draw_names,
    head_panel,
    held_note,
    intervals_note,
    left_out_note,
    legend_above,
    say_replications,
    set_scales,
    spans_decades,
)
from sim.figures.heatmap import draw_best, mean_limits
from sim.figures.labels import label_of, name_of, panel_label
from sim.figures.pareto import draw_front
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("line", "pareto", "heatmap")
_MAX_PANELS = 6
_MAX_SERIES = 8
_MAX_NAMES = 24
# Columns that number rows: values of one are means over all rows that share it, as of a varied key.
_NUMBERING = ("replication", "seed", "device", "request", "round", "slot")
_SCHEMES = ("variant", "protocol.name", "result")
_DEFAULT_METRIC = "e2e_mean_s"


@dataclass(frozen=True)
class _Roles:
    """Which column is drawn how; ``metric`` is what a heat map compares."""

    x: str
    y: str
    by: str | None
    facet: str | None
    metric: str = ""


def plot(
    tables: Sequence[pd.DataFrame],
    x: str | None,
    y: str,
    by: str | None = None,
    facet: str | None = None,
    kind: str = "line",
    log_x: bool | None = None,
    log_y: bool | None = None,
    style: str = "one_column",
    where: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw one figure from tables of runs or sweeps.

    Args:
        tables: Requests of runs or tables of sweeps; several are distinguished as ``result``.
        x: Column on the horizontal axis, of numbers or of names; the first varied key if None.
        y: Column on the vertical axis. Of a heat map: an axis, or the figure to compare over the first two axes.
        by: Column that makes the series; what else was varied if None.
        facet: Column that makes the panels, likewise.
            Whatever else was varied is held at its middle value, and the figure says so.
        kind: ``line`` with 95 % bands over replications, ``pareto`` or ``heatmap``.
        log_x: Logarithmic horizontal axis; where the values span more than 1.5 decades if None.
        log_y: The same for the vertical axis.
        style: ``one_column`` or ``two_column``.
        where: Columns and the values of theirs that are drawn.

    Raises:
        InputError: An unknown column, kind, style or value, or nothing to draw.
    """
    if kind not in KINDS:
        raise InputError(f"--kind: {unknown_name_message('kind of figure', kind, KINDS)}")
    table, fixed = only(join(tables), where or {})
    check_columns(table, x=x, y=y, by=by, facet=facet)
    roles = _heatmap_roles(table, x, y, by, facet) if kind == "heatmap" else _roles(table, x, y, by, facet, kind)
    _check_results(table, roles)
    _check_logs(table, roles, log_x, log_y)
    with styled():
        return _draw(table, roles, kind, log_x, log_y, style, fixed)


def _roles(table: pd.DataFrame, x: str | None, y: str, by: str | None, facet: str | None, kind: str) -> _Roles:
    if x is None:
        varied = varied_columns(table)
        numeric = [column for column in varied if is_numeric(table, column)]
        if not varied:
            raise InputError(f"--x: nothing was varied here; name a column of {', '.join(map(str, table.columns))}")
        x = next((column for column in [*numeric, *varied] if not _lacking(table, column)), varied[0])
    check_numeric(table, y=y)
    if kind == "pareto":
        check_numeric(table, x=x)
    elif not is_numeric(table, x) and table[x].nunique() > _MAX_NAMES:
        raise InputError(f"--x: {x!r} has {table[x].nunique()} values; at most {_MAX_NAMES} names fit on an axis")
    roles = _Roles(x, y, by, facet)
    if by is None and (rest := _rest(table, roles)):
        roles = replace(roles, by=rest[0])
    if facet is None and kind == "line" and _has_curves(table, x) and (rest := _rest(table, roles)):
        roles = replace(roles, facet=rest[0])
    return roles


def _rest(table: pd.DataFrame, roles: _Roles) -> list[str]:
    """What was varied and is not shown yet; what tells schemes apart makes the series, before axes do."""
    shown = _shown(table, roles)
    free = free_columns(table, shown)
    # Results stay apart even where no two have a value of ``x`` in common.
    if "result" in varied_columns(table) and "result" not in [*shown, *free]:
        free.append("result")
    rest = [column for column in free if column != roles.y and not _lacking(table, column)]
    return sorted(rest, key=lambda column: column not in ("variant", "result"))


def _shown(table: pd.DataFrame, roles: _Roles) -> list[str]:
    """Columns by whose values the figure tells rows apart."""
    x = [roles.x] if _has_curves(table, roles.x) else []
    return [*x, *(column for column in (roles.by, roles.facet) if column is not None)]


def _has_curves(table: pd.DataFrame, x: str) -> bool:
    """Whether values of ``x`` are conditions, over which means are drawn, rather than figures of their own."""
    return x in varied_columns(table) or x in _NUMBERING or not is_numeric(table, x)


def _off_axis(table: pd.DataFrame, roles: _Roles, log_x: bool | None, log_y: bool | None) -> list[str]:
    """What a logarithmic axis that was asked for cannot show."""
    asked = [column for column, log in ((roles.x, log_x), (roles.y, log_y)) if log]
    return [f"{name_of(column).lower()} of 0 is off the axis" for column in asked if (table[column] <= 0).any()]


def _lacking(table: pd.DataFrame, column: str) -> list[str]:
    """Results that have no value of a column."""
    if "result" not in table:
        return []
    return [str(name) for name, rows in table.groupby("result", sort=False) if rows[column].isna().all()]


def _check_results(table: pd.DataFrame, roles: _Roles) -> None:
    named = (("x", roles.x), ("y", roles.y), ("y", roles.metric), ("by", roles.by), ("facet", roles.facet))
    for option, column in named:
        if column and (lacking := _lacking(table, column)):
            raise InputError(f"--{option}: column {column!r} is empty in {', '.join(lacking)}")


def _check_logs(table: pd.DataFrame, roles: _Roles, log_x: bool | None, log_y: bool | None) -> None:
    for option, column, log in (("log-x", roles.x, log_x), ("log-y", roles.y, log_y)):
        if log and not (is_numeric(table, column) and (table[column] > 0).any()):
            raise InputError(f"--{option}: column {column!r} holds no positive numbers")


def _heatmap_roles(table: pd.DataFrame, x: str | None, y: str, by: str | None, facet: str | None) -> _Roles:
    varied = varied_columns(table)
    metric = y
    if y in varied:
        check_columns(table, y=_DEFAULT_METRIC)
        metric = _DEFAULT_METRIC
    check_numeric(table, y=metric)
    schemes = [column for column in _SCHEMES if column in varied and column != facet]
    if by is None and schemes:
        by = schemes[0]
    axes = [column for column in varied if column not in (by, facet, *schemes)]
    first = x if x is not None else next(iter(axes), None)
    second = y if y in varied else next((column for column in axes if column != first), None)
    if first is None or second is None:
        raise InputError(
            f"a heat map needs two varied keys besides the series; varied here: {', '.join(varied) or 'none'}"
        )
    return _Roles(first, second, by, facet, metric)


def _draw(
    table: pd.DataFrame,
    roles: _Roles,
    kind: str,
    log_x: bool | None,
    log_y: bool | None,
    style: str,
    fixed: Mapping[str, Any],
) -> Figure:
    held: dict[str, Any] = {}
    if kind == "heatmap":
        shown = [column for column in (roles.x, roles.y, roles.by, roles.facet) if column is not None]
        table, held = hold(table, shown)
    elif kind == "line" and _has_curves(table, roles.x):
        table, held = hold(table, _shown(table, roles))
    panels: list[Any] = [None] if roles.facet is None else spread(values_of(table, roles.facet), _MAX_PANELS)
    series: list[Any] = [None] if roles.by is None else values_of(table, roles.by)
    if len(series) > _MAX_SERIES:
        raise InputError(f"--by: {roles.by!r} has {len(series)} values; at most {_MAX_SERIES} can be distinguished")
    columns = min(len(panels), 1 if style == "one_column" else 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(style, 0.45 + 2.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=kind != "heatmap", sharey=kind != "heatmap").ravel()
    for unused in grid[len(panels) :]:
        unused.remove()
    grid = grid[: len(panels)]
    counts: set[int] = set()
    for axes, panel in zip(grid, panels, strict=True):
        chosen = table if panel is None else table[table[roles.facet] == panel]
        counts |= _draw_panel(axes, chosen, table, roles, series, kind)
        if panel is not None:
            # Above what a heat map's own head says.
            head_panel(axes, panel_label(str(roles.facet), panel), 13 if kind == "heatmap" and roles.by else None)
    if kind != "heatmap":
        _finish_axes(list(grid), columns, table, roles, log_x, log_y)
    left_out = left_out_note(table, roles.facet, panels)
    notes = [held_note({**fixed, **held}), left_out, *_off_axis(table, roles, log_x, log_y)]
    what = "bands" if is_numeric(table, roles.x) else "bars"
    if counts and len(panels) == 1:
        say_replications(grid[0], counts, what)
    elif counts:
        notes.insert(0, intervals_note(counts, what))
    legend_above(
        figure,
        list(grid),
        2 if style == "one_column" else 5,
        handle_length=2.8 if kind == "line" else 1.2,
        note="; ".join(filter(None, notes)),
    )
    return figure


def _draw_panel(
    axes: Axes, table: pd.DataFrame, whole: pd.DataFrame, roles: _Roles, series: Sequence[Any], kind: str
) -> set[int]:
    """Draw one panel; returns the numbers of replications that its intervals are over."""
    if kind == "heatmap":
        limits = mean_limits(whole, roles.facet, roles.x, roles.y, roles.metric)
        draw_best(axes, table, roles.x, roles.y, roles.metric, roles.by, series, limits)
    elif kind == "pareto":
        draw_front(axes, table, roles.x, roles.y, roles.by, series)
    elif not is_numeric(whole, roles.x):
        return draw_names(axes, table, roles.x, roles.y, roles.by, series, values_of(whole, roles.x))
    elif _has_curves(whole, roles.x):
        return draw_curves(axes, table, roles.x, roles.y, roles.by, series)
    else:
        draw_conditions(axes, table, roles.x, roles.y, roles.by, series)
    return set()


def _finish_axes(
    grid: Sequence[Axes], columns: int, table: pd.DataFrame, roles: _Roles, log_x: bool | None, log_y: bool | None
) -> None:
    """Scales, and labels on the outer panels alone; a panel with none below it is an outer one."""
    x_values = table[roles.x] if is_numeric(table, roles.x) else [0.0]
    logs = [
        spans_decades(values) if wanted is None else wanted
        for values, wanted in ((x_values, log_x), (table[roles.y], log_y))
    ]
    for axes in grid:
        set_scales(axes, x_values, table[roles.y], *logs)
        axes.label_outer()
    for axes in grid[-columns:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(label_of(roles.x))
