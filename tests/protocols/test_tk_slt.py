"""TK-SLT: exact whatever its controller does, charged as published or as sent, and its switch acts on what it sees."""

from __future__ import annotations

import pytest

from sim.decoding.analysis.exact import output_distribution, sequence_distribution
from sim.decoding.analysis.payloads import tk_slt_bits_per_token
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Observation
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.drivers.protocol_run import ObserveRecord, ProtocolRun, TransmitRecord
from sim.decoding.protocols.registry import PROTOCOLS
from sim.decoding.protocols.tk_slt import TkSltSettings, tk_slt
from sim.decoding.theory import tk_slt_optimal_draft_length

FAST = Observation(uplink_bps=1e9, draft_token_s=0.001, target_forward_s=0.1)
SLOW = Observation(uplink_bps=1e2, draft_token_s=0.001, target_forward_s=0.1)


def drive(draft, target, settings, length, rng, observe) -> tuple[Request, ProtocolRun]:
    """Run the protocol with observations given by ``observe(number of looks so far)``."""
    models = {"draft": draft, "target": target}
    request = Request(0, [0], target.vocab_size, length)
    script = ProtocolRun(tk_slt(request, settings, rng), models)
    result, looks = None, 0
    while (action := script.advance(result)) is not None:
        result = None
        if action.work is not None:
            result = models[action.record.model].forward([action.work])[0]
        elif isinstance(action.record, ObserveRecord):
            result = observe(looks)
            looks += 1
    for model in models.values():
        model.close_request(0)
    return request, script


@pytest.mark.parametrize("top_k", [1, 2, 320])
def test_exact_with_a_fixed_draft_length(assert_exact, top_k):
    assert_exact("tk_slt", seeds=3, draft_length=2, top_k=top_k)


def test_exact_when_the_controller_turns_speculation_on_and_off(tables):
    """Looks alternate between a channel that pays and one that does not; both modes are on the enumerated paths."""
    settings = TkSltSettings(top_k=2, max_draft_length=2, standalone_tokens=1, prior_load=0.3)
    draft, target = tables.pair(2)

    def observe(look: int) -> Observation:
        return (Observation(), SLOW, FAST)[look % 3]

    def once(rng) -> tuple[int, ...]:
        return tuple(drive(draft, target, settings, 3, rng, observe)[0].tokens)

    got = output_distribution(once)
    expected = sequence_distribution(lambda text: list(target.row([0, *text])), 3)
    error = 0.5 * sum(abs(got.get(text, 0) - expected.get(text, 0)) for text in got.keys() | expected.keys())
    assert error < tables.tolerance


def test_exact_with_the_prior_alone(assert_exact):
    """Without a clock the estimates of alpha still move the draft length from round to round."""
    assert_exact("tk_slt", seeds=2, top_k=2, max_draft_length=2)


def test_the_switch(tables):
    """Fast air: drafts of the optimal length. Slow air: the target alone, streaming after an empty request."""
    draft, target = tables.pair(2, vocab_size=16)
    settings = TkSltSettings(top_k=8, prior_acceptance=0.8)
    request, _ = drive(draft, target, settings, 24, KeyedRandom(1), lambda look: FAST)
    load = (8 * 16 / 1e9 + 0.001) / 0.1
    assert request.rounds[0].drafted == min(16, tk_slt_optimal_draft_length(0.8, load)) > 1
    request, script = drive(draft, target, settings, 24, KeyedRandom(1), lambda look: SLOW)
    assert len(request.rounds) == 24
    assert all(round_.drafted == 0 for round_ in request.rounds)
    streamed = [step for step in script.records if isinstance(step, TransmitRecord) and step.kind == "token"]
    assert [step.round is None for step in streamed] == ([False] * 7 + [True]) * 3


def test_only_auto_is_adaptive():
    adaptive = PROTOCOLS.find("tk_slt").traits["adaptive"]
    assert adaptive(TkSltSettings()) and not adaptive(TkSltSettings(draft_length=4))
    assert not PROTOCOLS.find("tslt").traits["adaptive"]


def test_accounting(tables):
    """Published: gamma K 16 up, nothing down; the bytes on the air are the same and more."""
    draft, target = tables.pair(2, vocab_size=16)
    common = {"max_new_tokens": 24, "draft_length": 3, "top_k": 4}
    honest = tables.run("tk_slt", draft, target, **common)
    published = tables.run("tk_slt", draft, target, accounting="published", **common)
    assert honest.tokens == published.tokens
    for round_, up, paper in zip(
        honest.rounds, tables.sent(honest.steps, "draft"), tables.sent(published.steps, "draft"), strict=True
    ):
        assert up.charged_bits == up.payload_bits == paper.payload_bits
        assert up.payload_bits == tables.padded(2 + round_.drafted * (4 * (16 + 4) + 2))
        assert paper.charged_bits == round_.drafted * 4 * 16
    assert all(down.charged_bits == 0 for down in tables.sent(published.steps, "verdict"))


@pytest.mark.parametrize(("top_k", "load"), [(3, 0.0700), (32, 0.0702), (320, 0.0723), (3200, 0.093), (32000, 0.300)])
def test_published_loads_follow_from_the_charged_bits(top_k, load):
    """Table II: c = 0.07, and the full half-precision row of 32000 tokens takes b = 0.23 target steps."""
    full_bits = tk_slt_bits_per_token(32000)
    assert 0.07 + 0.23 * tk_slt_bits_per_token(top_k) / full_bits == pytest.approx(load, abs=5e-5)


def test_counting_indices_adds_fifteen_bits_an_entry():
    codec = RowCodec(32000, RowFormat(top_k=320, index="fixed"))
    assert codec.row_bits(320) == 320 * (16 + 15) == 9920
    assert 0.07 + 0.23 * codec.row_bits(320) / (32000 * 16) == pytest.approx(0.0745, abs=5e-5)
