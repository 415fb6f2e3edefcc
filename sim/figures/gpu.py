"""What layer 1 and a model had of their GPU over time, what was kept for layer 1, and the slots that were late."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, LINES, new_figure, save_all, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MIN_SECONDS = 3
_MAX_POINTS = 500


def draw_gpu(seconds: pd.DataFrame, folder: Path, style: str = "one_column") -> list[Path]:
    """Draw the figure of a shared GPU into ``folder``; none for a run of less than three seconds.

    Args:
        seconds: One row per site and second, columns as in ``sim.results.columns``.
        folder: Made if it is missing.
        style: ``one_column`` or ``two_column``.

    Returns:
        The files, PNG, PDF and SVG.
    """
    if len(seconds) < _MIN_SECONDS:
        return []
    with styled():
        return save_all(_over_time(seconds, style), folder, "gpu")


def _over_time(seconds: pd.DataFrame, style: str) -> Figure:
    """Shares above, late slots below; of several sites' GPUs the mean."""
    num_sites = seconds["site"].nunique()
    seconds = seconds.groupby("time_s", sort=True, as_index=False).mean()
    width = -(-len(seconds) // _MAX_POINTS)
    if width > 1:
        seconds = seconds.groupby(seconds["time_s"] // width, sort=True).mean()
    figure = new_figure(style, 2.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    names = {"layer1_gpu_share": "layer 1", "model_gpu_share": "model", "layer1_kept_share": "kept for layer 1"}
    if not seconds["layer1_kept_share"].any():
        del names["layer1_kept_share"]
    for place, (column, label) in enumerate(names.items()):
        upper.plot(seconds["time_s"], seconds[column], color=COLOURS[place], ls=LINES[place], lw=1.0, label=label)
    late = (1e5 * seconds["layer1_late"] / seconds["layer1_slots"].clip(lower=1)).clip(lower=0.1)
    lower.plot(seconds["time_s"], late, color=COLOURS[3], lw=1.0)
    upper.set_ylabel("Share of the GPU" if num_sites == 1 else f"Share, mean of\n{num_sites} GPUs")
    upper.set_ylim(0, 1.05)
    lower.set_yscale("log")
    lower.set_ylim(0.08, 1.5e5)
    lower.set_yticks((0.1, 1, 100, 10_000), ("0", "1", "100", "10,000"))
    lower.minorticks_off()
    lower.set_ylabel("Late of 1e5")
    lower.set_xlabel("Time (s)")
    legend_above(figure, [upper], 3)
    return figure
