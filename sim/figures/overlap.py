"""What overlap is worth: time per token of each scheme by round trip and rate, and what an accepted token costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.figures.conditions import hold, means_by, values_of
from sim.figures.labels import number
from sim.figures.style import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATE, _DELAY, _LATENCY = "link.uplink_mbps", "link.one_way_delay_s", "token_latency_s"
_UP, _DOWN, _RATIO = "uplink_bits_per_token", "downlink_bits_per_token", "uplink_bits_per_accepted_token"
_DEVICE, _EDGE = "device_energy_per_token_j", "edge_energy_per_token_j"
# Means within this of the best one of their column are shaded as it is.
_NEAR = 1.03
# Bars longer than so many times the median are cut.
_LONGEST = 2.0


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
        figure = new_figure("one_column", 0.7 + 0.225 * len(schemes))
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


def costs(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Bits over the air and joules per accepted token of each scheme that drafts, at the middle rate and round trip.

    Args:
        table: As of ``overlap``.
        axes: What was varied.
    """
    assert set(axes) >= {_RATE, _DELAY}
    held, _ = hold(table, ["variant"])
    means = means_by(held, ["variant"], [_UP, _DOWN, _RATIO, _DEVICE, _EDGE]).set_index("variant")
    schemes = [str(name) for name in values_of(table, "variant") if means[_RATIO][name] > 0]
    # Tokens over accepted tokens: what turns a figure per token into one per accepted token.
    ratio = np.array([means[_RATIO][name] / means[_UP][name] for name in schemes])

    def per_accepted(column: str) -> np.ndarray:
        return np.asarray(ratio * np.array([means[column][name] for name in schemes]))

    places = np.arange(len(schemes))
    with styled():
        figure = new_figure("one_column", 1.1 + 0.2 * len(schemes))
        bits, joules = figure.subplots(1, 2, sharey=True)
        bits.plot(per_accepted(_UP), places, "o", color="#0072B2", markersize=3.5, label="up")
        bits.plot(
            per_accepted(_DOWN),
            places,
            "s",
            color="#E69F00",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor="#E69F00",
            markeredgewidth=1.2,
            label="down",
        )
        bits.set_xscale("log")
        bits.set_xticks([1e1, 1e3, 1e5], ["10", "1k", "100k"])
        bits.set_xlabel("Bits per\naccepted token")
        device, edge = per_accepted(_DEVICE), per_accepted(_EDGE)
        joules.barh(places, device, color="#009E73", label="device")
        joules.barh(places, edge, left=device, color="#CC79A7", label="edge")
        joules.set_xlabel("Joules per\naccepted token")
        _cut_long_bars(joules, device + edge)
        bits.set_yticks(places, schemes)
        bits.invert_yaxis()
        for panel in (bits, joules):
            panel.grid(visible=False, axis="y")
            panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6.5, frameon=False)
        return figure


def _cut_long_bars(panel: Axes, lengths: np.ndarray) -> None:
    """End the axis where most bars end, and say how long those are that go on."""
    limit = _LONGEST * float(np.median(lengths))
    if lengths.max() <= limit:
        return
    panel.set_xlim(0.0, limit)
    for place, length in enumerate(lengths):
        if length > limit:
            panel.text(limit, place, f"{number(round(length, 1))} ", ha="right", va="center", fontsize=6.0)
