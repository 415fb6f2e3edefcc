"""The payload model of drafters fed with hidden states: its profile, its bits, its label, and what they cost."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.decoding import theory
from sim.decoding.core.messages import VerdictBody, VerdictLayout
from sim.decoding.protocols.feature_draft import FeatureDraftSettings, FeatureLayout
from sim.decoding.protocols.registry import PROTOCOLS
from tests.worlds import simulate, small_scenario


def test_it_is_labelled_a_model_and_lossy(tables):
    entry = PROTOCOLS.find("feature_draft")
    assert entry.traits["lossless"] is False
    assert "model" in entry.summary
    pair = tables.pair(1, odd=False)
    assert tables.distance("feature_draft", *pair, length=2, draft_length=1, hidden_size=1) > 0.01


def test_acceptance_follows_the_stated_profile(tables):
    """Tokens per round over 1,500 tokens at alpha .8 and gamma 4 against the closed form, within 4 standard errors."""
    draft, target = tables.pair(1, vocab_size=4)
    runs = [
        tables.run("feature_draft", draft, target, max_new_tokens=150, hidden_size=0, acceptance=[0.8], seed=seed)
        for seed in range(10)
    ]
    rounds = [round_ for done in runs for round_ in done.rounds[:-2]]
    mean = sum(len(round_.tokens) for round_ in rounds) / len(rounds)
    assert mean == pytest.approx(theory.expected_tokens(0.8, 4), abs=4 * 1.56 / len(rounds) ** 0.5)
    stepped = tables.run("feature_draft", draft, target, max_new_tokens=60, hidden_size=0, acceptance=[1.0, 0.0])
    assert {len(round_.tokens) for round_ in stepped.rounds[:-1]} == {2}


def test_a_verdict_carries_a_hidden_state_per_accepted_token_and_for_the_texts_last_one(tables):
    draft, target = tables.pair(1, vocab_size=8)
    keys = {"hidden_size": 10, "layers_sent": 3, "hidden_bits": 12, "draft_length": 4}
    done = tables.run("feature_draft", draft, target, max_new_tokens=40, **keys)
    for round_, down in zip(done.rounds, tables.sent(done.steps, "verdict"), strict=True):
        accepted = min(round_.accepted, round_.drafted)
        assert down.payload_bits == tables.padded(3 + 3 + (accepted + 1) * 3 * 10 * 12)


def test_measuring_a_verdict_is_as_good_as_writing_it():
    layout = FeatureLayout(VerdictLayout(8, 4), FeatureDraftSettings(hidden_size=10, hidden_bits=5))
    for last_accepted in (-1, 0, 3):
        message = layout(VerdictBody(last_accepted, 2))
        assert message.measure() == (8 * len(message.to_bytes()), message.decode(message.to_bytes()))


def test_a_probability_above_one_is_refused(tables):
    with pytest.raises(InputError, match=r"acceptance must lie in 0\.\.1"):
        tables.run("feature_draft", *tables.pair(1), max_new_tokens=4, acceptance=[0.5, 1.2])


def test_a_round_waits_for_its_hidden_states():
    """EAGLE-3 on a 7B target: 196,608 bits a token; on a downlink of 20 Mbit/s a round takes 10 ms longer for each."""

    def rounds(hidden_size: int):
        keys = {"name": "feature_draft", "draft_length": 2, "hidden_size": hidden_size, "layers_sent": 3}
        link = {"kind": "fixed", "uplink_mbps": 1, "downlink_mbps": 20, "one_way_delay_s": 0.001}
        scenario = small_scenario(
            devices={"count": 1, "requests": 1}, workload={"max_new_tokens": 20}, protocol=keys, link=link
        )
        return simulate(scenario).rounds

    for without, with_states in zip(rounds(0), rounds(4096), strict=True):
        tokens = without["accepted_tokens"] + 1
        assert with_states["duration_s"] - without["duration_s"] == pytest.approx(tokens * 196_608 / 20e6, abs=1e-6)
