"""What overlap is worth: time per token of each scheme, as a table over round trips and uplink rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.figures.conditions import means_by, values_of
from sim.figures.labels import number
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_RATE, _DELAY, _LATENCY = "link.uplink_mbps", "link.one_way_delay_s", "token_latency_s"
# Means within this of the best one of their column are shaded as it is.
_NEAR = 1.03


def overlap(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """A panel per round trip; a row per scheme, a column per uplink rate, in each cell the milliseconds per token.

    Args:
        table: A sweep over one-way delays and uplink rates with schemes as variants.
        axes: What was varied.
    """
    assert set(axes) >= {_RATE, _DELAY}
    schemes = [str(variant) for variant in values_of(table, "variant")]
    rates, delays = values_of(table, _RATE), values_of(table, _DELAY)
    means = means_by(table, ["variant", _DELAY, _RATE], [_LATENCY]).set_index(["variant", _DELAY, _RATE])[_LATENCY]
    with styled():
        figure = new_figure("one_column", 2.5)
        panels = np.atleast_1d(figure.subplots(1, len(delays), sharey=True))
        for panel, delay in zip(panels, delays, strict=True):
            grid = np.array([[means[name, delay, rate] for rate in rates] for name in schemes])
            shade = np.log(grid / grid.min(axis=0)).clip(0.0, 1.0)
            panel.imshow(shade, cmap="Blues_r", vmin=-0.2, vmax=1.3, aspect="auto")
            for (row, column), seconds in np.ndenumerate(grid):
                best = seconds <= _NEAR * grid[:, column].min()
                text = number(round(1e3 * seconds, 1))
                panel.text(
                    column,
                    row,
                    text,
                    ha="center",
                    va="center",
                    fontsize=5.6,
                    color="#FFFFFF" if shade[row, column] < 0.45 else "#000000",
                    fontweight="bold" if best else "normal",
                )
            panel.set_xticks(range(len(rates)), [number(rate) for rate in rates])
            panel.set_yticks(range(len(schemes)), schemes)
            panel.grid(visible=False)
            panel.tick_params(length=0, which="both")
            panel.set_title(f"round trip {number(2e3 * delay)} ms", fontsize=6.5)
        panels[len(panels) // 2].set_xlabel("Uplink rate (Mbit/s); cells: ms per token")
        return figure
