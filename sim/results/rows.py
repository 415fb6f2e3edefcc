"""From ended requests to table rows; every column is declared, with its unit and meaning, in ``columns``."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sim.results.columns import BREAKDOWN_COLUMNS

if TYPE_CHECKING:
    from sim.nodes.device import RequestOutcome
    from sim.nodes.executor import RequestMetrics

_NAN = float("nan")


def request_row(outcome: RequestOutcome, is_measured: bool = True) -> dict[str, Any]:
    """One row of ``requests``."""
    metrics, planned = outcome.metrics, outcome.planned
    rounds = [emitted.round for emitted in metrics.emitted]
    times_s = _token_times_s(outcome)
    tokens = len(times_s)
    e2e_s = (outcome.ended_ns - outcome.issued_ns) / 1e9
    drafted = sum(round_.drafted for round_ in rounds)
    tested = sum(round_.tested for round_ in rounds)
    accepted = sum(round_.accepted for round_ in rounds)
    ttft_s = times_s[0] - outcome.issued_ns / 1e9 if times_s else _NAN
    tpot_s = (e2e_s - ttft_s) / (tokens - 1) if tokens > 1 else _NAN
    met = outcome.slo.met({"ttft_s": ttft_s, "tpot_s": tpot_s, "e2e_s": e2e_s})
    gaps = [later - earlier for earlier, later in pairwise(times_s)]
    return {
        "device": planned.device,
        "request": planned.index,
        "kind": outcome.kind,
        "category": planned.category,
        "measured": int(is_measured),
        "given_up": int(metrics.given_up),
        "slo_met": int(all(met.values()) and not metrics.given_up),
        "issued_s": outcome.issued_ns / 1e9,
        "e2e_s": e2e_s,
        "ttft_s": ttft_s,
        "tpot_s": tpot_s,
        "max_itl_s": max(gaps, default=_NAN),
        "prompt_tokens": planned.num_prompt_tokens,
        "tokens": tokens,
        "rounds": len(rounds),
        "drafted_tokens": drafted,
        "tested_positions": tested,
        "accepted_tokens": accepted,
        "acceptance_rate": accepted / tested if tested else _NAN,
        "accepted_fraction": accepted / drafted if drafted else _NAN,
        "block_efficiency": tokens / len(rounds) if rounds else _NAN,
        "uplink_payload_bits": metrics.uplink_bits,
        "downlink_payload_bits": metrics.downlink_bits,
        "uplink_charged_bits": metrics.uplink_charged_bits,
        "downlink_charged_bits": metrics.downlink_charged_bits,
        "uplink_messages": metrics.uplink_messages,
        "downlink_messages": metrics.downlink_messages,
        "uplink_airtime_s": metrics.uplink_airtime_ns / 1e9,
        "downlink_airtime_s": metrics.downlink_airtime_ns / 1e9,
        "device_energy_j": metrics.device_joules,
        "edge_energy_j": metrics.edge_joules,
        "handovers": metrics.handovers,
        **metrics.breakdown.columns(),
        **_of_sites(metrics),
    }


def _of_sites(metrics: RequestMetrics) -> dict[str, Any]:
    """Columns where the edge has several sites, or one that may fail."""
    served = metrics.served
    if not metrics.has_sites:
        return {}
    return {
        "site_moves": served.num_moves if served is not None else 0,
        "kv_moved_bytes": served.moved_bytes if served is not None else 0,
        "re_prefilled_tokens": served.recomputed_tokens if served is not None else 0,
        "fallback": served.fallback if served is not None else "",
        "draft_alone_tokens": metrics.draft_alone_tokens,
    }


def _token_times_s(outcome: RequestOutcome) -> list[float]:
    times_s: list[float] = []
    for round_, time_ns, *_ in outcome.metrics.emitted:
        times_s += [time_ns / 1e9] * len(round_.tokens)
    return times_s


def round_rows(outcome: RequestOutcome) -> list[dict[str, Any]]:
    """The rows of ``rounds`` of one request; bits and parts are those since the round before."""
    rows = []
    bits_up = bits_down = 0
    before = (0,) * len(BREAKDOWN_COLUMNS)
    start_ns = outcome.started_ns
    for number, emitted in enumerate(outcome.metrics.emitted):
        round_ = emitted.round
        rows.append(
            {
                "device": outcome.planned.device,
                "request": outcome.planned.index,
                "kind": outcome.kind,
                "category": outcome.planned.category,
                "round": number,
                "start_s": start_ns / 1e9,
                "duration_s": (emitted.time_ns - start_ns) / 1e9,
                "tokens": len(round_.tokens),
                "drafted_tokens": round_.drafted,
                "tested_positions": round_.tested,
                "accepted_tokens": round_.accepted,
                "uplink_payload_bits": emitted.uplink_bits - bits_up,
                "downlink_payload_bits": emitted.downlink_bits - bits_down,
                **dict(round_.stats),
                **{
                    column: (now - then) / 1e9
                    for column, now, then in zip(BREAKDOWN_COLUMNS, emitted.parts_ns, before, strict=True)
                },
            }
        )
        bits_up, bits_down, before, start_ns = (
            emitted.uplink_bits,
            emitted.downlink_bits,
            emitted.parts_ns,
            emitted.time_ns,
        )
    return rows
