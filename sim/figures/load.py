"""Load of an edge server: latency, attainment and goodput over a varied key, a panel each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.conditions import values_of
from sim.figures.drawing import draw_curves, say_replications, set_scales, spans_decades
from sim.figures.labels import label_of
from sim.figures.legends import legend_above
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHARES = ("slo_attainment", "edge_kv_share_mean", "edge_kv_share_max", "edge_utilisation")


def over_load(
    x: str, columns: Mapping[str, str], by: str | None = "variant"
) -> Callable[[pd.DataFrame, Sequence[str]], Figure]:
    """Panels one above the other.

    Args:
        x: The varied key on the horizontal axis.
        columns: Label of each panel's vertical axis by its column; latencies that span decades are on a logarithmic
            axis, shares on one from 0 to 1.
        by: What makes the curves; None for a single one.
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
                set_scales(panel, table[x], table[column], False, not is_share and spans_decades(table[column]))
                if is_share:
                    panel.set_ylim(-0.03, 1.03)
                panel.set_ylabel(label)
                panel.set_xlabel(label_of(x) if panel is panels[-1] else "")
            if by is not None:
                legend_above(figure, panels, 4)
            return figure

    return draw
