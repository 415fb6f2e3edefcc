"""An edge server under steady load, whole runs from arrivals to tables: queues, waves of a running set, chunks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.validation.registry import Row, between, near, section

_QUEUES = "queueing"
_WAVES = "a running set of 16 at the step of 66.9 ms, by hand"
_OF_SHARE = "the bandwidth share of 0.7 that this step was reckoned with, very short prompts"
_OF_CLASS = (
    "the prices as they are by default (bandwidth share 0.81, as measured on A40, L40S and L4), prompts of 76 tokens, "
    "whose keys and values are read in every step; the source does not state its prompts, and very short ones give "
    "57.9 ms and 2.9 s"
)


def _l4(**keys: float) -> dict[str, Any]:
    """7B on an L4, nothing sent and nothing waited for at the device."""
    priced = {"kind": "roofline", "hardware": "l4", "model_size": "7B", **keys}
    return {
        "protocol": {"name": "edge_only"},
        "link": {"kind": "fixed", "uplink_mbps": 1e6, "downlink_mbps": 1e6, "one_way_delay_s": 0.0},
        "compute": dict.fromkeys(("device", "edge", "cloud"), priced),
    }


@section(_QUEUES, fast=False)
def steady_load() -> Iterable[Row]:
    """A thousand devices, Poisson, each forward pass 0.1 s and alone: M/D/1 below capacity, and what is above it."""
    from tests.world.test_steady_load import one_token_requests, poisson
    from tests.worlds import simulate_drawn

    half = simulate_drawn(one_token_requests(poisson(0.5, 3000.0)))
    what, queue_s = "1,000 devices at load 0.5", half["edge_queue_mean_s"]
    yield near(f"{what}: mean queue [s]", "M/D/1: rho / (2 (1 - rho)) services", 0.05, queue_s, rel=0.05)
    yield near(f"{what}: utilisation", "rho", 0.5, half["edge_utilisation"], rel=0.01)
    yield near(f"{what}: throughput [1/s]", "what is offered", half["offered_rps"], half["tokens_per_s"], rel=0.02)
    over = simulate_drawn(one_token_requests(poisson(1.34, 200.0, 500, in_flight="cut")))
    yield near("500 devices at load 1.34: throughput [1/s]", "1 / service", 10.0, over["tokens_per_s"], rel=0.02)


@section(_QUEUES, fast=False)
def servers_by_load() -> Iterable[Row]:
    """Recursions that the server equals to the nanosecond (``tests/nodes/test_queueing_laws.py``), in the long run."""
    from tests.nodes import test_queueing_laws as laws

    for load in laws.LOADS:
        waits = laws.lindley_ns(laws.arrivals_ns(laws.STEP_NS / load, 4_000_000, 2), laws.STEP_NS)
        expected = load / (2 * (1 - load))
        what = f"mean wait of M/D/1 at load {load} [services]"
        yield near(what, "Pollaczek and Khinchine", expected, float(waits.mean()) / laws.STEP_NS, rel=0.03)
    servers, tokens = 4, 25
    for load in laws.LOADS:
        arrivals = laws.arrivals_ns(tokens * laws.STEP_NS / (servers * load), 60_000, 5)
        waits = laws.slotted_waits_ns(arrivals, laws.geometric(60_000, tokens, 6), servers)
        expected, empty = laws.erlang_c(servers, load)
        got = float(waits.mean() - laws.STEP_NS / 2 * (1 - empty)) / (tokens * laws.STEP_NS)
        note = "a running set of four goes in steps: half a step is taken off"
        what = f"mean wait of a running set as M/M/4 at load {load} [services]"
        if load < 0.5:
            yield near(what, "Erlang C", expected, got, abs=0.003, note=note)
        else:
            yield near(what, "Erlang C", expected, got, rel=0.1, note=note)


@section(_QUEUES)
def running_set() -> Iterable[Row]:
    """64 sessions of 32 tokens on an L4 that runs 16 at a time: waves of 32 steps."""
    from tests.worlds import planned_requests, simulate_planned, small_scenario

    devices, workload = {"count": 64, "requests": 1}, {"max_new_tokens": 32, "stop_at_eos": False}
    for keys, prompt_tokens, note in (({"bandwidth_efficiency": 0.7}, None, _OF_SHARE), ({}, 76, _OF_CLASS)):
        scenario = small_scenario(devices=devices, workload=workload, edge={"max_num_seqs": 16}, **_l4(**keys))
        planned = planned_requests(scenario)
        if prompt_tokens is not None:
            planned = [replace(one, prompt=(one.prompt * prompt_tokens)[:prompt_tokens]) for one in planned]
        rows = simulate_planned(scenario, planned).requests
        ttft, tpot = [row["ttft_s"] for row in rows], [row["tpot_s"] for row in rows]
        what = "64 sessions, 7B on an L4, 16 at a time" + ("" if keys else ", default prices")
        yield near(f"{what}: TPOT [s]", _WAVES, 0.067, float(np.mean(tpot)), rel=0.05, note=note)
        yield near(f"{what}: mean TTFT [s]", _WAVES, 3.2, float(np.mean(ttft)), rel=0.1, note=note)
        bound = (3 * 32 + 2) * max(tpot)
        if keys:
            yield between(
                f"{what}: longest TTFT [s]", "three waves of 32 steps, and two of prompts", 0.0, bound, max(ttft)
            )
