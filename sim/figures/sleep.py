"""What sleep of the modems costs and saves: latency per token above, the modem's energy per token below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.conditions import values_of
from sim.figures.drawing import draw_curves, say_replications, set_scales, spans_decades
from sim.figures.labels import label_of, series_title
from sim.figures.legends import legend_above
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_STATES = tuple(f"radio_{state}_energy_j" for state in ("transmit", "receive", "listen", "sleep"))
_ENERGY = "modem_energy_per_token_j"


def latency_and_modem_energy(x: str, by: str = "variant") -> Callable[[pd.DataFrame, Any], Figure | None]:
    """Two panels over a varied key, a curve each per variant; None if the link has no modems."""

    def draw(table: pd.DataFrame, axes: Sequence[str]) -> Figure | None:
        if not set(_STATES) <= set(table.columns):
            return None
        kept = table[list(dict.fromkeys((x, by, "replication", "token_latency_s")))].copy()
        table = kept.assign(**{_ENERGY: table[list(_STATES)].sum(axis=1) / table["tokens"]})
        series = values_of(table, by)
        with styled():
            figure = new_figure("one_column", 3.9)
            upper, lower = figure.subplots(2, 1, sharex=True)
            for panel, y in ((upper, "token_latency_s"), (lower, _ENERGY)):
                counts = draw_curves(panel, table, x, y, by, series)
                log_x = len(table[x].unique()) > 2 and bool((table[x] > 0).all()) and spans_decades(table[x], 1.0)
                set_scales(panel, table[x], table[y], log_x, spans_decades(table[y], 0.7), is_key=True)
                panel.set_ylabel(label_of(y))
            say_replications(lower, counts)
            upper.set_xlabel("")
            lower.set_xlabel(label_of(x))
            legend_above(figure, [upper, lower], 2, title=series_title(by))
        return figure

    return draw
