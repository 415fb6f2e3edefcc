"""Prices of the roofline against measured hardware: published decode, prefill and batch times.

A price agrees within 25 %. Where one does not, the row says so and why; nothing is fitted to a row here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from sim.compute.base import WorkSize
from sim.compute.registry import COMPUTE
from tests.validation.registry import Row, missing, near, section

PRICES = "prices against measured hardware"
_TABLE = Path(__file__).with_name("measured_times.yaml")


def roofline(**settings: Any) -> Any:
    """The compute model of named hardware, as YAML would name it."""
    entry = COMPUTE.find("roofline")
    return entry.make(entry.settings(**settings), None)


def decode_batch(size: int, context: int) -> list[WorkSize]:
    """A token for each of ``size`` texts."""
    return [WorkSize(1, context, 1)] * size


def prefill(tokens: int) -> list[WorkSize]:
    """A prompt from its beginning."""
    return [WorkSize(tokens, tokens, 1)]


@section(PRICES, fast=False)
def measured_times() -> Iterable[Row]:
    """Every published time beside its price."""
    for group in yaml.safe_load(_TABLE.read_text(encoding="utf-8")):
        model = roofline(**group["roofline"])
        for point in group["points"]:
            work = prefill(point["prefill"]) if "prefill" in point else decode_batch(point["decode"], point["context"])
            got_ms = 1e3 * model.price(work).seconds
            note = point.get("note", "")
            what = f"{point['what']} [ms]"
            yield near(what, group["source"], point["ms"], got_ms, rel=0.25, note=note, deviates=bool(note))


@section(PRICES, fast=False)
def not_listed() -> Iterable[Row]:
    """Published figures for which there is nothing to hold against them."""
    yield missing(
        "iPhone 17 Pro, Qwen3-0.6B MLX 4 bit, a token: 6.3 ms",
        "john-rocky/apple-silicon-llm-bench",
        "no such hardware in the table: Apple states neither memory bandwidth nor FLOP/s of the part",
    )
    yield missing(
        "NVIDIA L4, any model",
        "no numeric measurement found",
        "the quickstart's L4 is priced from its data sheet; no public per-step time was found to hold it against",
    )
