"""Pareto fronts: the conditions that no other beats in both figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import means_by, varied_columns
from sim.figures.labels import label_of
from sim.figures.options import Look, looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Of all other columns less is better.
MORE_IS_BETTER = (
    "tokens_per_s",
    "acceptance_rate",
    "inner_acceptance_rate",
    "accepted_fraction",
    "block_efficiency",
    "overlap",
    "uplink_throughput_bps",
    "downlink_throughput_bps",
    "uplink_jain_index",
    "downlink_jain_index",
)


def pareto_front(
    x: npt.ArrayLike, y: npt.ArrayLike, more_x: bool = False, more_y: bool = False
) -> npt.NDArray[np.bool_]:
    """Which points no other point equals or beats in both values and beats in one.

    Args:
        x: Values. [num_points]
        y: Values. [num_points]
        more_x: More is better, rather than less.
        more_y: The same for ``y``.
    """
    first = np.asarray(x, dtype=float) * (-1 if more_x else 1)
    second = np.asarray(y, dtype=float) * (-1 if more_y else 1)
    no_worse = (first[None, :] <= first[:, None]) & (second[None, :] <= second[:, None])
    better = (first[None, :] < first[:, None]) | (second[None, :] < second[:, None])
    value: npt.NDArray[np.bool_] = ~(no_worse & better).any(axis=1) & np.isfinite(first) & np.isfinite(second)
    return value


def draw_front(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None,
    series: Sequence[Any],
    looks: Sequence[Look] | None = None,
) -> None:
    """Every condition's mean as a point, filled on the front, and the front as a line."""
    groups = varied_columns(table)
    points = means_by(table, groups, list(dict.fromkeys([x, y]))).dropna(subset=[x, y])
    front = pareto_front(points[x], points[y], x in MORE_IS_BETTER, y in MORE_IS_BETTER)
    on_front = points[front].sort_values([x, y])
    axes.plot(on_front[x], on_front[y], color="#8A8A8A", lw=1, zorder=1, label="Pareto front")
    for name, look in zip(series, looks or looks_of(by, series), strict=True):
        chosen = np.ones(len(points), dtype=bool) if by is None else (points[by] == name).to_numpy()
        if not chosen.any():
            continue
        for mask, face in ((chosen & ~front, "white"), (chosen & front, look.colour)):
            axes.plot(points[x][mask], points[y][mask], ls="", marker=look.marker, mec=look.colour, mfc=face, mew=0.9)
        axes.plot([], [], ls="", marker=look.marker, mec=look.colour, mfc=look.colour, label=look.label)
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
