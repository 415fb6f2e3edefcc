"""Latency over load at the edge: the hyperbola that batching makes of it, and what load leaves of speculation."""

from __future__ import annotations

import pytest

from tests.worlds import simulate_drawn, small_scenario

TOKENS, FIXED_S, TOKEN_S = 12, 0.01, 0.002


def latency_s(rate_hz: float, protocol: str = "edge_only") -> float:
    """Mean of requests of 12 tokens at a server whose step takes 10 ms and 2 ms a token, from 200 devices."""
    keys = {} if protocol == "edge_only" else {"draft_length": 4}
    scenario = small_scenario(
        devices={
            "count": 200,
            "arrivals": "poisson",
            "total_rate_hz": rate_hz,
            "requests": None,
            "duration_s": 400 / rate_hz,
            "warmup_s": 2.0,
        },
        workload={"max_new_tokens": TOKENS, "distinct_requests": 12},
        protocol={"name": protocol, **keys},
        link={"kind": "fixed", "uplink_mbps": 1e4, "downlink_mbps": 1e4, "one_way_delay_s": 0, "sharing": "dedicated"},
        edge={"max_num_seqs": 256},
        compute={
            "device": {"kind": "fixed", "per_forward_s": 0.001},
            "edge": {"kind": "fixed", "per_forward_s": FIXED_S, "per_token_s": TOKEN_S},
            "cloud": {"kind": "fixed"},
        },
    )
    return float(simulate_drawn(scenario)["e2e_mean_s"])


def test_normalised_latency_is_one_over_one_minus_load():
    """L(R) / L(0) = 1 / (1 - R C2) with C2 = n c1 (arXiv 2605.15051): R L sequences share each of n steps, by Little.

    Three prompt tokens count as new tokens, too. Within 10 %: 400 requests, and a step is under way when one arrives.
    """
    c2 = (TOKENS + 2) * TOKEN_S
    alone_s = latency_s(1.0) * (1 - c2)
    for rate_hz in (8.0, 16.0, 20.0):
        assert latency_s(rate_hz) / alone_s == pytest.approx(1 / (1 - rate_hz * c2), rel=0.1)


def test_gains_of_speculation_fade_with_load():
    """Verification computes five tokens for two: it wins at an idle server, and loses at a loaded one."""
    gains = [latency_s(rate_hz) / latency_s(rate_hz, "tslt") for rate_hz in (1.0, 8.0, 16.0, 24.0)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1.4
    assert gains[-1] < 0.8
