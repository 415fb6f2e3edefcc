"""Load of an edge server: latency, attainment and goodput over a varied key, a panel each; and a day by hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.conditions import values_of
from sim.figures.drawing import draw_curves, say_replications, set_scales, spans_decades
from sim.figures.labels import label_of, series_title
from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHARES = ("slo_attainment", "edge_kv_share_mean", "edge_kv_share_max", "edge_utilisation")


def over_load(
    x: str, columns: Mapping[str, str], by: str | None = "variant", x_label: str | None = None
) -> Callable[[pd.DataFrame, Sequence[str]], Figure]:
    """Panels one above the other.

    Args:
        x: The varied key on the horizontal axis.
        columns: Label of each panel's vertical axis by its column; latencies that span decades are on a logarithmic
            axis, shares on one from 0 to 1. Bands that go beyond what was seen are cut at the panel's edge.
        by: What makes the curves; None for a single one.
        x_label: Of the horizontal axis; the key's own if left out.
    """

    def draw(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
        series: Sequence[Any] = [None] if by is None else values_of(table, by)
        with styled():
            figure = new_figure("one_column", 1.0 + 1.2 * len(columns))
            panels = list(figure.subplots(len(columns), sharex=True, squeeze=False)[:, 0])
            for panel, (column, label) in zip(panels, columns.items(), strict=True):
                counts = draw_curves(panel, table, x, column, by, series)
                if panel is panels[0]:
                    say_replications(panel, counts)
                is_share = column in SHARES
                log = not is_share and spans_decades(table[column])
                set_scales(panel, table[x], table[column], False, log, is_key=True)
                low, high = float(table[column].min()), float(table[column].max())
                panel.set_ylim((-0.03, 1.03) if is_share else (low / 2, 2 * high) if log else (0, 1.15 * high))
                panel.set_ylabel(label)
                panel.set_xlabel((x_label or label_of(x)) if panel is panels[-1] else "")
            if by is not None:
                legend_above(figure, panels, 4, title=series_title(by))
            return figure

    return draw


def day(requests: pd.DataFrame, seconds: pd.DataFrame, day_s: float) -> Figure:
    """A day at one server, hour by hour: what came, time to first token, and memory.

    Args:
        requests: One row per request, as a run's table has them.
        seconds: One row per second of the server.
        day_s: Simulated seconds of the day.
    """
    hour = (requests["issued_s"] * 24 / day_s).astype(int)
    by_hour = requests[requests["given_up"] == 0].groupby(hour)["ttft_s"]
    with styled():
        figure = new_figure("one_column", 4.2)
        rate, latency, memory = figure.subplots(3, sharex=True)
        counts = hour.value_counts().sort_index()
        edges = [*range(25)]
        rate.stairs([counts.get(index, 0) * 24 / day_s for index in range(24)], edges, color=COLOURS[0], lw=1.2)
        rate.set_ylabel("Requests/s")
        rate.set_ylim(bottom=0)
        drawn: list[float] = []
        for share, line in ((0.5, "-"), (0.95, "--")):
            found = by_hour.quantile(share)
            drawn += found.tolist()
            label = "median" if share == 0.5 else "95 %"
            latency.stairs([found.get(i) for i in range(24)], edges, color=COLOURS[1], ls=line, lw=1.2, label=label)
        set_scales(latency, edges, drawn, False, True)
        latency.set_ylabel("TTFT (s)")
        latency.legend(loc="upper left", fontsize=6.5)
        place = seconds["time_s"] * 24 / day_s
        shares = seconds.groupby((place * 4).astype(int) / 4)["kv_share"].mean()
        memory.plot(shares.index, shares, color=COLOURS[2], lw=1.0)
        memory.set_ylim(0, 1.05)
        memory.set_ylabel("Used KV blocks")
        memory.set_xlabel("Hour of the day")
        memory.set_xticks(range(0, 25, 4))
        return figure
