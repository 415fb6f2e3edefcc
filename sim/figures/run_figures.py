"""The figures of one run: where the time of its requests goes, and how their latencies are distributed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sim.figures.drawing import draw_breakdown, parts_of
from sim.figures.labels import name_of
from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, LINES, new_figure, save_all, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_FEWEST_FOR_ECDF = 6


def draw_run(requests: pd.DataFrame, folder: Path, style: str = "one_column") -> list[Path]:
    """Draw a run's figures into ``folder``.

    Args:
        requests: One row per request, columns as in ``sim.results.columns``.
        folder: Made if it is missing.
        style: ``one_column`` or ``two_column``.

    Returns:
        The files, PNG, PDF and SVG of each figure.
    """
    if requests.empty:
        return []
    with styled():
        written = save_all(_breakdown(requests, style), folder, "breakdown")
        if len(requests) >= _FEWEST_FOR_ECDF:
            written += save_all(_ecdf(requests, style), folder, "latency_ecdf")
    return written


def _breakdown(requests: pd.DataFrame, style: str) -> Figure:
    """Mean seconds per request by part, one bar for all requests and one each for the fastest and slowest quarter."""
    import pandas as pd

    groups = {"all requests": requests}
    if len(requests) >= 8:
        low, high = requests["e2e_s"].quantile([0.25, 0.75])
        groups["fastest quarter"] = requests[requests["e2e_s"] <= low]
        groups["slowest quarter"] = requests[requests["e2e_s"] >= high]
    table = pd.DataFrame([group.mean(numeric_only=True) for group in groups.values()])
    frame, parts = parts_of(table, "_s")
    figure = new_figure(style, 1.15 + 0.27 * len(groups))
    axes = figure.add_subplot()
    draw_breakdown(axes, list(groups), frame, parts)
    axes.set_xlabel("Time per request (s)")
    legend_above(figure, [axes], 3 if style == "one_column" else 6, handle_length=1.2)
    return figure


def _ecdf(requests: pd.DataFrame, style: str) -> Figure:
    figure = new_figure(style, 2.2)
    axes = figure.add_subplot()
    for index, column in enumerate(("e2e_s", "ttft_s")):
        values = np.sort(requests[column].dropna().to_numpy(dtype=float))
        if len(values):
            shares = np.arange(len(values) + 1) / len(values)
            axes.step(
                [values[0], *values], shares, where="post", color=COLOURS[index], ls=LINES[index], label=name_of(column)
            )
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.set_xlabel("Time (s)")
    axes.set_ylabel("Fraction of requests")
    legend_above(figure, [axes], 2)
    return figure
