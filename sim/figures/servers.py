"""What the model servers of a run did over time: requests in the running set and waiting, memory, utilisation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sim.figures.legends import legend_of_each
from sim.figures.style import COLOURS, LINES, new_figure, save_all, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MIN_SECONDS = 3
_MAX_SERVERS = len(COLOURS) // 2
_MAX_POINTS = 2_000


def draw_servers(seconds: pd.DataFrame, folder: Path, style: str = "one_column") -> list[Path]:
    """Draw the servers' figure into ``folder``; none for a run of less than three seconds.

    Args:
        seconds: One row per server and second, columns as in ``sim.results.columns``.
        folder: Made if it is missing.
        style: ``one_column`` or ``two_column``.

    Returns:
        The files, PNG, PDF and SVG.
    """
    if seconds.empty or seconds["time_s"].nunique() < _MIN_SECONDS:
        return []
    with styled():
        return save_all(_over_time(seconds, style), folder, "servers")


def _over_time(seconds: pd.DataFrame, style: str) -> Figure:
    """Counts above, shares below; of many servers the mean."""
    servers = list(dict.fromkeys(seconds["server"]))
    if len(servers) > _MAX_SERVERS:
        site = seconds["server"].str.partition("-")[0]
        seconds = seconds.drop(columns="server").groupby([site, "time_s"], sort=False).mean().reset_index()
        seconds = seconds.rename(columns={0: "server"})
        seconds["server"] += ", mean"
        servers = list(dict.fromkeys(seconds["server"]))
    figure = new_figure(style, 2.9)
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw(upper, seconds, servers, {"running": "running", "waiting": "waiting"}, 0)
    _draw(lower, seconds, servers, {"kv_share": "key-value memory", "utilisation": "utilisation"}, 2)
    upper.set_ylabel("Requests")
    upper.set_ylim(bottom=0)
    lower.set_ylabel("Share")
    lower.set_ylim(0, 1.05)
    lower.set_xlabel("Time (s)")
    legend_of_each([upper, lower], 2, 2.8)
    return figure


def _draw(axes: Axes, seconds: pd.DataFrame, servers: list[str], names: Mapping[str, str], first_colour: int) -> None:
    """A line per server and column: of one server each column has its colour, of several each server."""
    columns = list(names)
    for index, server in enumerate(servers):
        own = seconds[seconds["server"] == server].sort_values("time_s")
        width = -(-len(own) // _MAX_POINTS)
        if width > 1:  # a day of seconds is more than a figure can show
            own = own.groupby(own["time_s"] // width, sort=True)[["time_s", *columns]].mean()
        for place, (column, label) in enumerate(names.items()):
            name = label if len(servers) == 1 else f"{server}: {label}"
            colour = COLOURS[first_colour + place if len(servers) == 1 else index]
            axes.plot(own["time_s"], own[column], color=colour, ls=LINES[place], lw=1.0, label=name)
