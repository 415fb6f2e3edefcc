"""TK-SLT's experiment: the speed-up over the target alone by draft length, beside its closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.decoding.theory import tk_slt_speedup
from sim.figures.conditions import means_by, values_of
from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, MARKERS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TARGET_S = 0.0445
"""Seconds per token of the target alone, T_LLM (arXiv 2509.04576, as the scenario ``tk_slt_table`` states it)."""
DRAFT_S = 0.0031
"""Seconds per drafted token, T_SLM."""
ROW_BPS = 50e6
"""Uplink rate in bit/s."""
ENTRY_BITS = 16

_TEMPERATURE, _TOP_K, _LENGTH = "workload.temperature", "protocol.top_k", "protocol.draft_length"


def load_of(top_k: int) -> float:
    """L(K) = c + b: draft time of a token and uplink time of its row over the target's time (arXiv 2509.04576, eq. 5).

    Args:
        top_k: Entries per row.
    """
    return (DRAFT_S + top_k * ENTRY_BITS / ROW_BPS) / TARGET_S


def speedup(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Simulated S over the draft length, a panel per temperature of the target; lines are S at the measured alpha.

    Args:
        table: The sweep of ``tk_slt_table``.
        axes: What was varied.
    """
    means = means_by(table, [_TEMPERATURE, _TOP_K, _LENGTH], ["tpot_mean_s", "acceptance_rate"])
    temperatures, lengths = values_of(table, _TEMPERATURE), values_of(table, _LENGTH)
    with styled():
        figure = new_figure("one_column", 2.6)
        panels = np.atleast_1d(figure.subplots(1, len(temperatures), sharey=True))
        for panel, temperature in zip(panels, temperatures, strict=True):
            for place, top_k in enumerate(values_of(table, _TOP_K)):
                chosen = means[(means[_TEMPERATURE] == temperature) & (means[_TOP_K] == top_k)]
                alpha = float(chosen["acceptance_rate"].mean())
                closed = [tk_slt_speedup(alpha, int(length), load_of(int(top_k))) for length in lengths]
                panel.plot(lengths, closed, color=COLOURS[place], lw=0.9)
                panel.plot(
                    chosen[_LENGTH],
                    TARGET_S / chosen["tpot_mean_s"],
                    color=COLOURS[place],
                    marker=MARKERS[place],
                    ls="",
                    label=f"K = {int(top_k):,}",
                )
            panel.axhline(1.0, color="#9A9A9A", ls=":", lw=0.8)
            panel.set_title(f"target at T = {temperature:g}", fontsize=7)
            panel.set_xlabel("Draft length")
        panels[0].set_ylabel("Speed-up over the target alone")
        legend_above(figure, list(panels[:1]), 3)
        return figure
