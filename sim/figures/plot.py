"""``specran plot``: any column against any other, as curves, as a Pareto front, or as a map of who is best where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sim.core.errors import InputError, unknown_name_message
from sim.figures.conditions import check_columns, join, only, varied_columns
from sim.figures.legends import place_title
from sim.figures.options import FigureOptions
from sim.figures.panels import draw_panels
from sim.figures.registry import FIGURES
from sim.figures.roles import check_logs, check_results, find_roles, heatmap_roles
from sim.figures.style import styled
from sim.figures.ticks import label_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS = ("line", "pareto", "heatmap")
"""What is drawn from columns; every other kind is a registered figure, or ``module:Name``."""


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
    options: FigureOptions | None = None,
) -> Figure:
    """Draw one figure from tables of runs or sweeps.

    Args:
        tables: Requests of runs or tables of sweeps; several are distinguished as ``result``.
        x: Column on the horizontal axis, of numbers or of names; the first varied key if None.
        y: Column on the vertical axis. Of a heat map: an axis, or the figure to compare over the first two axes.
        by: Column that makes the series; what else was varied if None.
        facet: Column that makes the panels, likewise.
            Whatever else was varied is held at its middle value, and the figure says so.
        kind: ``line`` with 95 % bands over replications, ``pareto``, ``heatmap``, the name of a registered figure, or
            ``module:Name`` of one's own. A registered figure chooses its columns itself.
        log_x: Logarithmic horizontal axis; where the values span more than 1.5 decades if None.
        log_y: The same for the vertical axis, where the values span more than one decade if None.
        style: Size, where no options are given.
        where: Columns and the values of theirs that are drawn.
        options: Size, labels, limits, legend, colours.

    Raises:
        InputError: An unknown column, kind, style or value, or nothing to draw.
    """
    options = options or FigureOptions(size=style)
    table, fixed = only(join(tables), where or {})
    if kind not in KINDS:
        return _registered(kind, table, options)
    check_columns(table, x=x, y=y, by=by, facet=facet)
    roles = heatmap_roles(table, x, y, by, facet) if kind == "heatmap" else find_roles(table, x, y, by, facet, kind)
    check_results(table, roles)
    check_logs(table, roles, log_x, log_y)
    with styled(options.style_file):
        return draw_panels(table, roles, kind, log_x, log_y, options, fixed)


def _registered(kind: str, table: pd.DataFrame, options: FigureOptions) -> Figure:
    """A figure by its registered name."""
    try:
        entry = FIGURES.find(kind)
    except InputError as error:
        if ":" in kind:
            raise
        raise InputError(
            f"--kind: {unknown_name_message('kind of figure', kind, [*KINDS, *FIGURES.names()])}"
        ) from error
    if options.names or options.colors or options.order:
        raise InputError(f"--kind {kind}: names, order and colours of series are those of {', '.join(KINDS)} alone")
    with styled(options.style_file):
        figure = entry.make(table, varied_columns(table), options.size)
        if figure is None:
            raise InputError(f"--kind {kind}: this table has nothing for that figure: {entry.summary}")
        _relabel(figure, options)
    return figure


def _relabel(figure: Figure, options: FigureOptions) -> None:
    for axes in figure.axes:
        if options.x_label is not None and axes.get_xlabel():
            label_axis(axes.xaxis, options.x_label)
        if options.y_label is not None and axes.get_ylabel():
            label_axis(axes.yaxis, options.y_label)
        if options.x_limits != (None, None):
            axes.set_xlim(*options.x_limits)
        if options.y_limits != (None, None):
            axes.set_ylim(*options.y_limits)
    if options.legend == "none":
        for legend in list(figure.legends):
            legend.remove()
    place_title(figure, options.title)
