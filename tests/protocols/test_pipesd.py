"""PipeSD: exact, the cuts of brute force, a text that no cut touches, and time that overlap saves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sim.decoding.protocols.pipesd import best_cuts
from tests.worlds import simulate, small_scenario

CUTS = ("optimal", "stop_and_wait", "every_token")


@pytest.mark.parametrize(
    "keys",
    [
        {"cuts": "every_token", "top_k": 2},
        {"cuts": "every_token", "token_threshold": 0.4, "values": "lattice", "lattice_levels": 5},
        {"cuts": "optimal", "sequence_threshold": 0.3, "top_p": 0.8},
    ],
    ids=str,
)
def test_pipesd_is_exact(assert_exact, keys):
    assert_exact("pipesd", seeds=2, draft_length=2, **keys)


def brute_force(length: int, draft_s: float, part_s: float, token_s: float) -> float:
    """The earliest end of all 2^(length - 1) ways to cut."""
    best = float("inf")
    for inner in itertools.product((False, True), repeat=length - 1):
        cuts = [*(place for place, cut in enumerate(inner, start=1) if cut), length]
        end = 0.0
        for first, last in itertools.pairwise([0, *cuts]):
            end = max(end, draft_s * last) + part_s + token_s * (last - first)
        best = min(best, end)
    return best


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 12])
def test_cuts_are_those_of_brute_force(length):
    rng = np.random.default_rng(length)
    times = [tuple(float(x) for x in rng.exponential(scale)) for scale in np.exp(rng.normal(0, 1.5, (4, 3)))]
    for draft_s, part_s, token_s in [*times, (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 5.0, 0.0)]:
        cuts, end_s = best_cuts(length, draft_s, part_s, token_s)
        assert cuts[-1] == length and list(cuts) == sorted(set(cuts))
        assert end_s == pytest.approx(brute_force(length, draft_s, part_s, token_s), rel=1e-12)


def test_extreme_profiles_have_the_cuts_that_anyone_would_make():
    assert best_cuts(6, 1.0, 0.0, 0.5)[0] == (1, 2, 3, 4, 5, 6)  # drafting is slow and parts are free
    assert best_cuts(6, 0.0, 1.0, 0.5)[0] == (6,)  # nothing to wait for
    assert best_cuts(0, 1.0, 1.0, 1.0) == ((), 0.0)


@pytest.mark.parametrize("keys", [{}, {"token_threshold": 0.3}, {"sequence_threshold": 0.1, "top_k": 4}], ids=str)
def test_the_text_does_not_depend_on_the_cuts(tables, keys):
    draft, target = tables.pair(2, vocab_size=8)
    runs = [tables.run("pipesd", draft, target, max_new_tokens=60, cuts=cuts, **keys) for cuts in CUTS]
    assert all(done.tokens == runs[0].tokens for done in runs)
    assert all(repr(done.rounds) == repr(runs[0].rounds) for done in runs)
    parts = [len(tables.sent(done.steps, "draft")) for done in runs]
    assert parts[1] == len(runs[1].rounds) < parts[2]
    if "token_threshold" not in keys and "sequence_threshold" not in keys:
        whole = tables.run("tslt", draft, target, max_new_tokens=60, draft_length=8)
        assert whole.tokens == runs[0].tokens
    else:
        assert {done.drafted for done in runs[0].rounds[:-2]} > {8} or parts[1] > 8  # drafts stop early


def run(cuts: str, uplink_mbps: float, **keys):
    """Requests and rounds of one device: 2 ms per drafted token, rows of 16 entries, no headers on the air."""
    compute = {"kind": "fixed", "per_forward_s": 0.002}
    return simulate(
        small_scenario(
            devices={"count": 1, "requests": 2},
            workload={"max_new_tokens": 40},
            protocol={"name": "pipesd", "draft_length": 6, "cuts": cuts, **keys},
            link={
                "kind": "fixed",
                "uplink_mbps": uplink_mbps,
                "downlink_mbps": 1e6,
                "one_way_delay_s": 0,
                "header_bits": 0,
            },
            compute={"device": compute, "edge": compute, "cloud": compute},
        )
    )


def test_stop_and_wait_latency_over_the_inverse_rate_has_the_payload_as_its_slope_and_overlap_lowers_it():
    rates = np.array([0.2, 0.4, 0.8, 1.6])
    latency = {
        cuts: np.array(
            [
                sum(
                    row["e2e_s"]
                    for row in run(cuts, rate, draft_token_s=0.002, token_upload_s=272 / rate / 1e6).requests
                )
                for rate in rates
            ]
        )
        for cuts in CUTS
    }
    payload = sum(row["uplink_payload_bits"] for row in run("stop_and_wait", 0.2).requests)
    slope = np.polyfit(1 / (rates * 1e6), latency["stop_and_wait"], 1)[0]
    assert slope == pytest.approx(payload, rel=0.01)
    assert (latency["optimal"] < latency["stop_and_wait"]).all()
    assert (latency["every_token"] < latency["stop_and_wait"]).all()


def test_parts_fly_while_the_device_drafts():
    """Sent behind each token, all but the last row hide behind drafting where a row takes less than a token's time."""
    slow, fast = run("stop_and_wait", 0.4), run("every_token", 0.4)
    assert [row["tokens"] for row in slow.rounds] == [row["tokens"] for row in fast.rounds]
    row_s = 272 / 0.4e6
    assert row_s < 0.002
    for whole, parts in zip(slow.rounds, fast.rounds, strict=True):
        if whole["round"] and whole["drafted_tokens"] > 1:
            hidden_s = (whole["drafted_tokens"] - 1) * row_s
            assert whole["duration_s"] - parts["duration_s"] == pytest.approx(hidden_s, rel=0.05)
