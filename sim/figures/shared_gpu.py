"""Layer 1 and a model on one GPU: over the cells on it, over the hours of a day, and by what moves its slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.figures.conditions import means_by, values_of
from sim.figures.drawing import NOTE, say_replications
from sim.figures.legends import legend_above
from sim.figures.statistics import mean_interval, over_replications
from sim.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_CELLS = "edge.ran_sharing.other_cells"
_BEGINS = "edge.ran_sharing.day_begins_s"
_ALL_LATE = "layer1_late_per_1e5"
_JOULES = "gpu_energy_per_token_j"
_LATE, _TOKENS = "layer1_own_late_per_1e5", "tokens_per_s"
_LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = "osD^v"


def shared_gpu(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Share of late slots above, tokens per second below, a line per mode of sharing.

    Args:
        table: A sweep over the other cells of the GPU whose variants are modes.
        axes: What was varied.
    """
    means = means_by(table, ["variant", _CELLS], [_LATE, _TOKENS])
    with styled():
        figure = new_figure("one_column", 3.6)
        above, below = figure.subplots(2, sharex=True)
        for place, name in enumerate(values_of(table, "variant")):
            own = means[means["variant"] == name].sort_values(_CELLS)
            looks = {"color": COLOURS[place % len(COLOURS)], "ls": _LINES[place % 5], "marker": _MARKERS[place % 5]}
            above.plot(own[_CELLS], own[_LATE] / 1e5, label=str(name), ms=3, **looks)
            below.plot(own[_CELLS], own[_TOKENS], ms=3, **looks)
        above.set_ylabel("Slots that are late")
        above.set_ylim(-0.05, 1.05)
        below.set_ylabel("Throughput (tokens/s)")
        below.set_ylim(bottom=0)
        below.set_xlabel("Half-full cells beside the simulated one")
        count = int(table.groupby(["variant", _CELLS]).size().min())
        above.set_title(f"means of n = {count}", loc="right", pad=3, **NOTE)
        legend_above(figure, [above], 3)
        return figure


def day_at_shared_gpu(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Shares of the GPU above, tokens per second in the middle, joules per token below, over the hours of a day.

    Args:
        table: A sweep over the time of day whose variants are ways to share; the first one has no work that can wait.
        axes: What was varied.
    """
    variants = values_of(table, "variant")
    columns = ["variant", "layer1_gpu_share", "model_gpu_share", _TOKENS, _JOULES]
    shown = table[columns].assign(hour=table[_BEGINS] / 3600)
    with styled():
        figure = new_figure("one_column", 4.6)
        upper, middle, lower = figure.subplots(3, sharex=True, height_ratios=(2, 3, 2))
        first = shown[shown["variant"] == variants[0]]
        for place, (column, label) in enumerate((("layer1_gpu_share", "layer 1"), ("model_gpu_share", "requests"))):
            points = over_replications(first, "hour", column)
            looks = {"color": COLOURS[4 + place], "ls": _LINES[place]}
            upper.plot(points["x"], points["mean"], label=label, lw=1.2, **looks)
        for place, name in enumerate(variants):
            own = shown[shown["variant"] == name]
            looks = {"color": COLOURS[place], "ls": _LINES[place], "marker": _MARKERS[place]}
            for panel, column in ((middle, _TOKENS), (lower, _JOULES)):
                points = over_replications(own, "hour", column)
                panel.plot(points["x"], points["mean"], label=str(name), ms=2.5, lw=1.0, **looks)
                low, high = points["mean"] - points["half"], points["mean"] + points["half"]
                panel.fill_between(points["x"], low, high, color=COLOURS[place], alpha=0.13, linewidth=0)
        upper.set_ylabel("Share of GPU")
        upper.set_ylim(0, 1)
        upper.legend(loc="upper left", ncols=2, fontsize=6.5)
        middle.set_ylabel("Throughput (tokens/s)")
        middle.set_ylim(bottom=0)
        lower.set_ylabel("J per token")
        lower.set_yscale("log")
        lower.set_yticks((0.5, 1, 2, 5), ("0.5", "1", "2", "5"))
        lower.minorticks_off()
        lower.set_xlabel("Hour of the day")
        lower.set_xticks(range(0, 25, 4))
        say_replications(upper, set(shown.groupby(["variant", "hour"]).size()))
        legend_above(figure, [middle], 2)
        return figure


def orchestrators(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Late slots, tokens per second and joules per token of each variant, bars with 95 % intervals.

    Args:
        table: A sweep whose variants are orchestrators.
        axes: What was varied; nothing else.
    """
    panels = ((_ALL_LATE, "Late slots of 1e5"), (_TOKENS, "Tokens/s"), (_JOULES, "J per token"))
    variants = values_of(table, "variant")
    with styled():
        figure = new_figure("two_column", 1.9)
        places = figure.subplots(1, len(panels), sharey=True)
        for panel, (column, label) in zip(places, panels, strict=True):
            found = [mean_interval(table.loc[table["variant"] == name, column]) for name in variants]
            means, halves = (
                [mean for mean, _, _ in found],
                [half if math.isfinite(half) else 0.0 for _, half, _ in found],
            )
            panel.barh(range(len(variants)), means, xerr=halves, color=COLOURS[: len(variants)], capsize=2, height=0.6)
            panel.set_xlabel(label)
            panel.set_xlim(left=0)
        say_replications(places[-1], set(table.groupby("variant").size()), "bars")
        places[0].set_yticks(range(len(variants)), [str(name) for name in variants])
        places[0].invert_yaxis()
        return figure
