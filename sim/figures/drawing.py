"""The two kinds of panel that most figures are made of: curves with confidence bands, and stacked breakdown bars."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core.breakdown import PARTS
from sim.figures.conditions import means_by, varied_columns
from sim.figures.labels import alike, label_of, name_of, panel_label, part_name, within_line
from sim.figures.options import Look, looks_of
from sim.figures.statistics import mean_interval, over_replications
from sim.figures.style import CHARACTER_INCHES, HATCHED_PARTS, PART_COLOURS
from sim.figures.ticks import set_ticks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Axes that span more than this are logarithmic.
_LOG_DECADES = 1.5
LOG_DECADES_Y = 1.0
"""The same for the vertical axis of figures over a key."""
# A longer name of a bar is broken.
NAME_CHARACTERS = 24
NOTE: dict[str, Any] = {"fontsize": 6.5, "color": "#555555"}
# Series at one name of an axis stand side by side over this share of the room between two names.
_DODGE = 0.5
# Parts that are below this share of every bar are drawn together.
_SMALL_PART = 0.01
# Marks the areas and edges of intervals.
_BAND = "band"


def spans_decades(values: npt.ArrayLike, decades: float = _LOG_DECADES) -> bool:
    """Whether positive values span more than so many decades; False if any is not positive."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return bool(len(finite) and finite.min() > 0 and np.log10(finite.max() / finite.min()) > decades)


def draw_curves(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None,
    series: Sequence[Any],
    looks: Sequence[Look] | None = None,
) -> set[int]:
    """Draw a curve per series with its band; returns how many replications the points have."""
    counts: set[int] = set()
    for name, look in zip(series, looks or looks_of(by, series), strict=True):
        chosen = table if by is None else table[table[by] == name]
        if chosen.empty:
            continue
        if chosen[x].isna().all():
            counts |= _draw_level(axes, chosen, y, look)
            continue
        points = over_replications(chosen, x, y).dropna(subset=["mean"])
        counts.update(int(n) for n in points["n"])
        shown: dict[str, Any] = {"color": look.colour, "marker": look.marker, "ls": look.line, "label": look.label}
        axes.plot(points["x"], points["mean"], **shown)
        if points["half"].notna().any():
            _draw_band(axes, points, look.colour)
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    return counts


def _draw_level(axes: Axes, table: pd.DataFrame, y: str, look: Look) -> set[int]:
    """A series that does not know the horizontal axis: its mean as a level across it; returns the replications."""
    mean, half, count = mean_interval(table[y])
    if not count:
        return set()
    axes.axhline(mean, color=look.colour, ls=look.line, lw=1.1, label=look.label)
    if not np.isnan(half):
        axes.axhspan(mean - half, mean + half, color=look.colour, alpha=0.1, lw=0)
    return {count}


def draw_conditions(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None,
    series: Sequence[Any],
    looks: Sequence[Look] | None = None,
) -> None:
    """One figure against another: a point per condition at its means, with 95 % intervals both ways.

    The points of a series are joined in the order of the axis that makes them, if it is one alone.
    """
    # A table of requests is drawn request by request.
    varied = [] if "request" in table else varied_columns(table)
    points = means_by(table, varied, list(dict.fromkeys([x, y])))
    order = [column for column in varied if column != by]
    if len(order) == 1:
        points = points.sort_values(order[0])
    for name, look in zip(series, looks or looks_of(by, series), strict=True):
        chosen = points if by is None else points[points[by] == name]
        axes.errorbar(
            chosen[x],
            chosen[y],
            xerr=chosen[f"{x}_half"],
            yerr=chosen[f"{y}_half"],
            color=look.colour,
            marker=look.marker,
            ls=look.line if len(order) == 1 else "",
            elinewidth=0.7,
            label=look.label,
        )
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))


def draw_names(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None,
    series: Sequence[Any],
    names: Sequence[Any],
    looks: Sequence[Look] | None = None,
) -> set[int]:
    """Over a column of names: a point per name and series with its interval; returns the numbers of replications."""
    counts: set[int] = set()
    step = _DODGE / max(1, len(series) - 1)
    for index, (name, look) in enumerate(zip(series, looks or looks_of(by, series), strict=True)):
        chosen = table if by is None else table[table[by] == name]
        points = over_replications(chosen, x, y).dropna(subset=["mean"])
        counts.update(int(n) for n in points["n"])
        aside = (index - (len(series) - 1) / 2) * step
        axes.errorbar(
            [names.index(value) + aside for value in points["x"]],
            points["mean"],
            yerr=points["half"],
            color=look.colour,
            marker=look.marker,
            ls="",
            elinewidth=0.9,
            capsize=2,
            label=look.label,
        )
    labels = [str(name) for name in names]
    fits = max(map(len, labels)) * CHARACTER_INCHES["tick"] < _width_inches(axes) / len(labels)
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right"}
    axes.set_xticks(range(len(names)), labels, **({} if fits else slanted))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    return counts


def _width_inches(axes: Axes) -> float:
    figure: Any = axes.figure
    return float(axes.get_window_extent().width / figure.dpi)


def head_panel(axes: Axes, text: str, pad: float | None = None) -> None:
    """The head of a panel, on as many lines as its width asks for."""
    room = int(_width_inches(axes) / CHARACTER_INCHES["head"])
    axes.set_title(textwrap.fill(text, max(16, room)), pad=pad)


def _draw_band(axes: Axes, points: pd.DataFrame, colour: str) -> None:
    """The interval as a band with edges, so that bands on top of each other can be distinguished."""
    half = points["half"].fillna(0.0)
    low, high = points["mean"] - half, points["mean"] + half
    axes.fill_between(points["x"], low, high, color=colour, alpha=0.13, linewidth=0, gid=_BAND)
    for edge in (low, high):
        axes.plot(points["x"], edge, color=colour, lw=0.5, alpha=0.6, gid=_BAND)


def say_replications(axes: Axes, counts: set[int], what: str = "bands") -> None:
    """Say over how many replications the bands are, above the panel."""
    axes.set_title(intervals_note(counts, what), loc="right", pad=3, **NOTE)


def intervals_note(counts: set[int], what: str = "bands") -> str:
    """Over how many replications the intervals are, in words."""
    if not counts or max(counts) < 2:
        return "one replication: no interval"
    min_count, max_count = min(counts), max(counts)
    return f"{what}: 95 % CI, n = {min_count}" + ("" if min_count == max_count else f" to {max_count}")


def held_note(held: Mapping[str, Any]) -> str:
    """What a figure does not vary although the sweep did, in words; empty if that is nothing."""
    if not held:
        return ""
    return "at " + ", ".join(within_line(column, panel_label(column, value)) for column, value in held.items())


def left_out_note(table: pd.DataFrame, column: str | None, shown: Sequence[Any]) -> str:
    """How many values of a column a figure shows, in words; empty if that is all of them."""
    count = 0 if column is None else table[column].nunique()
    return f"{len(shown)} of {count} values of {name_of(str(column)).lower()}" if count > len(shown) else ""


def without_note(table: pd.DataFrame, by: str | None) -> str:
    """Which variants have no value of the column that makes the series, and so are not drawn; empty if none."""
    if by is None or not table[by].isna().any():
        return ""
    rows = table[table[by].isna()]
    names = rows["variant"].unique().tolist() if "variant" in rows and by != "variant" else []
    listed = f": {', '.join(map(str, names))}" if names else f": {len(rows)} rows"
    return f"without {within_line(by, name_of(by))}{listed}"


def set_scales(
    axes: Axes,
    x_values: npt.ArrayLike,
    y_values: npt.ArrayLike,
    log_x: bool,
    log_y: bool,
    is_key: bool = False,
) -> None:
    """Scales and plain numbers on their ticks; a linear y axis starts at zero.

    To be called when all panels that share the axes are drawn: it ends automatic limits.

    Args:
        axes: Whose labels are set already.
        x_values, y_values: What is drawn.
        log_x, log_y: Whether an axis is logarithmic.
        is_key: Whether the horizontal values were chosen, so that ticks belong at them if they are few.
    """
    for axis, values, log, key in ((axes.xaxis, x_values, log_x, is_key), (axes.yaxis, y_values, log_y, False)):
        if log:
            axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        set_ticks(axis, values, log, key)
    if log_y:
        _end_bands_at_the_bottom(axes)
    y = np.asarray(y_values, dtype=float)
    y = y[np.isfinite(y)]
    if not log_y and len(y) and y.min() >= 0:
        low, top = _lowest_bar(axes), axes.get_ylim()[1]
        axes.set_ylim(bottom=low - 0.03 * (top - low) if low < 0 else 0)


def _lowest_bar(axes: Axes) -> float:
    """Where the lowest error bar of all panels that share the axis ends; 0 if none goes below zero."""
    from matplotlib.container import ErrorbarContainer

    panels = axes.get_shared_y_axes().get_siblings(axes)
    bars = [one for panel in panels for one in panel.containers if isinstance(one, ErrorbarContainer)]
    segments = [segment for one in bars if one.has_yerr for lines in one.lines[2] for segment in lines.get_segments()]
    lows = [float(np.nanmin(segment[:, 1])) for segment in segments if not np.isnan(segment).all()]
    return min([0.0, *lows])


def _end_bands_at_the_bottom(axes: Axes) -> None:
    """Let bands that reach zero or below run out of a logarithmic axis in a slope instead of a vertical drop."""
    bottom, top = axes.get_ylim()
    for line in (one for one in axes.lines if one.get_gid() == _BAND):
        edge = np.asarray(line.get_ydata(), dtype=float)
        line.set_ydata(np.where(edge <= 0, bottom, edge))
    for band in (one for one in axes.collections if one.get_gid() == _BAND):
        for path in band.get_paths():
            corners = np.asarray(path.vertices)
            corners[corners[:, 1] <= 0, 1] = bottom
    axes.set_ylim(bottom, top)


def draw_breakdown(axes: Axes, names: Sequence[str], means: pd.DataFrame, parts: Sequence[str]) -> None:
    """Horizontal stacked bars.

    Args:
        axes: Where to.
        names: Label of each bar.
        means: Seconds, a row per bar and a column per part, ``other`` among them if it is in ``parts``.
        parts: Which parts, in their order.
    """
    places = np.arange(len(names))
    left = np.zeros(len(names))
    names = [textwrap.fill(name, NAME_CHARACTERS) for name in names]
    for part in parts:
        seconds = means[part].to_numpy(dtype=float)
        axes.barh(
            places,
            seconds,
            left=left,
            height=0.7,
            color=PART_COLOURS[part],
            edgecolor="white",
            linewidth=0.4,
            hatch="////" if part in HATCHED_PARTS else None,
            label="other" if part == "other" else part_name(part),
        )
        left += seconds
    for place, total, text in zip(places, left, alike(list(left)), strict=True):
        axes.annotate(f"{text} s", (total, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, float(left.max()) * 1.2 if left.max() > 0 else 1.0)
    set_ticks(axes.xaxis, axes.get_xlim(), log=False)


def parts_of(table: pd.DataFrame, suffix: str) -> tuple[pd.DataFrame, list[str]]:
    """Breakdown columns by part, small ones summed as ``other``, and the parts there are to draw.

    Args:
        table: With columns ``<part><suffix>``.
        suffix: ``_s`` of requests, ``_mean_s`` of sweeps.
    """
    import pandas as pd

    frame = pd.DataFrame({part: table[f"{part}{suffix}"] for part in PARTS if f"{part}{suffix}" in table}).fillna(0.0)
    totals = frame.sum(axis=1).replace(0.0, np.nan)
    largest = {str(part): float(share) for part, share in frame.div(totals, axis=0).max().items()}
    small = [part for part, share in largest.items() if 0 < share < _SMALL_PART]
    shown = [part for part, share in largest.items() if share >= _SMALL_PART]
    if small:
        frame["other"] = frame[small].sum(axis=1)
        shown.append("other")
    return frame, shown
