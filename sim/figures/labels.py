"""What a column is called in a figure or report: one dictionary of names and units, and a fallback by suffix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sim.core.breakdown import PARTS

# Suffix of a column's name: unit as people write it. Longer suffixes first.
_UNITS = (
    ("_bits_per_accepted_token", "bit/accepted token"),
    ("_bits_per_token", "bit/token"),
    ("_per_token_j", "J/token"),
    ("tokens_per_s", "tokens/s"),
    ("_per_s", "1/s"),
    ("_rps", "requests/s"),
    ("_mbps", "Mbit/s"),
    ("_bps", "bit/s"),
    ("_kmh", "km/h"),
    ("_mps", "m/s"),
    ("_dbm", "dBm"),
    ("_bits", "bit"),
    ("_ghz", "GHz"),
    ("_mhz", "MHz"),
    ("_khz", "kHz"),
    ("_hz", "Hz"),
    ("_db", "dB"),
    ("_km", "km"),
    ("_ms", "ms"),
    ("_s", "s"),
    ("_m", "m"),
    ("_j", "J"),
    ("_w", "W"),
)

_NAMES = {
    "e2e": "End-to-end latency",
    "e2e_mean": "End-to-end latency",
    "e2e_p50": "Median end-to-end latency",
    "e2e_p95": "95th percentile of latency",
    "e2e_p99": "99th percentile of latency",
    "ttft": "Time to first token",
    "ttft_mean": "Time to first token",
    "ttft_p95": "95th percentile of time to first token",
    "tpot": "Time per output token",
    "tpot_mean": "Time per output token",
    "tpot_p95": "95th percentile of time per token",
    "token_latency": "Latency per token",
    "link.background.0.rate": "Background files per user",
    "max_itl": "Largest inter-token gap",
    "tokens_per_s": "Throughput",
    "tokens": "Tokens",
    "e2e_half": "95 % interval ±",
    "n": "Replications",
    "acceptance_rate": "Acceptance rate α",
    "accepted_fraction": "Accepted fraction",
    "block_efficiency": "Tokens per round",
    "drafted_per_round": "Drafted tokens per round",
    "overlap": "Overlap of draft and target rows",
    "tail_mass": "Draft probability truncated",
    "draft_entropy": "Entropy of the draft's rows",
    "target_entropy": "Entropy of the target's rows",
    "perplexity": "Perplexity of the text under the target",
    "vocab_size": "Vocabulary",
    "wire_vocab_size": "Vocabulary that messages are charged for",
    "models.wire_vocab_size": "Vocabulary that messages are charged for",
    "acceptance_se": "Standard error of the acceptance rate",
    "uplink": "Uplink payload",
    "downlink": "Downlink payload",
    "uplink_payload": "Uplink payload",
    "downlink_payload": "Downlink payload",
    "uplink_jain_index": "Jain's index of the uplink",
    "downlink_jain_index": "Jain's index of the downlink",
    "device_energy": "Device energy",
    "edge_energy": "Edge energy",
    "edge_utilisation": "Edge utilisation",
    "edge_mean_batch": "Jobs per step at the edge",
    "edge_running_mean": "Running set at the edge",
    "edge_waiting_mean": "Jobs waiting at the edge",
    "edge_kv_share_mean": "Key-value memory held at the edge",
    "edge_kv_share_max": "Largest key-value memory held at the edge",
    "edge_preemptions": "Preemptions at the edge",
    "edge_prefix_hit_share": "Prompt tokens found in the edge's prefix cache",
    "requests": "Requests",
    "failed": "Requests given up",
    "unserved_requests": "Requests given up for want of a site",
    "cloud_requests": "Requests that the cloud took over",
    "draft_alone_requests": "Requests that the draft ended alone",
    "lost_forwards": "Forward passes lost with a site",
    "radio_link_failures": "Radio link failures",
    "outage_messages": "Messages that waited for coverage",
    "failed_messages": "Messages that found no radio link",
    "slo_attainment": "Share of requests that meet all objectives",
    "slo_met": "Met all objectives",
    "ttft_attainment": "Share of requests that meet the objective of TTFT",
    "tpot_attainment": "Share of requests that meet the objective of TPOT",
    "e2e_attainment": "Share of requests that meet the end-to-end objective",
    "goodput": "Goodput",
    "offered": "Offered load",
    "completed": "Requests completed",
    "in_flight_mean": "Requests under way",
    "simulated": "Simulated time",
    "variant": "Variant",
    "replication": "Replication",
    "link.uplink": "Uplink rate",
    "link.downlink": "Downlink rate",
    "link.bandwidth": "Bandwidth",
    "link.one_way_delay": "One-way delay",
    "link.snr": "Signal-to-noise ratio",
    "link.sr_period_slots": "Period of scheduling requests (slots)",
    "link.tdd_pattern": "Slot pattern",
    "protocol.name": "Protocol",
    "protocol.top_k": "Row length K",
    "protocol.draft_length": "Draft length γ",
    "protocol.candidates": "First-level candidates",
    "protocol.values": "Value format",
    "devices.count": "Devices",
    "workload.temperature": "Temperature",
    "workload.max_new_tokens": "Tokens per request",
    "edge.max_batch": "Largest batch at the edge",
    "edge.batch_window": "Batch window",
    "edge.max_num_seqs": "Running set at the edge, at most",
    "edge.max_batch_tokens": "Token budget of a step",
    "edge.replicas": "Servers at the edge",
}

# Words that a name made of a column keeps in capitals.
_ABBREVIATIONS = {
    word.lower(): word
    for word in ("PRB", "BLER", "HARQ", "RLC", "MAC", "SR", "SNR", "SINR", "MCS", "TDD", "DRX", "RRC")
}

_PART_NAMES = {
    "device_queue": "device queue",
    "draft_compute": "draft compute",
    "uplink_access": "uplink access",
    "uplink_air": "uplink air",
    "uplink_retransmission": "uplink retransm.",
    "transport": "transport",
    "edge_queue": "edge queue",
    "verify_compute": "verify compute",
    "downlink_access": "downlink access",
    "downlink_air": "downlink air",
    "downlink_retransmission": "downlink retransm.",
}


def unit_of(column: str) -> str:
    """The unit that a column's name ends in, as people write it; empty if it has none."""
    return next((unit for suffix, unit in _UNITS if column.endswith(suffix)), "")


def name_of(column: str) -> str:
    """What a column is called, without its unit."""
    suffix = next((suffix for suffix, _ in _UNITS if column.endswith(suffix)), "")
    stem = column[: len(column) - len(suffix)]
    if column in _NAMES or stem in _NAMES:
        return _NAMES.get(column) or _NAMES[stem]
    part = stem.removesuffix("_mean")
    if part in PARTS:
        return part_name(part).capitalize()
    words = (stem.rpartition(".")[2] or column).capitalize().split("_")
    return " ".join(_ABBREVIATIONS.get(word.lower(), word) for word in words)


def label_of(column: str) -> str:
    """The label of an axis: name and unit, such as ``End-to-end latency (s)``."""
    unit = unit_of(column)
    return f"{name_of(column)} ({unit})" if unit else name_of(column)


def part_name(part: str) -> str:
    """What a part of the breakdown is called."""
    return _PART_NAMES[part]


def value_label(column: str, value: Any) -> str:
    """A value with its column's name or unit: ``5 Mbit/s``, ``Row length K = 64``."""
    if column == "variant" or isinstance(value, str):
        return str(value)
    unit = unit_of(column)
    return f"{number(value)} {unit}" if unit else f"{name_of(column)} = {number(value)}"


def entry_label(column: str, value: Any) -> str:
    """A value where its column's name stands above it, as in a legend with a title: ``5 Mbit/s``, ``64``."""
    unit = "" if isinstance(value, str) else unit_of(column)
    return f"{number(value)} {unit}" if unit else number(value)


def series_title(by: str | None) -> str:
    """What the values of a column are values of, for the head of a legend; empty where they speak for themselves."""
    return "" if by is None or by in ("variant", "result") else name_of(by)


def panel_label(column: str, value: Any) -> str:
    """The head of a panel: the column's name and the value with its unit, such as ``One-way delay 0.01 s``."""
    text = value_label(column, value)
    return text if "=" in text or column in ("variant", "result") else f"{name_of(column)} {text}"


def number(value: Any) -> str:
    """A number with at most four significant digits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"


def alike(values: Sequence[float], digits: int = 3) -> list[str]:
    """Numbers as they stand below each other: all with the decimals that the largest has of so many digits.

    Where they span more than two decades each has digits of its own; whole numbers have no decimals.
    """
    finite = [abs(value) for value in values if math.isfinite(value)]
    if all(value.is_integer() for value in map(float, finite)):
        return [f"{value:,.0f}" for value in values]
    largest, least = max(finite), min((value for value in finite if value), default=0.0)
    if largest > 100 * least:
        return [significant(value, digits) for value in values]
    decimals = max(0, digits - 1 - math.floor(math.log10(largest)))
    return [f"{value:,.{decimals}f}" for value in values]


def significant(value: float, digits: int = 3) -> str:
    """So many significant digits, zeros at the end included."""
    if not value or not math.isfinite(value):
        return f"{value:.0f}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def tick_text(value: float, in_thousands: bool) -> str:
    """A number at a tick; with k and M on an axis that reaches ten thousand."""
    if not in_thousands or abs(value) < 1000:
        return number(value)
    return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1000:g}k"


def within_line(column: str, label: str) -> str:
    """A label as it reads within a line: without its capital, unless that is part of a name or abbreviation."""
    kept = column in ("variant", "result") or not label[1:2].islower()
    return label if kept else label[0].lower() + label[1:]
