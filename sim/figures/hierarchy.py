"""Chains of models over device, edge and cloud: simulated latency over the backhaul's delay, and what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim.figures.conditions import values_of
from sim.figures.drawing import draw_curves, say_replications, set_scales
from sim.figures.labels import label_of
from sim.figures.legends import legend_above
from sim.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_DELAY = "cloud.one_way_delay_s"
_LATENCY = "token_latency_s"
_LONGEST = 16

# Variants and what they are: indices into (draft, middle, target), and blocks.
CHAINS: dict[str, tuple[int, ...]] = {
    "device to cloud": (0, 2),
    "edge to cloud": (1, 2),
    "device, edge, cloud": (0, 1, 2),
}


@dataclass(frozen=True)
class Measured:
    """What a sweep says of the three models and the delay between them.

    Attributes:
        forward_s: Seconds per forward, [3].
        acceptance: Acceptance of model i's tokens by model j, [3, 3].
        air_round_s: Seconds per block over the air that do not depend on its length.
        air_token_s: Seconds per token over the air.
    """

    forward_s: npt.NDArray[np.float64]
    acceptance: npt.NDArray[np.float64]
    air_round_s: float
    air_token_s: float

    def hops(self, backhaul_s: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Seconds per block and per token from model to model at one backhaul delay, each [3, 3]."""
        air, trip = self.air_round_s, 2 * backhaul_s
        fixed_s = np.array([[0.0, air, air + trip], [0.0, 0.0, trip], [0.0, 0.0, 0.0]])
        token_s = np.array([[0.0, self.air_token_s, self.air_token_s], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        return fixed_s, token_s


def hierarchy(table: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Latency per token over the edge-cloud delay; dotted, the closed form of each chain at the measured acceptance.

    Args:
        table: A sweep with the variants of ``CHAINS`` and the target alone.
        axes: What was varied.
    """
    from sim.decoding.analysis.hierarchy import HopCosts, chain_token_s

    variants = values_of(table, "variant")
    measured = measure(table)
    with styled():
        figure = new_figure("one_column", 3.2)
        panel = figure.subplots()
        counts = draw_curves(panel, table, _DELAY, _LATENCY, "variant", variants)
        say_replications(panel, counts)
        delays = values_of(table, _DELAY)
        for variant, chain in CHAINS.items():
            blocks = blocks_of(variant)
            line = [
                chain_token_s(
                    measured.forward_s, measured.acceptance, chain, blocks, HopCosts(*measured.hops(float(delay)))
                )
                for delay in delays
            ]
            panel.plot(delays, line, color=COLOURS[variants.index(variant)], ls=(0, (1, 1)), lw=1)
        panel.plot([], [], color="#555555", ls=(0, (1, 1)), lw=1, label="closed form, long texts")
        planned = planned_token_s(measured, delays)
        panel.plot(delays, planned, color="#000000", lw=0.8, ls="-", label="best plan", zorder=0)
        set_scales(panel, table[_DELAY], table[_LATENCY], False, False, is_key=True)
        panel.set_xlabel("Delay between edge and cloud, one way (s)")
        panel.set_ylabel(label_of(_LATENCY))
        legend_above(figure, [panel], 2)
        return figure


def planned_token_s(measured: Measured, delays_s: Sequence[float]) -> list[float]:
    """Seconds per token of the best chain and blocks at each delay, by ``sim.decoding.analysis.hierarchy.plan``."""
    from sim.decoding.analysis.hierarchy import HopCosts, best_chain

    return [
        best_chain(measured.forward_s, measured.acceptance, _LONGEST, HopCosts(*measured.hops(float(delay)))).token_s
        for delay in delays_s
    ]


def blocks_of(variant: str) -> tuple[int, ...]:
    """Blocks of a variant, as the scenario has them."""
    from sim.scenario.loading import load_scenario

    scenario = load_scenario("hierarchy")
    assert scenario.sweep is not None
    changes = scenario.sweep.variants[variant]
    return tuple(changes.get("protocol.blocks", scenario.dump()["protocol"]["blocks"]))


def measure(table: pd.DataFrame) -> Measured:
    """Costs and acceptances from the sweep's own columns, means over delays and replications."""
    direct, upper, three = (table[table["variant"] == variant] for variant in CHAINS)

    def total(rows: pd.DataFrame, column: str) -> float:
        return float((rows[column] * rows["requests"]).sum())

    rounds = {name: float((rows["tokens"] / rows["block_efficiency"]).sum()) for name, rows in _named(table).items()}
    drafted = {
        name: float((rows["tokens"] / rows["block_efficiency"] * rows["drafted_per_round"]).sum())
        for name, rows in _named(table).items()
    }
    draft_s = total(direct, "draft_compute_mean_s") / drafted["device to cloud"]
    target_s = total(direct, "verify_compute_mean_s") / rounds["device to cloud"]
    middle_s = (total(upper, "verify_compute_mean_s") - target_s * rounds["edge to cloud"]) / drafted["edge to cloud"]
    acceptance = np.eye(3)
    acceptance[0, 1] = float(three["inner_acceptance_rate"].mean())
    acceptance[0, 2] = float(direct["acceptance_rate"].mean())
    acceptance[1, 2] = float(upper["acceptance_rate"].mean())
    trips = direct["tokens"] / direct["block_efficiency"] * 2 * direct[_DELAY]
    air_round_s = (
        total(direct, "transport_mean_s") - float(trips.sum()) + total(direct, "downlink_air_mean_s")
    ) / rounds["device to cloud"]
    air_token_s = total(direct, "uplink_air_mean_s") / drafted["device to cloud"]
    return Measured(np.array([draft_s, middle_s, target_s]), acceptance, air_round_s, air_token_s)


def _named(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {variant: table[table["variant"] == variant] for variant in CHAINS}
