"""How long to draft: latency of fixed lengths and of controllers over the uplink rate, and the lengths they choose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import means_by, values_of
from sim.figures.drawing import set_scales
from sim.figures.labels import label_of
from sim.figures.legends import legend_above
from sim.figures.statistics import mean_interval
from sim.figures.style import COLOURS, MARKERS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATE = "link.uplink_mbps"
_LATENCY = "token_latency_s"
_DRAFTED = "drafted_per_round"
_FIXED = re.compile(r"gamma (\d+)$")
_ALONE = "target alone"
_LONGEST = 64
_GREY = "#9A9A9A"


def draft_length(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Latency above, draft lengths below, over the uplink rate.

    Args:
        table: A sweep over uplink rates with variants ``gamma N``, ``target alone`` and any number of controllers.
        axes: What was varied.
    """
    variants = [str(variant) for variant in values_of(table, "variant")]
    controllers = [variant for variant in variants if not _FIXED.match(variant) and variant != _ALONE]
    means = means_by(table, ["variant", _RATE], [_LATENCY, _DRAFTED]).sort_values(_RATE)
    rates = values_of(table, _RATE)
    with styled():
        figure = new_figure("one_column", 4.8)
        above, below = figure.subplots(2, sharex=True, height_ratios=(1.2, 1.0))
        _draw_fixed(above, means, [variant for variant in variants if variant not in controllers])
        for place, name in enumerate(controllers):
            chosen = means[means["variant"] == name]
            look: dict[str, Any] = {"color": COLOURS[place], "marker": MARKERS[place], "lw": 1.2}
            above.plot(chosen[_RATE], chosen[_LATENCY], label=name, **look)
            below.plot(chosen[_RATE], chosen[_DRAFTED], **look)
        low, best, high = best_fixed_lengths(table)
        bar: dict[str, Any] = {"marker": "_", "ms": 9, "mew": 2, "mec": "#000000", "ls": ""}
        below.plot(rates, best, color="#000000", label="best fixed length", **bar)
        below.fill_between(rates, low, high, color="#000000", alpha=0.12, lw=0, label="not distinguished from it")
        below.plot(
            rates, closed_form_lengths(table), color="#000000", ls=(0, (1, 1)), lw=1, label="closed form at its α"
        )
        for panel in (above, below):
            panel.set_xlim(rates[0] / 1.5, rates[-1] * 1.5)
        set_scales(below, table[_RATE], [0.0, float(high.max())], True, False)
        below.set_ylim(bottom=-0.4)  # room for the marks of length 0
        set_scales(above, table[_RATE], means[_LATENCY], True, True)
        above.set_ylabel(label_of(_LATENCY))
        below.set_ylabel("Drafted tokens per round")
        below.set_xlabel(label_of(_RATE))
        above.set_title(
            f"means of n = {table['replication'].nunique()}", loc="right", fontsize=6.5, color="#555555", pad=3
        )
        legend_above(figure, [above, below], 2)
        return figure


def _draw_fixed(panel: Axes, means: pd.DataFrame, variants: Sequence[str]) -> None:
    """Fixed lengths in grey, their number at the slow end, where they lie apart."""
    for variant in variants:
        chosen = means[means["variant"] == variant]
        is_fallback = variant == _ALONE
        panel.plot(chosen[_RATE], chosen[_LATENCY], color=_GREY, ls="--" if is_fallback else "-", lw=0.8)
        match = _FIXED.match(variant)
        text = match[1] if match else "target\nalone"
        place = (chosen[_RATE].iloc[-1 if is_fallback else 0], chosen[_LATENCY].iloc[-1 if is_fallback else 0])
        panel.annotate(
            text,
            place,
            xytext=(4 if is_fallback else -3, 0),
            textcoords="offset points",
            ha="left" if is_fallback else "right",
            va="center",
            fontsize=5.8,
            color="#555555",
            linespacing=0.9,
        )


def best_fixed_lengths(
    table: pd.DataFrame,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The fixed length with the least latency at each rate, and the shortest and longest not distinguished from it.

    Replications share their random numbers, so a length is distinguished if the 95 % interval of its mean difference,
    replication by replication, leaves out zero. ``target alone`` counts as length 0.

    Returns:
        Shortest, best and longest, each [num_rates].
    """
    runs = table.pivot_table(index=["variant", _RATE], columns="replication", values=_LATENCY)
    lengths = {str(name): _length(str(name)) for name in values_of(table, "variant")}
    fixed = {name: length for name, length in lengths.items() if length is not None}
    found = []
    for rate in values_of(table, _RATE):
        best = min(fixed, key=lambda name: float(runs.loc[(name, rate)].mean()))
        alike = [best]
        for name in fixed:
            mean, half, _ = mean_interval(runs.loc[(name, rate)] - runs.loc[(best, rate)])
            if name != best and mean - half <= 0:
                alike.append(name)
        found.append((min(fixed[name] for name in alike), fixed[best], max(fixed[name] for name in alike)))
    low, middle, high = np.array(found, dtype=np.float64).T
    return low, middle, high


def _length(variant: str) -> int | None:
    match = _FIXED.match(variant)
    return int(match[1]) if match else 0 if variant == _ALONE else None


def closed_form_lengths(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The length that minimises (k (t_d + b/R) + t_0 + t_v) / E[tokens], and 0 where the target alone is faster.

    After arXiv 2606.20591's C(k), with the acceptance rate, the draft's seconds t_d and bits b per token, and the
    delays t_0 and verification's seconds t_v per round that the fixed lengths of the sweep had on average.

    Returns:
        Lengths [num_rates].
    """
    from sim.decoding.theory import expected_tokens

    drafting = table[[_FIXED.match(str(name)) is not None for name in table["variant"]]]
    rounds = drafting["tokens"] / drafting["block_efficiency"]
    drafted = (rounds * drafting[_DRAFTED]).sum()

    def total_s(part: str) -> float:
        return float((drafting[f"{part}_mean_s"] * drafting["requests"]).sum())

    alpha = float((drafting["acceptance_rate"] * drafting["tokens"]).sum() / drafting["tokens"].sum())
    draft_s, bits = total_s("draft_compute") / drafted, float(drafting["uplink_payload_bits"].sum()) / drafted
    round_s = (total_s("transport") + total_s("verify_compute")) / float(rounds.sum())
    alone = means_by(table[table["variant"] == _ALONE], [_RATE], [_LATENCY]).set_index(_RATE)[_LATENCY]
    best = []
    for rate in values_of(table, _RATE):

        def token_s(k: int, rate: float = rate) -> float:
            return (k * (draft_s + bits / (rate * 1e6)) + round_s) / expected_tokens(alpha, k)

        length = min(range(1, _LONGEST + 1), key=token_s)
        best.append(length if rate not in alone or token_s(length) < alone[rate] else 0)
    return np.array(best, dtype=np.float64)
