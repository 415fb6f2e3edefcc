"""HAT: exact, hidden states in closed form, a prompt in chunks that overlap with their computation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from statistics import mean

import pytest

from sim.decoding.protocols.hat import HatSettings, HiddenLayout
from sim.inputs.workload import PlannedRequest
from sim.models.tabular import TabularModel
from sim.runs.world import World
from tests.worlds import inputs, simulate_planned, small_scenario


@pytest.mark.parametrize("keys", [{"draft_length": 2}, {"draft_length": 0}, {"draft_length": 1, "hidden_bits": 3}])
def test_hat_is_exact(assert_exact, keys):
    assert_exact("hat", seeds=3, hidden_size=2, **keys)


def test_the_text_is_that_of_both_models_at_one_place(tables):
    draft, target = tables.pair(2, vocab_size=8)
    split = tables.run("hat", draft, target, max_new_tokens=40, draft_length=3, hidden_size=4)
    whole = tables.run("colocated", draft, target, max_new_tokens=40, draft_length=3)
    assert split.tokens == whole.tokens


def test_a_hidden_state_per_position_goes_up_and_down(tables):
    draft, target = tables.pair(2, vocab_size=8)
    done = tables.run("hat", draft, target, max_new_tokens=40, draft_length=3, hidden_size=100)
    prompt, *sent = tables.sent(done.steps, "hidden")
    assert prompt.payload_bits == 24 + 1600
    for round_, up, down in zip(done.rounds, sent[::2], sent[1::2], strict=True):
        assert up.payload_bits == down.payload_bits == 24 + (round_.drafted + 1) * 1600


@pytest.mark.parametrize("length", [1, 4])
def test_drafting_ahead_changes_no_token(tables, length):
    draft, target = tables.pair(2, vocab_size=8)
    keys = {"max_new_tokens": 40, "draft_length": length, "hidden_size": 4}
    plain, ahead = (tables.run("hat", draft, target, draft_ahead=on, **keys) for on in (False, True))
    assert ahead.tokens == plain.tokens


# Chunking, speculation, drafting ahead; milliseconds to the first token and between tokens (HAT's ablations on 7B).
ABLATIONS = {
    (False, False, False): (655.6, 52.3),
    (True, False, False): (384.0, 39.4),
    (False, True, False): (655.3, 38.3),
    (True, True, False): (384.3, 30.6),
    (True, True, True): (384.2, 26.4),
}


def ablated(chunked: bool, speculates: bool, ahead: bool) -> tuple[float, float]:
    """TTFT of three devices with long prompts and TPOT of three with long answers, means, at one server.

    A pass takes 10 ms and 2 ms per position, so that a whole prompt of 80 tokens holds the answers up for 170 ms.
    """
    scenario = small_scenario(
        devices={"count": 6, "requests": 8, "arrivals": "poisson", "arrival_rate_hz": 0.6},
        workload={"max_new_tokens": 80, "temperature": 0},
        protocol={
            "name": "hat",
            "draft_length": 2 if speculates else 0,
            "hidden_size": 64,
            "prompt_chunk_tokens": 16 if chunked else 65535,
            "draft_ahead": ahead,
        },
        link={"kind": "fixed", "uplink_mbps": 0.5, "downlink_mbps": 100, "sharing": "dedicated", "header_bits": 0},
        edge={"max_batch_tokens": 4096, "prefix_cache": False},
        compute={
            "device": {"kind": "fixed", "per_forward_s": 0.006},
            "edge": {"kind": "fixed", "per_forward_s": 0.01, "per_token_s": 0.002},
            "cloud": {"kind": "fixed"},
        },
    )
    planned = [PlannedRequest(device, 0, (device, 1), max_new_tokens=80) for device in range(3)]
    for device, index in product(range(3, 6), range(8)):
        prompt = tuple((device + index + place) % 16 for place in range(80))
        planned.append(PlannedRequest(device, index, prompt, max_new_tokens=2))
    target = TabularModel.random(2, 16, name="target")
    draft = TabularModel.random(1, 16, near=target, nearness=0.9, name="draft")
    given = replace(inputs(scenario, {"draft": draft, "target": target}), planned=planned)
    rows = World(scenario, given).run().requests
    ttft_s = mean(row["ttft_s"] for row in rows if row["device"] >= 3)
    return ttft_s, mean(row["tpot_s"] for row in rows if row["device"] < 3)


def test_the_five_ablations_have_the_published_order():
    """Chunking alone lowers times to the first token; each part lowers those between tokens, in the same order."""
    measured = {parts: ablated(*parts) for parts in ABLATIONS}
    by_tpot = sorted(ABLATIONS, key=lambda parts: ABLATIONS[parts][1])
    assert sorted(measured, key=lambda parts: measured[parts][1]) == by_tpot
    whole = [measured[parts][0] for parts in ABLATIONS if not parts[0]]
    chunked = [measured[parts][0] for parts in ABLATIONS if parts[0]]
    assert max(chunked) < 0.85 * min(whole)
    assert max(whole) < 1.05 * min(whole)
    assert max(chunked) < 1.06 * min(chunked)


def ttft_s(chunk: int, prompt_tokens: int = 60, draft_length: int = 0) -> float:
    """First token of one request whose prompt takes 2 ms a token on the air and 1 ms at the edge, 3 ms a pass."""
    scenario = small_scenario(
        devices={"count": 1, "requests": 1, "think_time_s": 0},
        workload={"max_new_tokens": 3},
        protocol={"name": "hat", "draft_length": draft_length, "hidden_size": 1000, "prompt_chunk_tokens": chunk},
        link={"kind": "fixed", "uplink_mbps": 8, "downlink_mbps": 1e6, "one_way_delay_s": 0, "header_bits": 0},
        edge={"max_batch": 1},
        compute={
            "device": {"kind": "fixed"},
            "edge": {"kind": "fixed", "per_forward_s": 0.003, "per_token_s": 0.001},
            "cloud": {"kind": "fixed"},
        },
    )
    planned = PlannedRequest(0, 0, tuple(place % 16 for place in range(prompt_tokens)))
    return float(simulate_planned(scenario, [planned]).requests[0]["ttft_s"])


@pytest.mark.parametrize("chunk", [60, 30, 20, 10])
def test_a_chunk_is_computed_while_the_next_one_flies(chunk):
    """n chunks: n max(u, e) + min(u, e) with u = 2 ms c and e = 3 ms + 1 ms c, then the first token's own round."""
    count, upload_s, edge_s = 60 // chunk, 0.002 * chunk, 0.003 + 0.001 * chunk
    first_token_s = 0.002 + 0.004
    expected = count * max(upload_s, edge_s) + min(upload_s, edge_s) + first_token_s
    assert ttft_s(chunk) == pytest.approx(expected, abs=2e-4)


def test_chunks_lower_the_time_to_the_first_token():
    assert ttft_s(10) < ttft_s(20) < ttft_s(60)
    assert ttft_s(2) > ttft_s(10)  # too small ones wait for the server's fixed cost


def test_transfer_of_a_published_prompt():
    """2,000 tokens of 8 kB at 5 MB/s are 3.28 s; the paper has 3.20 s of its 3.57 s in transfer (arXiv 2503.18989)."""
    bits, _ = HiddenLayout(HatSettings(hidden_size=4096)).measure(2000)
    assert bits / (8 * 5e6) == pytest.approx(3.20, rel=0.03)
