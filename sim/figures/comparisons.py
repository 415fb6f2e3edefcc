"""Figures of the scenarios that compare schemes, where curves alone do not say enough: break-evens and frontiers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.figures.conditions import means_by, values_of
from sim.figures.drawing import draw_curves, say_replications, set_scales, spans_decades
from sim.figures.labels import label_of, series_title, within_line
from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, MARKERS, new_figure, styled
from sim.figures.sweep_figures import breakdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DELAY = "link.one_way_delay_s"
_LATENCY = "token_latency_s"
_ATTAINMENT = "slo_attainment"
_LENGTH = re.compile(r"gamma (\d+)$")
_MAX_SERIES = 8
_PARAMETER = re.compile(r"^(.*) (?:K|ell)=\d+$")


def latency_of(x: str, by: str = "variant", mark_best: bool = False) -> Callable[[pd.DataFrame, Any], Figure]:
    """Latency per token over a varied key, whatever is varied along with it.

    Args:
        x: The key on the horizontal axis.
        by: What makes the curves, eight at most.
        mark_best: Whether a ring marks the least latency of each curve.
    """

    def draw(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
        with styled():
            figure, panel, series = _latency(table, x, by, log=True)
            if mark_best:
                _mark_best(panel, table, x, by, series)
                figure.legends[0].remove()
                legend_above(figure, [panel], 2, title=series_title(by))
            return figure

    return draw


def capacity_of(
    x: str, y: str, objectives_s: Sequence[float], by: str = "variant", share: float = 0.95
) -> Callable[[pd.DataFrame, Any], Figure]:
    """Requests within their objectives over a varied key, and how much of the key is served within other objectives.

    Below, curves of means are taken to go straight between points. What is still served at the last point is drawn
    there, so that a curve that ends level says "at least"; an objective that is missed at the first point has no value.

    Args:
        x: The key, such as the number of devices.
        y: The mean that is to be within an objective [s].
        objectives_s: Objectives on the lower horizontal axis.
        by: What makes the curves.
        share: Where a line is drawn above: capacity is where a curve falls below it.
    """

    def draw(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
        series, served = values_of(table, by), served_within(table, x, y, objectives_s, by)
        with styled():
            figure = new_figure("one_column", 4.4)
            above, below = figure.subplots(2, 1)
            say_replications(above, draw_curves(above, table, x, _ATTAINMENT, by, series))
            above.axhline(share, color="#777777", lw=0.8, ls=":")
            above.set_ylim(0.0, 1.05)
            draw_curves(below, served, "objective_s", "served", by, series)
            below.set_xlabel(f"Objective for {within_line(y, label_of(y))}")
            below.set_ylabel(f"{label_of(x)} within it")
            below.set_ylim(0.0, None)
            legend_above(figure, [above], 2, title=series_title(by))
            return figure

    return draw


def served_within(table: pd.DataFrame, x: str, y: str, objectives_s: Sequence[float], by: str) -> pd.DataFrame:
    """The value of ``x`` up to which ``y`` is within each objective, by series and replication.

    Returns:
        Columns ``by``, ``replication``, ``objective_s`` and ``served``.
    """
    import pandas as pd

    rows = []
    for (series, replication), points in table.groupby([by, "replication"], sort=False):
        ordered = points.sort_values(x)
        # A mean that falls again does not take back that an objective was missed.
        places, means = ordered[x].to_numpy(dtype=float), np.maximum.accumulate(ordered[y].to_numpy(dtype=float))
        for objective_s in objectives_s:
            served = float(np.interp(objective_s, means, places)) if objective_s >= means[0] else float("nan")
            rows.append({by: series, "replication": replication, "objective_s": objective_s, "served": served})
    return pd.DataFrame(rows)


def _mark_best(panel: Axes, table: pd.DataFrame, x: str, by: str, series: Sequence[Any]) -> None:
    means = means_by(table, [by, x], [_LATENCY])
    best = [means.loc[means[means[by] == name][_LATENCY].idxmin()] for name in series]
    ring: dict[str, Any] = {"marker": "o", "ms": 9, "mfc": "none", "mec": "#000000", "mew": 0.9, "ls": ""}
    panel.plot([point[x] for point in best], [point[_LATENCY] for point in best], label="least latency", **ring)


def _latency(table: pd.DataFrame, x: str, by: str, log: bool) -> tuple[Figure, Axes, list[Any]]:
    series = values_of(table, by)
    if len(series) > _MAX_SERIES:
        raise ValueError(f"at most {_MAX_SERIES} curves can be distinguished, got {len(series)} values of {by!r}")
    figure = new_figure("one_column", 2.9)
    panel = figure.subplots()
    say_replications(panel, draw_curves(panel, table, x, _LATENCY, by, series))
    set_scales(panel, table[x], table[_LATENCY], log and spans_decades(table[x]), log, is_key=True)
    panel.set_xlabel(label_of(x))
    panel.set_ylabel(label_of(_LATENCY))
    legend_above(figure, [panel], 2, title=series_title(by))
    return figure, panel, series


def parts_by(column: str, variants: Sequence[str]) -> Callable[[pd.DataFrame, Any], Figure | None]:
    """Where the time goes, one bar per variant and value of an axis that holds words, such as slot patterns."""

    def draw(table: pd.DataFrame, axes: Sequence[str]) -> Figure | None:
        order = {variant: place for place, variant in enumerate(variants)}
        chosen = table[table["variant"].isin(variants)]
        chosen = chosen.sort_values("variant", key=lambda names: names.map(order), kind="stable")
        names = chosen["variant"] + ", " + chosen[column].replace("F", "FDD")
        return breakdown(chosen.assign(variant=names), [])

    return draw


def round_trip(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Latency per token over the one-way delay, each draft length's break-even round trip as a vertical line.

    The break-even is the closed form of arXiv 2606.25091 at the acceptance rate, the draft time and the target's time
    per token that the sweep itself measured.
    """
    with styled():
        figure, panel, series = _latency(table, _DELAY, "variant", log=False)
        mark: dict[str, Any] = {"lw": 1, "ls": (0, (1, 1)), "zorder": 0}
        for variant, delay_s in break_even_delays_s(table).items():
            colour = COLOURS[series.index(variant) % len(COLOURS)]
            panel.axvline(delay_s, color=colour, **mark)
        panel.plot([], [], color="#555555", label="break-even (closed form)", **mark)
        figure.legends[0].remove()
        legend_above(figure, [panel], 2)
        return figure


def break_even_delays_s(table: pd.DataFrame) -> dict[str, float]:
    """One-way delay at which a draft length takes as long as the target alone, by variant.

    Args:
        table: A sweep with variants ``edge only`` and ``gamma N``.
    """
    from sim.decoding.theory import break_even_rtt_s

    alone = table[table["variant"] == "edge only"]
    at_edge_s = alone["edge_queue_mean_s"] + alone["verify_compute_mean_s"]
    target_token_s = float((at_edge_s * alone["requests"]).sum() / alone["tokens"].sum())
    delays: dict[str, float] = {}
    for variant in values_of(table, "variant"):
        if match := _LENGTH.match(str(variant)):
            rows, length = table[table["variant"] == variant], int(match[1])
            drafted = length * (rows["tokens"] / rows["block_efficiency"]).sum()
            draft_token_s = float((rows["draft_compute_mean_s"] * rows["requests"]).sum() / drafted)
            alpha = float(rows["acceptance_rate"].mean())
            delays[str(variant)] = break_even_rtt_s(alpha, length, target_token_s, draft_token_s) / 2
    return delays


def payload_frontier(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Uplink bits per accepted token over the acceptance rate: a point per variant, a line per family of variants."""
    x, y = "acceptance_rate", "uplink_bits_per_accepted_token"
    points = means_by(table, ["variant"], [x, y])
    points["family"] = [_family(str(variant)) for variant in points["variant"]]
    with styled():
        figure = new_figure("one_column", 3.0)
        panel = figure.subplots()
        for index, (family, chosen) in enumerate(points.groupby("family", sort=False)):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            look: dict[str, Any] = {"color": colour, "marker": marker, "ms": 4, "elinewidth": 0.6}
            panel.errorbar(chosen[x], chosen[y], xerr=chosen[f"{x}_half"], lw=1, label=str(family), **look)
        note = f"bars: 95 % CI, n = {int(points['n'].max())}"
        panel.set_title(note, loc="right", fontsize=6.5, color="#555555", pad=3)
        set_scales(panel, points[x], points[y], False, spans_decades(points[y]))
        panel.set_xlabel(label_of(x))
        panel.set_ylabel(label_of(y))
        legend_above(figure, [panel], 2)
        return figure


def _family(variant: str) -> str:
    """A variant's name without its parameter: ``QSV ell=24`` is one of ``QSV``."""
    match = _PARAMETER.match(variant)
    return match[1] if match else variant
