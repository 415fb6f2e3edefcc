"""The summary of a run: figures over its requests, ratios as ratios of sums, gathered while the run goes on."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from sim.decoding.core.steps import Round
from sim.results.columns import BREAKDOWN_COLUMNS
from sim.results.ratio import RatioOfSums

if TYPE_CHECKING:
    from sim.results.output import RunOutput

_LATENCIES = ("e2e_s", "ttft_s", "tpot_s")
_SUMMED = (
    "tokens",
    "rounds",
    "drafted_tokens",
    "tested_positions",
    "accepted_tokens",
    "uplink_payload_bits",
    "downlink_payload_bits",
    "uplink_charged_bits",
    "downlink_charged_bits",
    "device_energy_j",
    "edge_energy_j",
    *BREAKDOWN_COLUMNS,
)
# Means over rounds: what of a round each of them is weighted by.
_WEIGHTED = {
    "overlap": "tested",
    "tail_mass": "tested",
    "draft_entropy_bits": "tested",
    "target_entropy_bits": "tokens",
    "surprisal_bits": "tokens",
}
# Figures that only some protocols have: column, what of their rounds is summed, and over what (None: rounds).
_SOME = (
    ("reused_fraction", "reused", None),
    ("asked_fraction", "asked", None),
    ("inner_acceptance_rate", "inner_accepted", "inner_tested"),
)
_SOME_OF = {summed: (column, over) for column, summed, over in _SOME}


class SummaryBuilder:
    """Gathers sums and the latencies of each request; a few dozen bytes a request."""

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        self._met: Counter[str] = Counter()
        self._objectives: dict[str, None] = {}
        self._sums: Counter[str] = Counter()
        self._latencies = {name: array("d") for name in _LATENCIES}
        self._weighted = {name: [0.0, 0.0] for name in _WEIGHTED}
        self._some = {column: [0.0, 0.0] for column, _, _ in _SOME}
        self._acceptance = RatioOfSums()

    def add(
        self, request: dict[str, Any], rounds: Sequence[Round], met: Mapping[str, bool], recording: int | None = None
    ) -> None:
        """Take one request that has ended or was given up: its row, what its rounds did, and objectives met.

        Args:
            request: Its row.
            rounds: What its rounds did.
            met: Whether each objective was met.
            recording: Number of the recording that it replays along with other requests, None if it has its own.
        """
        self._objectives.update(dict.fromkeys(met))
        if request["given_up"]:
            self.failed += 1
            for name in ("device_energy_j", "edge_energy_j"):
                self._sums[name] += request[name]
            return
        self.requests += 1
        self._met["slo"] += request["slo_met"]
        for name, is_met in met.items():
            self._met[name] += is_met
        for name in _SUMMED:
            self._sums[name] += request[name]
        for name, values in self._latencies.items():
            values.append(request[name])
        self._acceptance.add(request["accepted_tokens"], request["tested_positions"], recording)
        weighted, isnan = self._weighted, math.isnan
        for round_ in rounds:
            for name, value in round_.stats:
                totals = weighted.get(name)
                if totals is not None:
                    if not isnan(value):
                        weight = round_.tested if _WEIGHTED[name] == "tested" else len(round_.tokens)
                        totals[0] += value * weight
                        totals[1] += weight
                elif name in _SOME_OF:
                    column, over = _SOME_OF[name]
                    self._some[column][0] += value
                    self._some[column][1] += 1.0 if over is None else dict(round_.stats)[over]

    def summary(self, output: RunOutput) -> dict[str, Any]:
        """One flat mapping of column name to number; means over requests unless the name says otherwise."""
        figures = self.figures(output.figures["window_s"])
        return {**figures, "simulated_s": output.simulated_s, **output.figures, **output.link}

    def figures(self, window_s: float) -> dict[str, Any]:
        """The part of it that is about requests.

        Args:
            window_s: Length of the measurement window.
        """
        sums = self._sums
        tokens = sums["tokens"]
        e2e, ttft, tpot = (np.array(self._latencies[name]) for name in _LATENCIES)
        return {
            "requests": self.requests,
            "failed": self.failed,
            **self._attainment(window_s),
            "tokens": int(tokens),
            **_latency("e2e", e2e, (50, 95, 99)),
            **_latency("ttft", ttft, (95,)),
            **_latency("tpot", tpot, (95,)),
            "token_latency_s": _ratio(e2e.sum(), tokens),
            "acceptance_rate": _ratio(sums["accepted_tokens"], sums["tested_positions"]),
            "accepted_fraction": _ratio(sums["accepted_tokens"], sums["drafted_tokens"]),
            "block_efficiency": _ratio(tokens, sums["rounds"]),
            "drafted_per_round": _ratio(sums["drafted_tokens"], sums["rounds"]),
            "uplink_payload_bits": int(sums["uplink_payload_bits"]),
            "downlink_payload_bits": int(sums["downlink_payload_bits"]),
            "uplink_bits_per_token": _ratio(sums["uplink_payload_bits"], tokens),
            "uplink_bits_per_accepted_token": _ratio(sums["uplink_payload_bits"], sums["accepted_tokens"]),
            "downlink_bits_per_token": _ratio(sums["downlink_payload_bits"], tokens),
            **_charged_apart(sums),
            "device_energy_per_token_j": _ratio(sums["device_energy_j"], tokens),
            "edge_energy_per_token_j": _ratio(sums["edge_energy_j"], tokens),
            "acceptance_se": self._acceptance.standard_error(),
            **{name: _ratio(*self._weighted[name]) for name in _WEIGHTED if name != "surprisal_bits"},
            "perplexity": _power_of_two(_ratio(*self._weighted["surprisal_bits"])),
            **{name: total / of for name, (total, of) in self._some.items() if of},
            **{f"{name.removesuffix('_s')}_mean_s": _ratio(sums[name], self.requests) for name in BREAKDOWN_COLUMNS},
        }

    def _attainment(self, window_s: float) -> dict[str, float]:
        asked = self.requests + self.failed
        return {
            "slo_attainment": _ratio(self._met["slo"], asked),
            "goodput_rps": _ratio(self._met["slo"], window_s),
            **{f"{name.removesuffix('_s')}_attainment": _ratio(self._met[name], asked) for name in self._objectives},
        }


def _charged_apart(sums: Mapping[str, float]) -> dict[str, float]:
    """Bits charged per token, where they are not those of the encoded messages."""
    directions = ("uplink", "downlink")
    if all(sums[f"{one}_charged_bits"] == sums[f"{one}_payload_bits"] for one in directions):
        return {}
    return {f"{one}_charged_bits_per_token": _ratio(sums[f"{one}_charged_bits"], sums["tokens"]) for one in directions}


class SummaryByKind(SummaryBuilder):
    """The summary of all requests, one of each kind of devices, and one of each category of prompts.

    Args:
        kinds: Their names.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__()
        self._kinds = {name: SummaryBuilder() for name in kinds if name}
        self._categories: dict[str, SummaryBuilder] = {}

    @override
    def add(
        self, request: dict[str, Any], rounds: Sequence[Round], met: Mapping[str, bool], recording: int | None = None
    ) -> None:
        """Take one request for all of them."""
        super().add(request, rounds, met, recording)
        if request["category"]:
            self._categories.setdefault(request["category"], SummaryBuilder()).add(request, rounds, met, recording)
        if self._kinds:
            self._kinds[request["kind"]].add(request, rounds, met, recording)

    def by_kind(self, output: RunOutput) -> list[dict[str, Any]]:
        """Figures of each kind, in their order; none where all devices are alike."""
        return [{"kind": name, **own.figures(output.figures["window_s"])} for name, own in self._kinds.items()]

    def by_category(self, output: RunOutput) -> list[dict[str, Any]]:
        """Figures of each category of prompts, by name; none where the prompts' file names fewer than two."""
        if len(self._categories) < 2:
            return []
        window_s = output.figures["window_s"]
        return [{"category": name, **own.figures(window_s)} for name, own in sorted(self._categories.items())]


def _power_of_two(bits: float) -> float:
    return float(2.0**bits)


def _latency(name: str, values: np.ndarray, percents: tuple[int, ...]) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {f"{name}_mean_s": math.nan, **{f"{name}_p{p}_s": math.nan for p in percents}}
    return {
        f"{name}_mean_s": float(finite.mean()),
        **{f"{name}_p{p}_s": float(np.percentile(finite, p)) for p in percents},
    }


def _ratio(total: float, of: float) -> float:
    return float(total / of) if of else math.nan
