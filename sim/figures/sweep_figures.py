"""The figures of a sweep: latency with confidence bands, the breakdown as stacked bars, what rows cost, throughput."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.figures.conditions import spread, values_of
from sim.figures.drawing import (
    LOG_DECADES_Y,
    NAME_CHARACTERS,
    draw_breakdown,
    draw_curves,
    head_panel,
    held_note,
    intervals_note,
    left_out_note,
    parts_of,
    say_replications,
    set_scales,
    spans_decades,
)
from sim.figures.heatmap import draw_best
from sim.figures.labels import entry_label, panel_label, series_title
from sim.figures.legends import legend_above
from sim.figures.options import FigureOptions
from sim.figures.panels import draw_panels
from sim.figures.registry import FIGURES
from sim.figures.roles import Roles
from sim.figures.rows_figure import draw_rows
from sim.figures.style import new_figure, save_all, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MAX_SERIES = 8
_MAX_PANELS = 4
_MAX_BARS = 24


Each = Callable[[Callable[[str], list[Path]], Sequence[str]], Iterable[list[Path]]]


@dataclass(frozen=True)
class AxisRoles:
    """Which axis of a sweep goes where.

    Attributes:
        x: The horizontal axis, None if no axis is numeric.
        by: What makes the curves.
        facet: What makes the panels.
        fixed: Value at which each remaining axis is held.
    """

    x: str | None
    by: str | None
    facet: str | None
    fixed: dict[str, Any]


def axis_roles(table: pd.DataFrame, sweep_axes: Sequence[str]) -> AxisRoles:
    """Share a sweep's axes among horizontal axis, curves and panels; what is left is held at its middle value."""
    import pandas as pd

    varied = [axis for axis in sweep_axes if axis in table and table[axis].nunique() > 1]
    numeric = [axis for axis in varied if pd.api.types.is_numeric_dtype(table[axis])]
    x = numeric[0] if numeric else None
    rest = [axis for axis in varied if axis != x]
    if "variant" in table and table["variant"].nunique() > 1:
        rest.insert(0, "variant")
    by = rest.pop(0) if rest else None
    facet = rest.pop(0) if rest else None
    return AxisRoles(x, by, facet, {axis: values_of(table, axis)[table[axis].nunique() // 2] for axis in rest})


def draw_sweep(
    table: pd.DataFrame, sweep_axes: list[str], folder: Path, style: str = "one_column", each: Each = map
) -> list[Path]:
    """Draw a sweep's figures into ``folder``.

    Args:
        table: One row per point and replication: a column per varied key, labels, summary columns.
        sweep_axes: The varied keys, the one for the horizontal axis first.
        folder: Made if it is missing.
        style: ``one_column`` or ``two_column``.
        each: Calls a function with each of some names; perhaps in other processes, which draw side by side.

    Returns:
        The files, PNG, PDF and SVG of each figure.
    """
    if table.empty:
        return []
    return [
        path for written in each(partial(_draw, table, sweep_axes, folder, style), SWEEP_FIGURES) for path in written
    ]


def _draw(table: pd.DataFrame, sweep_axes: list[str], folder: Path, style: str, name: str) -> list[Path]:
    """One figure; no files where the sweep has nothing for it."""
    figure = FIGURES.find(name).make(table, sweep_axes, style)
    return [] if figure is None else save_all(figure, folder, name)


@FIGURES.register("latency")
def latency(table: pd.DataFrame, sweep_axes: Sequence[str], style: str = "one_column") -> Figure | None:
    """Mean end-to-end latency over the first numeric axis; None if there is none."""
    return _curves(table, sweep_axes, "e2e_mean_s", style)


@FIGURES.register("throughput")
def throughput(table: pd.DataFrame, sweep_axes: Sequence[str], style: str = "one_column") -> Figure | None:
    """Tokens per second of all devices over the first numeric axis; None if there is none."""
    return _curves(table, sweep_axes, "tokens_per_s", style)


@FIGURES.register("attainment")
def attainment(table: pd.DataFrame, sweep_axes: Sequence[str], style: str = "one_column") -> Figure | None:
    """Share of requests that meet the objectives, over the first numeric axis; None without objectives or an axis."""
    if not any(column in table for column in ("ttft_attainment", "tpot_attainment", "e2e_attainment")):
        return None
    return _curves(table, sweep_axes, "slo_attainment", style)


@FIGURES.register("breakdown")
def breakdown(table: pd.DataFrame, sweep_axes: Sequence[str], style: str = "one_column") -> Figure:
    """Where the time goes, a bar per scheme, at the ends and the middle of the first numeric axis."""
    table, roles = _held(table, sweep_axes)
    with styled():
        return _bars(table, roles, style)


@FIGURES.register("rows")
def rows(table: pd.DataFrame, sweep_axes: Sequence[str], style: str = "one_column") -> Figure | None:
    """Acceptance rate and uplink payload over row length or by scheme; None if neither was varied or changes them."""
    table, roles = _held(table, sweep_axes)
    with styled():
        return draw_rows(table, roles.by, [axis for axis in sweep_axes if axis not in roles.fixed], style)


@FIGURES.register("best")
def best(table: pd.DataFrame, sweep_axes: Sequence[str], style: str = "one_column") -> Figure | None:
    """Which variant has the lowest latency over the first two numeric axes; None without two axes and two variants."""
    import pandas as pd

    varied = [axis for axis in sweep_axes if axis in table and table[axis].nunique() > 1]
    numeric = [axis for axis in varied if pd.api.types.is_numeric_dtype(table[axis])]
    if len(numeric) < 2 or "variant" not in table or not 1 < table["variant"].nunique() <= _MAX_SERIES:
        return None
    x, y = numeric[:2]
    held = {axis: values_of(table, axis)[table[axis].nunique() // 2] for axis in varied if axis not in (x, y)}
    for axis, value in held.items():
        table = table[table[axis] == value]
    with styled():
        figure = new_figure(style, 2.55)
        axes = figure.subplots()
        draw_best(axes, table, x, y, "e2e_mean_s", "variant", values_of(table, "variant"))
        columns = 2 if style == "one_column" else 5
        legend_above(figure, [axes], columns, handle_length=1.2, note=held_note(held))
    return figure


SWEEP_FIGURES = ("latency", "throughput", "attainment", "best", "breakdown", "rows")
"""RegistryEntry figures that every sweep draws, in the order of its report."""


def _held(table: pd.DataFrame, sweep_axes: Sequence[str]) -> tuple[pd.DataFrame, AxisRoles]:
    """The rows at the held values of the axes that are not drawn, and the plan."""
    roles = axis_roles(table, sweep_axes)
    for axis, value in roles.fixed.items():
        table = table[table[axis] == value]
    return table, roles


def _curves(table: pd.DataFrame, sweep_axes: Sequence[str], y: str, style: str) -> Figure | None:
    table, roles = _held(table, sweep_axes)
    if roles.x is None:
        return None
    with styled():
        many = roles.by is not None and table[roles.by].nunique() > _MAX_SERIES
        if many or (roles.facet is not None and table[roles.facet].nunique() > _MAX_PANELS):
            shown = Roles(roles.x, y, roles.by, roles.facet)
            options = FigureOptions(size="two_column")
            return draw_panels(table, shown, "line", None, None, options, roles.fixed)
        return _draw_curves(table, roles, roles.x, y, style)


def _draw_curves(table: pd.DataFrame, roles: AxisRoles, x: str, y: str, style: str) -> Figure:
    panels = [None] if roles.facet is None else values_of(table, roles.facet)
    series = [None] if roles.by is None else values_of(table, roles.by)
    wide = len(panels) > 1
    figure = new_figure("two_column" if wide else style, 2.5)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    counts: set[int] = set()
    log_x, log_y = spans_decades(table[x]), spans_decades(table[y], LOG_DECADES_Y)
    for axes, panel in zip(grid, panels, strict=True):
        chosen = table if panel is None else table[table[roles.facet] == panel]
        counts |= draw_curves(axes, chosen, x, y, roles.by, series)
        if panel is not None:
            head_panel(axes, panel_label(str(roles.facet), panel))
    for axes in grid:
        set_scales(axes, table[x], table[y], log_x, log_y, is_key=True)
        axes.label_outer()
    notes = [held_note(roles.fixed)]
    if wide:
        notes.insert(0, intervals_note(counts))
    else:
        say_replications(grid[0], counts)
    columns = 6 if wide or style == "two_column" else 2
    legend_above(figure, list(grid), columns, note="; ".join(filter(None, notes)), title=series_title(roles.by))
    return figure


def _bars(table: pd.DataFrame, roles: AxisRoles, style: str) -> Figure:
    at: list[Any] = [None] if roles.x is None else spread(values_of(table, roles.x), 3)
    held = dict(roles.fixed)
    if roles.facet is not None:
        held[roles.facet] = values_of(table, roles.facet)[0]
        table = table[table[roles.facet] == held[roles.facet]]
    names: list[Any] = [None] if roles.by is None else spread(values_of(table, roles.by), _MAX_BARS)
    frame, parts = parts_of(table, "_mean_s")
    title = series_title(roles.by)
    counts: set[int] = set()
    is_long = any(len(entry_label(str(roles.by), name)) > NAME_CHARACTERS for name in names)
    figure = new_figure(style, 0.9 + len(at) * (0.42 + (0.27 if is_long else 0.2) * len(names)))
    grid = figure.subplots(len(at), 1, squeeze=False)[:, 0]
    for axes, value in zip(grid, at, strict=True):
        here = np.ones(len(table), dtype=bool) if roles.x is None else (table[roles.x] == value).to_numpy()
        groups = {name: here if name is None else here & (table[roles.by] == name).to_numpy() for name in names}
        groups = {name: mask for name, mask in groups.items() if mask.any()}
        import pandas as pd

        means = pd.DataFrame([frame[mask].mean() for mask in groups.values()])
        labels = ["all" if name is None else entry_label(str(roles.by), name) for name in groups]
        draw_breakdown(axes, labels, means, parts)
        counts.update(int(mask.sum()) for mask in groups.values())
        if roles.x is not None:
            axes.set_title(panel_label(roles.x, value), loc="left", fontsize=7.5)
    grid[-1].set_xlabel("Time per request (s)")
    if title:
        figure.supylabel(title, fontsize=7.5)
    columns = 3 if style == "one_column" else 6
    notes = [f"means of n = {min(counts)}" if min(counts) > 1 else "", held_note(held)]
    notes.append(left_out_note(table, roles.by, names))
    legend_above(figure, list(grid), columns, handle_length=1.2, note="; ".join(filter(None, notes)))
    return figure
