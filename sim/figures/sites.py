"""Several edge sites: handover policies over the rate between sites, and the failure of a site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.conditions import means_by, values_of
from sim.figures.drawing import say_replications
from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATE, _DETECTION = "edge.sites.xn_mbps", "edge.sites.detection_s"
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^"


def handovers(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Mean end-to-end latency above, bytes of keys and values per second below, a line per policy.

    Args:
        table: A sweep over the rate between sites whose variants are policies.
        axes: What was varied.
    """
    table = table.copy().assign(sent=table["kv_moved_bytes"] / table["simulated_s"] / 1e6)
    with styled():
        figure = new_figure("one_column", 3.8)
        above, below = figure.subplots(2, sharex=True)
        _lines(above, table, _RATE, "e2e_mean_s")
        _lines(below, table, _RATE, "sent")
        above.set_ylabel("End-to-end latency (s)")
        above.set_yscale("log")
        above.set_ylim(1, 20)
        above.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        above.set_yticks([], minor=True)
        below.set_ylabel("Keys and values (MB/s)")
        _log_axis(below, table, _RATE)
        below.set_xlabel("Rate between sites (Mbit/s)")
        say_replications(above, set(table.groupby(["variant", _RATE]).size()), "bars")
        legend_above(figure, [above], 2)
        return figure


def site_failure(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """95th percentile of the latency, share given up, and share of tokens of the draft alone, a line per fall-back.

    Args:
        table: A sweep over the time until a failure is known whose variants are fall-backs.
        axes: What was varied.
    """
    asked = table["requests"] + table["failed"]
    table = table.copy().assign(lost=table["failed"] / asked, alone=table["draft_alone_tokens"] / table["tokens"])
    with styled():
        figure = new_figure("one_column", 4.5)
        above, middle, below = figure.subplots(3, sharex=True)
        for axis, column in ((above, "e2e_p95_s"), (middle, "lost"), (below, "alone")):
            _lines(axis, table, _DETECTION, column)
        above.set_ylabel("Latency, 95 % (s)")
        middle.set_ylabel("Share given up")
        below.set_ylabel("Tokens of the\ndraft alone")
        _log_axis(below, table, _DETECTION)
        below.set_xlabel("Time until a failure is known (s)")
        say_replications(above, set(table.groupby(["variant", _DETECTION]).size()), "bars")
        legend_above(figure, [above], 2)
        return figure


def _log_axis(axis: Axes, table: pd.DataFrame, x: str) -> None:
    """A logarithmic axis with the values that were run."""
    values = values_of(table, x)
    axis.set_xscale("log")
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.set_xticks([], minor=True)


def _lines(axis: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """A line with 95 % intervals per variant."""
    means = means_by(table, ["variant", x], [y])
    for place, name in enumerate(values_of(table, "variant")):
        own = means[means["variant"] == name].sort_values(x)
        looks: dict[str, Any] = {
            "color": COLOURS[place % len(COLOURS)],
            "ls": _LINES[place % 4],
            "marker": _MARKERS[place % 4],
        }
        axis.errorbar(own[x], own[y], own[f"{y}_half"], label=str(name), ms=3, capsize=1.5, elinewidth=0.6, **looks)
    axis.set_ylim(bottom=0)
