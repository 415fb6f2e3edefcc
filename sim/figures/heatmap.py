"""Heat maps over two axes: which series is best where, or how large a figure is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import values_of
from sim.figures.labels import label_of, number, value_label
from sim.figures.pareto import MORE_IS_BETTER
from sim.figures.style import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# With more cells than this the numbers in them cannot be read.
_MOST_NUMBERS = 72


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


def draw_best(
    axes: Axes, table: pd.DataFrame, x: str, y: str, metric: str, by: str | None, series: Sequence[Any]
) -> None:
    """A cell per pair of values, coloured by the best series and holding its mean; one series: shaded by the mean."""
    columns, rows = values_of(table, x), values_of(table, y)
    if by is None:
        best = _grid(table, table, x, y, metric)
        image = axes.imshow(best, origin="lower", aspect="auto", cmap="cividis")
        axes.figure.colorbar(image, ax=axes, label=label_of(metric), pad=0.02)
        faces = np.asarray(image.cmap(image.norm(best)), dtype=float)
    else:
        index, best = best_series(table, x, y, metric, by, series)
        faces = _faces(index)
        axes.imshow(faces, origin="lower", aspect="auto")
        for place, name in enumerate(series):
            if (index == place).any():
                axes.plot(
                    [], [], ls="", marker="s", ms=7, color=COLOURS[place % len(COLOURS)], label=value_label(by, name)
                )
        extreme = "highest" if metric in MORE_IS_BETTER else "lowest"
        axes.set_title(
            f"{extreme} {label_of(metric)[0].lower()}{label_of(metric)[1:]}", fontsize=6.5, color="#555555", loc="right"
        )
    axes.set_xticks(range(len(columns)), [number(value) for value in columns])
    axes.set_yticks(range(len(rows)), [number(value) for value in rows])
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    if best.size <= _MOST_NUMBERS:
        _write_numbers(axes, best, faces)


def _faces(index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    from matplotlib.colors import to_rgba

    colours = np.array([to_rgba(colour) for colour in COLOURS] + [to_rgba("#FFFFFF")])
    return colours[np.where(index < 0, len(COLOURS), index % len(COLOURS))]


def _write_numbers(axes: Axes, best: npt.NDArray[np.float64], faces: npt.NDArray[np.float64]) -> None:
    luminance = faces[..., :3] @ np.array([0.2126, 0.7152, 0.0722])
    for (row, column), value in np.ndenumerate(best):
        if np.isfinite(value):
            ink = "white" if luminance[row, column] < 0.5 else "black"
            axes.text(
                column,
                row,
                f"{value:.2g}" if value < 10 else f"{value:.0f}",
                ha="center",
                va="center",
                color=ink,
                fontsize=6.5,
            )
