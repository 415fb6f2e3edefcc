"""Pareto fronts: the conditions that no other beats in both figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import is_numeric, means_by, values_of, varied_columns
from sim.figures.labels import label_of, panel_label
from sim.figures.options import Look, looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_GREY = "#8A8A8A"
# Marks of the least and of the largest value of a key that their size shows, and how many sizes can be distinguished.
_MARK_POINTS = (3.0, 7.0)
_MAX_SIZES = 6
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
) -> set[int]:
    """Every condition's means with their intervals: filled on the front, and the front as a line.

    What else was varied shows in the size of the marks, if it is one key of few numbers.

    Returns:
        Over how many replications the intervals are.
    """
    groups = varied_columns(table)
    points = means_by(table, groups, list(dict.fromkeys([x, y]))).dropna(subset=[x, y])
    points["front"] = pareto_front(points[x], points[y], x in MORE_IS_BETTER, y in MORE_IS_BETTER)
    sized = _sized(points, [column for column in groups if column != by])
    values = [] if sized is None else values_of(points, sized)
    sizes = dict(zip(values, np.linspace(*_MARK_POINTS, max(2, len(values))), strict=False))
    points["size"] = [sizes.get(value, _MARK_POINTS[1]) for value in points[sized]] if sized else 5.0
    on_front = points[points["front"]].sort_values([x, y])
    if len(on_front) > 1:
        axes.plot(on_front[x], on_front[y], color=_GREY, lw=1, zorder=1)
    for name, look in zip(series, looks or looks_of(by, series), strict=True):
        chosen = points if by is None else points[points[by] == name]
        # Small marks over large ones, where they meet.
        for point in chosen.sort_values("size", ascending=False).to_dict("records"):
            _mark(axes, point, x, y, look)
        if len(chosen) and look.label is not None:
            axes.plot([], [], ls="", marker=look.marker, mec=look.colour, mfc=look.colour, label=look.label)
    _explain(axes, sized, sizes, len(on_front), len(points))
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    return {int(n) for n in points["n"]}


def _sized(points: pd.DataFrame, others: Sequence[str]) -> str | None:
    """The key that the marks' sizes show: the one left beside the series, if it has few numbers."""
    numeric = [column for column in others if column != "variant" and is_numeric(points, column)]
    return numeric[0] if len(numeric) == 1 and 1 < points[numeric[0]].nunique() <= _MAX_SIZES else None


def _mark(axes: Axes, point: Mapping[Any, Any], x: str, y: str, look: Look) -> None:
    axes.errorbar(
        point[x],
        point[y],
        xerr=None if np.isnan(point[f"{x}_half"]) else point[f"{x}_half"],
        yerr=None if np.isnan(point[f"{y}_half"]) else point[f"{y}_half"],
        ls="",
        marker=look.marker,
        ms=point["size"],
        mec=look.colour,
        mfc=look.colour if point["front"] else "white",
        mew=0.9,
        ecolor=look.colour,
        elinewidth=0.6,
        zorder=2.5,
    )


def _explain(axes: Axes, sized: str | None, sizes: Mapping[Any, float], num_front: int, num_points: int) -> None:
    """What sizes, filling and the line mean, as entries of the legend; only of what is drawn."""
    for value, size in sizes.items():
        text = panel_label(str(sized), value)
        axes.plot([], [], ls="", marker="o", ms=size, mec=_GREY, mfc="white", mew=0.9, label=text)
    if num_points > num_front:
        line = {"ls": "-", "lw": 1} if num_front > 1 else {"ls": ""}
        axes.plot([], [], **line, color=_GREY, marker="o", mec=_GREY, mfc=_GREY, label="filled: Pareto front")
