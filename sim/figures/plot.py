"""``specran plot``: any column against any other, as curves, as a Pareto front, or as a map of who is best where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, choices
from sim.figures.conditions import check_columns, check_numeric, join, spread, values_of, varied_columns
from sim.figures.drawing import draw_conditions, draw_curves, legend_above, say_replications, set_scales, spans_decades
from sim.figures.heatmap import draw_best
from sim.figures.labels import label_of, panel_label
from sim.figures.pareto import draw_front
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("line", "pareto", "heatmap")
_MOST_PANELS = 6
_MOST_SERIES = 8
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
) -> Figure:
    """Draw one figure from tables of runs or sweeps.

    Args:
        tables: Requests of runs or tables of sweeps; several are told apart as ``result``.
        x: Column on the horizontal axis; the first varied key if None.
        y: Column on the vertical axis. Of a heat map: an axis, or the figure to compare over the first two axes.
        by: Column that makes the series; what else was varied if None.
        facet: Column that makes the panels, likewise.
        kind: ``line`` with 95 % bands over replications, ``pareto`` or ``heatmap``.
        log_x: Logarithmic horizontal axis; where the values span more than 1.5 decades if None.
        log_y: The same for the vertical axis.
        style: ``one_column`` or ``two_column``.

    Raises:
        InputError: An unknown column, kind or style, or nothing to draw.
    """
    if kind not in KINDS:
        raise InputError(f"--kind: {choices('kind of figure', kind, KINDS)}")
    table = join(tables)
    check_columns(table, x=x, y=y, by=by, facet=facet)
    roles = _heatmap_roles(table, x, y, by, facet) if kind == "heatmap" else _roles(table, x, y, by, facet, kind)
    with styled():
        return _draw(table, roles, kind, log_x, log_y, style)


def _roles(table: pd.DataFrame, x: str | None, y: str, by: str | None, facet: str | None, kind: str) -> _Roles:
    import pandas as pd

    varied = varied_columns(table)
    if x is None:
        numeric = [column for column in varied if pd.api.types.is_numeric_dtype(table[column])]
        if not numeric:
            raise InputError(f"--x: nothing was varied here; name a column of {', '.join(map(str, table.columns))}")
        x = numeric[0]
    check_numeric(table, x=x, y=y)
    rest = [column for column in varied if column not in (x, y, by, facet)]
    # What tells schemes apart makes the series, before axes do.
    rest.sort(key=lambda column: column not in ("variant", "result"))
    if by is None and rest:
        by = rest.pop(0)
    if facet is None and rest and kind == "line" and x in varied:
        facet = rest.pop(0)
    return _Roles(x, y, by, facet)


def _heatmap_roles(table: pd.DataFrame, x: str | None, y: str, by: str | None, facet: str | None) -> _Roles:
    varied = varied_columns(table)
    metric = y
    if y in varied:
        check_columns(table, y=_DEFAULT_METRIC)
        metric = _DEFAULT_METRIC
    check_numeric(table, y=metric)
    schemes = [column for column in ("variant", "protocol.name", "result") if column in varied]
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


def _draw(table: pd.DataFrame, roles: _Roles, kind: str, log_x: bool | None, log_y: bool | None, style: str) -> Figure:
    panels: list[Any] = [None] if roles.facet is None else spread(values_of(table, roles.facet), _MOST_PANELS)
    series: list[Any] = [None] if roles.by is None else values_of(table, roles.by)
    if len(series) > _MOST_SERIES:
        raise InputError(f"--by: {roles.by!r} has {len(series)} values; at most {_MOST_SERIES} can be told apart")
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
        counts |= _draw_panel(axes, chosen, roles, series, kind)
        if panel is not None:
            axes.set_title(panel_label(str(roles.facet), panel))
    if kind != "heatmap":
        _finish_axes(list(grid), columns, table, roles, log_x, log_y)
    if counts and len(panels) == 1:
        say_replications(grid[0], counts)
    legend_above(figure, list(grid), 2 if style == "one_column" else 5, handle_length=2.8 if kind == "line" else 1.2)
    return figure


def _draw_panel(axes: Axes, table: pd.DataFrame, roles: _Roles, series: Sequence[Any], kind: str) -> set[int]:
    """Draw one panel; returns the numbers of replications that its bands are over."""
    if kind == "heatmap":
        draw_best(axes, table, roles.x, roles.y, roles.metric, roles.by, series)
    elif kind == "pareto":
        draw_front(axes, table, roles.x, roles.y, roles.by, series)
    elif roles.x in varied_columns(table):
        return draw_curves(axes, table, roles.x, roles.y, roles.by, series)
    else:
        draw_conditions(axes, table, roles.x, roles.y, roles.by, series)
    return set()


def _finish_axes(
    grid: Sequence[Axes], columns: int, table: pd.DataFrame, roles: _Roles, log_x: bool | None, log_y: bool | None
) -> None:
    """Scales, and labels on the outer panels alone; a panel with none below it is an outer one."""
    logs = [
        spans_decades(table[column]) if wanted is None else wanted
        for column, wanted in ((roles.x, log_x), (roles.y, log_y))
    ]
    for axes in grid:
        set_scales(axes, table[roles.x], table[roles.y], *logs)
        axes.label_outer()
    for axes in grid[-columns:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(label_of(roles.x))
