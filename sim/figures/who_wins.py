"""Who wins where: every lossless scheme's latency over the uplink rate, and how far each is behind the best there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import means_by, values_of
from sim.figures.drawing import set_scales
from sim.figures.labels import label_of, number
from sim.figures.statistics import mean_interval
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATE = "link.uplink_mbps"
_LATENCY = "token_latency_s"

# What crosses the uplink, its colour, and the schemes that send it.
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "prompt": ("#000000", ("edge only", "colocated")),
    "whole rows": ("#D55E00", ("DSD", "QSV")),
    "cut rows": ("#0072B2", ("TSLT", "TK-SLT", "SQS")),
    "ids, scalars": ("#009E73", ("DSSD", "AsymSpec", "residual")),
    "ids": ("#CC79A7", ("match", "Gumbel", "SpecEdge")),
}
_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)))
# Needs no draft at the device and no uplink to speak of: what the others would be measured against, not one of them.
_BESIDE = ("colocated",)
_WINNER, _TIED = "#009E73", "#BFE6D8"


def who_wins(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Curves above, and below them a table of each scheme's latency over that of the best at the same rate.

    Args:
        table: A sweep over uplink rates whose variants are the schemes of ``FAMILIES``.
        axes: What was varied.
    """
    schemes = ordered_schemes(table)
    with styled():
        figure = new_figure("one_column", 5.6)
        above, below = figure.subplots(2, sharex=True, height_ratios=(1.25, 1.0))
        _draw_curves(above, table, schemes)
        _draw_slowdowns(below, table, schemes)
        count = table["replication"].nunique()
        above.set_title(f"means of n = {count}", loc="right", fontsize=6.5, color="#555555", pad=3)
        return figure


def ordered_schemes(table: pd.DataFrame) -> list[str]:
    """The table's variants, family by family.

    Raises:
        ValueError: A variant that is in no family.
    """
    known = [scheme for _, members in FAMILIES.values() for scheme in members]
    there = [str(variant) for variant in values_of(table, "variant")]
    for variant in there:
        if variant not in known:
            raise ValueError(f"variant {variant!r} is in no family of schemes; known: {', '.join(known)}")
    return [scheme for scheme in known if scheme in there]


def _style_of(scheme: str) -> tuple[str, Any]:
    colour, members = next(entry for entry in FAMILIES.values() if scheme in entry[1])
    return colour, _LINES[members.index(scheme)]


def _draw_curves(panel: Axes, table: pd.DataFrame, schemes: Sequence[str]) -> None:
    means = means_by(table, ["variant", _RATE], [_LATENCY])
    starts = []
    for scheme in schemes:
        points = means[means["variant"] == scheme].sort_values(_RATE)
        colour, line = _style_of(scheme)
        panel.plot(points[_RATE], points[_LATENCY], color=colour, ls=line, lw=1.2, label=scheme)
        starts.append(float(points[_LATENCY].iloc[0]))
    set_scales(panel, table[_RATE], table[_LATENCY], True, True)
    panel.set_ylabel(label_of(_LATENCY))
    _set_rates(panel, values_of(table, _RATE))
    panel.tick_params(labelbottom=False)
    # Labels need this much room each, in natural logarithms of the panel's height of seconds.
    bottom, top = panel.get_ylim()
    heights = spread_out(np.log(starts), np.log(top / bottom) / 18)
    panel.set_ylim(bottom=min(bottom, float(np.exp(heights.min())) / 1.5))  # names stand within the panel
    low = float(np.min(table[_RATE]))
    for scheme, start, height in zip(schemes, starts, heights, strict=True):
        colour, line = _style_of(scheme)
        panel.text(low / 2.1, float(np.exp(height)), scheme, color=colour, fontsize=6.5, ha="right", va="center")
        panel.plot([low / 2.0, low / 1.08], [np.exp(height), start], color=colour, ls=line, lw=0.8)


def _set_rates(panel: Axes, rates: Sequence[float]) -> None:
    """Ticks at the rates alone, and room for names to the left of them."""
    from matplotlib.ticker import NullLocator

    panel.set_xlim(rates[0] / 16, rates[-1] * 1.7)
    panel.set_xticks(rates, [number(rate).removeprefix("0") for rate in rates], fontsize=6.5)
    panel.xaxis.set_minor_locator(NullLocator())


def spread_out(places: npt.ArrayLike, min_gap: float) -> npt.NDArray[np.float64]:
    """Places moved apart as little as it takes for neighbours to be at least so far from each other."""
    wanted = np.asarray(places, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    # Groups of neighbours that touch, each centred on the mean of what its members want.
    groups: list[list[float]] = []
    for place in wanted[order]:
        groups.append([float(place)])
        while len(groups) > 1 and _low(groups[-1], min_gap) - _high(groups[-2], min_gap) < min_gap:
            last = groups.pop()
            groups[-1] += last
    moved = np.concatenate([_low(group, min_gap) + min_gap * np.arange(len(group)) for group in groups])
    result = np.empty_like(moved)
    result[order] = moved
    return result


def _low(group: list[float], min_gap: float) -> float:
    return float(np.mean(group)) - min_gap * (len(group) - 1) / 2


def _high(group: list[float], min_gap: float) -> float:
    return float(np.mean(group)) + min_gap * (len(group) - 1) / 2


def slowdowns(table: pd.DataFrame, schemes: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """How many times the best scheme's latency each one takes, and which cannot be distinguished from the best.

    Replications share their random numbers over schemes, so differences are taken replication by replication: a
    scheme cannot be distinguished if the 95 % interval of its mean difference from the best holds zero.

    Args:
        table: The sweep.
        schemes: Rows of the answer.

    Returns:
        Ratios and flags, both [num_schemes, num_rates].
    """
    runs = table.pivot_table(index=["variant", _RATE], columns="replication", values=_LATENCY)
    rates = values_of(table, _RATE)
    ratios = np.full((len(schemes), len(rates)), np.nan)
    tied = np.zeros((len(schemes), len(rates)), dtype=bool)
    competing = [scheme for scheme in schemes if scheme not in _BESIDE]
    for column, rate in enumerate(rates):
        best = runs.loc[min(competing, key=lambda scheme: float(runs.loc[(scheme, rate)].mean()))].loc[rate]
        for row, scheme in enumerate(schemes):
            own = runs.loc[(scheme, rate)]
            ratios[row, column] = own.mean() / best.mean()
            mean, half, _ = mean_interval(own - best)
            tied[row, column] = scheme in competing and (mean == 0 or mean - half <= 0)
    return ratios, tied


def _draw_slowdowns(panel: Axes, table: pd.DataFrame, schemes: Sequence[str]) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    rates = values_of(table, _RATE)
    ratios, tied = slowdowns(table, schemes)
    shades = _shades()
    norm = LogNorm(1.0, 30.0, clip=True)
    between = np.sqrt(np.multiply(rates[1:], rates[:-1]))
    edges = [rates[0] ** 2 / between[0], *between, rates[-1] ** 2 / between[-1]]
    for row, scheme in enumerate(schemes):
        for column, rate in enumerate(rates):
            ratio = ratios[row, column]
            is_best = ratio == 1.0 and scheme not in _BESIDE
            colour = _WINNER if is_best else _TIED if tied[row, column] else shades(norm(ratio))
            left, right = edges[column], edges[column + 1]
            panel.add_patch(Rectangle((left, row - 0.5), right - left, 1, facecolor=colour, edgecolor="white", lw=0.6))
            dark = is_best or (not tied[row, column] and norm(ratio) > 0.6)
            text = f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
            style: dict[str, Any] = {"color": "white" if dark else "#222222", "weight": "bold" if is_best else "normal"}
            panel.text(rate, row, text.lstrip("0"), fontsize=5.6, ha="center", va="center", **style)
        colour, _ = _style_of(scheme)
        panel.text(edges[0] / 1.12, row, scheme, color=colour, fontsize=6.5, ha="right", va="center")
    panel.set_ylim(len(schemes) - 0.5, -0.5)
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.spines["left"].set_visible(False)
    _set_rates(panel, rates)
    panel.set_xlabel(label_of(_RATE))
    panel.set_title("latency over the best's, colocated aside", loc="left", fontsize=7, pad=11)
    note = "dark green: best; light: not distinguished from it (paired 95 % CI)"
    panel.text(0, 1.012, note, transform=panel.transAxes, fontsize=5.8, color="#555555", va="bottom")


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("slowdown", ["#FFFFFF", "#D9D9D9", "#969696", "#4D4D4D"])
