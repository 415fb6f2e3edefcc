"""Heat maps over two axes: which series is best where, or how large a figure is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import values_of
from sim.figures.drawing import spans_decades
from sim.figures.labels import label_of, number
from sim.figures.options import Look, looks_of
from sim.figures.pareto import MORE_IS_BETTER
from sim.figures.ticks import log_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Shades of means that span more than this are logarithmic.
_SHADE_DECADES = 1.0
# What a character of a cell's number and of a tick's label takes, and the height of their lines.
_NUMBER_INCHES, _TICK_INCHES, _LINE_INCHES = 0.058, 0.066, 0.12


def best_series(
    table: pd.DataFrame, x: str, y: str, metric: str, by: str, series: Sequence[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Index of the series with the best mean of ``metric`` in each cell, -1 where there is none, and that mean.

    Returns:
        Index and mean. [num_y, num_x]
    """
    means = np.stack([_grid(table[table[by] == name], table, x, y, metric) for name in series])
    if metric in MORE_IS_BETTER:
        means = -means
    filled = np.where(np.isnan(means), np.inf, means)
    index = filled.argmin(axis=0)
    best = filled.min(axis=0)
    index = np.where(np.isfinite(best), index, -1)
    best = np.where(np.isfinite(best), best, np.nan)
    return index, -best if metric in MORE_IS_BETTER else best


def _grid(chosen: pd.DataFrame, table: pd.DataFrame, x: str, y: str, metric: str) -> npt.NDArray[np.float64]:
    means = chosen.pivot_table(index=y, columns=x, values=metric, aggfunc="mean", observed=False)
    grid = means.reindex(index=values_of(table, y), columns=values_of(table, x))
    return grid.to_numpy(dtype=float)


def mean_limits(table: pd.DataFrame, facet: str | None, x: str, y: str, metric: str) -> tuple[float, float]:
    """Least and largest mean of any cell of any panel, so that panels share their shades."""
    groups = [x, y] if facet is None else [x, y, facet]
    means = table.groupby(groups, observed=True)[metric].mean()
    return float(means.min()), float(means.max())


def draw_best(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    metric: str,
    by: str | None,
    series: Sequence[Any],
    limits: tuple[float, float] | None = None,
    looks: Sequence[Look] | None = None,
) -> None:
    """A cell per pair of values, coloured by the best series and holding its mean; one series: shaded by the mean.

    Args:
        axes: Where to.
        table: A row per condition and replication.
        x: Column on the horizontal axis.
        y: Column on the vertical axis.
        metric: Column whose mean is compared.
        by: Column that makes the series, if any.
        series: Its values.
        limits: Means at the ends of the shades; the table's own if left out.
        looks: Colours of the series.
    """
    columns, rows = values_of(table, x), values_of(table, y)
    if by is None:
        best = _grid(table, table, x, y, metric)
        low, high = limits or mean_limits(table, None, x, y, metric)
        image = axes.imshow(best, origin="lower", aspect="auto", cmap="cividis", norm=_shades(low, high))
        bar = axes.figure.colorbar(image, ax=axes, label=label_of(metric), pad=0.02)
        if spans_decades([low, high], _SHADE_DECADES):
            log_axis(bar.ax.yaxis, [low, high])
        faces = np.asarray(image.cmap(image.norm(best)), dtype=float)
    else:
        index, best = best_series(table, x, y, metric, by, series)
        looks = looks or looks_of(by, series)
        faces = _faces(index, [look.colour for look in looks])
        axes.imshow(faces, origin="lower", aspect="auto")
        for place, look in enumerate(looks):
            if (index == place).any():
                axes.plot([], [], ls="", marker="s", ms=7, color=look.colour, label=look.label)
        extreme = "highest" if metric in MORE_IS_BETTER else "lowest"
        axes.set_title(
            f"{extreme} {label_of(metric)[0].lower()}{label_of(metric)[1:]}", fontsize=6.5, color="#555555", loc="right"
        )
    width, height = _cell_inches(axes, len(columns), len(rows))
    _tick(axes.set_xticks, [number(value) for value in columns], width, _TICK_INCHES)
    _tick(axes.set_yticks, [number(value) for value in rows], height, None)
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    texts = {place: _short(value) for place, value in np.ndenumerate(best) if np.isfinite(value)}
    longest = max(map(len, texts.values()), default=0)
    # Numbers that would run into each other say less than none.
    if longest * _NUMBER_INCHES <= width and height >= _LINE_INCHES:
        _write_numbers(axes, texts, faces)


def _shades(low: float, high: float) -> Any:
    """Shades of means from ``low`` to ``high``, by their logarithm if they span more than a decade."""
    from matplotlib.colors import LogNorm, Normalize

    return LogNorm(low, high) if spans_decades([low, high], _SHADE_DECADES) else Normalize(low, high)


def _cell_inches(axes: Axes, num_columns: int, num_rows: int) -> tuple[float, float]:
    figure: Any = axes.figure
    box = axes.get_window_extent()
    return float(box.width / figure.dpi) / num_columns, float(box.height / figure.dpi) / num_rows


def _tick(set_ticks: Callable[..., Any], labels: Sequence[str], room: float, per_character: float | None) -> None:
    """Label as many cells as have room for it: each, or every second, third and so on."""
    longest = max(map(len, labels), default=0)
    needed = _LINE_INCHES if per_character is None else (longest + 1) * per_character
    step = max(1, int(np.ceil(needed / room)))
    places = range(0, len(labels), step)
    set_ticks(places, [labels[place] for place in places])


def _faces(index: npt.NDArray[np.int64], colours: Sequence[str]) -> npt.NDArray[np.float64]:
    from matplotlib.colors import to_rgba

    shades = np.array([to_rgba(colour) for colour in [*colours, "#FFFFFF"]])
    return shades[np.where(index < 0, len(colours), index)]


def _short(value: float) -> str:
    """A mean in a cell: two digits, or all that are before the point."""
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def _write_numbers(axes: Axes, texts: Mapping[tuple[int, ...], str], faces: npt.NDArray[np.float64]) -> None:
    luminance = faces[..., :3] @ np.array([0.2126, 0.7152, 0.0722])
    for (row, column), text in texts.items():
        ink = "white" if luminance[row, column] < 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=6.5)
