"""The summary of a run: figures over its requests, ratios as ratios of sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.results.columns import BREAKDOWN_COLUMNS
from sim.world import RunOutput

Column = npt.NDArray[np.float64]


def summarise(output: RunOutput) -> dict[str, Any]:
    """One flat mapping of column name to number; means over requests unless the name says otherwise."""
    requests = {name: np.array([row[name] for row in output.requests], dtype=float) for name in output.requests[0]}
    tokens = requests["tokens"].sum()
    e2e = requests["e2e_s"]
    return {
        "requests": len(e2e),
        "tokens": int(tokens),
        "simulated_s": output.simulated_s,
        "e2e_mean_s": float(e2e.mean()),
        **_percentiles("e2e", e2e, (50, 95, 99)),
        "ttft_mean_s": _mean(requests["ttft_s"]),
        **_percentiles("ttft", requests["ttft_s"], (95,)),
        "tpot_mean_s": _mean(requests["tpot_s"]),
        **_percentiles("tpot", requests["tpot_s"], (95,)),
        "token_latency_s": _ratio(e2e.sum(), tokens),
        "tokens_per_s": _ratio(tokens, output.simulated_s),
        "acceptance_rate": _ratio(requests["accepted_tokens"].sum(), requests["tested_positions"].sum()),
        "accepted_fraction": _ratio(requests["accepted_tokens"].sum(), requests["drafted_tokens"].sum()),
        "block_efficiency": _ratio(tokens, requests["rounds"].sum()),
        "uplink_payload_bits": int(requests["uplink_payload_bits"].sum()),
        "downlink_payload_bits": int(requests["downlink_payload_bits"].sum()),
        "uplink_bits_per_token": _ratio(requests["uplink_payload_bits"].sum(), tokens),
        "downlink_bits_per_token": _ratio(requests["downlink_payload_bits"].sum(), tokens),
        "device_energy_per_token_j": _ratio(requests["device_energy_j"].sum(), tokens),
        "edge_energy_per_token_j": _ratio(requests["edge_energy_j"].sum(), tokens),
        **_round_figures(output.rounds),
        **{f"{name.removesuffix('_s')}_mean_s": float(requests[name].mean()) for name in BREAKDOWN_COLUMNS},
        **output.sites,
        **output.link,
    }


def _round_figures(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Statistics of the rounds' rows, weighted by tested positions, where there are any."""
    figures = {}
    for name in ("overlap", "tail_mass"):
        pairs = [(row[name], row["tested_positions"]) for row in rounds if name in row and row[name] == row[name]]
        weight = sum(tested for _, tested in pairs)
        figures[name] = sum(value * tested for value, tested in pairs) / weight if weight else float("nan")
    return figures


def _percentiles(name: str, values: Column, percents: tuple[int, ...]) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    return {f"{name}_p{p}_s": float(np.percentile(finite, p)) if len(finite) else float("nan") for p in percents}


def _mean(values: Column) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _ratio(total: float, of: float) -> float:
    return float(total / of) if of else float("nan")
