"""Layer 1 and a model on one GPU: slots that are late, and tokens per second, over the cells on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.figures.conditions import means_by, values_of
from sim.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_CELLS = "edge.ran_sharing.other_cells"
_LATE, _TOKENS = "layer1_late_per_1e5", "tokens_per_s"
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
        above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=6.5, borderaxespad=0.2)
        return figure
