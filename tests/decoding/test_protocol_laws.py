"""Exact laws of whole protocols: every path of random draws through drafting, wire, verification and the round loop."""

from __future__ import annotations

from typing import Any

import pytest

from sim.decoding import decode
from sim.decoding.analysis.exact import output_distribution
from sim.decoding.core.rows import Row, Sampling
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec
from sim.decoding.verification.base import MODES, RULES
from sim.decoding.verification.single import Single
from sim.models.tabular import TabularModel
from tests.decoding.laws import assert_law_equal, table_pair, target_sequence_distribution
from tests.decoding.test_negative_controls import InvertedRatio

PROMPT = (0,)


def protocol_law(
    name: str, models: tuple[Any, Any], length: int, sampling: Sampling | None = None, **settings: Any
) -> dict[tuple[int, ...], float]:
    """Law of the text that a protocol generates."""

    def once(rng: Any) -> tuple[int, ...]:
        done = decode(
            name, *models, PROMPT, max_new_tokens=length, sampling=sampling or Sampling(), rng=rng, **settings
        )
        return tuple(done.tokens)

    return output_distribution(once)


def check(
    name: str, seed: int, length: int, sampling: Sampling | None = None, vocab_size: int = 3, **settings: Any
) -> None:
    models = table_pair(seed, vocab_size)
    expected = target_sequence_distribution(models[1], PROMPT, length, sampling or Sampling())
    assert_law_equal(protocol_law(name, models, length, sampling, **settings), expected)


CHAINS: list[tuple[str, dict[str, Any]]] = [
    ("colocated", {}),
    ("dsd", {}),
    ("tslt", {"top_k": 2}),
    ("tslt", {"top_k": 1}),
    ("tslt", {"top_p": 0.7}),
]


@pytest.mark.parametrize("seed", range(4))
def test_edge_only_has_the_targets_law(seed):
    check("edge_only", seed, 3)


@pytest.mark.parametrize("draft_length", [1, 2, 3])
@pytest.mark.parametrize(("name", "settings"), CHAINS)
def test_chains_have_the_targets_law(name, settings, draft_length):
    for seed in range(2 if draft_length < 3 else 1):
        check(name, seed, min(draft_length, 2) + 1, draft_length=draft_length, **settings)


@pytest.mark.parametrize(
    ("name", "vocab_size", "settings"),
    [("colocated", 2, {}), ("dsd", 2, {"values": "log8"}), ("tslt", 3, {"top_k": 2})],
)
def test_a_chain_of_three_with_its_bonus_token(name, vocab_size, settings):
    check(name, 2, 4, vocab_size=vocab_size, draft_length=3, **settings)


@pytest.mark.parametrize("values", ["fp32", "fp16", "log8", "lattice"])
@pytest.mark.parametrize(("name", "settings"), [("dsd", {}), ("tslt", {"top_k": 2}), ("tslt", {"top_p": 0.8})])
def test_every_value_format_keeps_the_law(name, settings, values):
    check(name, 3, 3, draft_length=2, values=values, lattice_levels=7, **settings)


@pytest.mark.parametrize("index", ["fixed", "bitmap", "enumerative"])
@pytest.mark.parametrize("settings", [{"top_k": 2}, {"top_p": 0.8}])
def test_every_index_code_keeps_the_law(settings, index):
    check("tslt", 1, 3, draft_length=2, index=index, **settings)


FILTERS = [
    Sampling(0.5),
    Sampling(2.0),
    Sampling(1.0, top_k=2),
    Sampling(1.0, top_k=1),
    Sampling(0.8, top_p=0.7),
    Sampling(0.8, top_k=2, top_p=0.9),
]


@pytest.mark.parametrize("sampling", FILTERS, ids=str)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("edge_only", {}),
        ("colocated", {"draft_length": 2}),
        ("dsd", {"draft_length": 2}),
        ("tslt", {"draft_length": 2, "top_k": 2}),
        ("tslt", {"draft_length": 1, "candidates": 2, "top_k": 2}),
    ],
)
def test_lossless_is_relative_to_the_filtered_target(name, settings, sampling):
    check(name, 4, 3, sampling, **settings)


def fitting_pairs() -> list[tuple[str, str]]:
    """Every rule for several candidates with every way of drawing that it is exact for and a tree can have."""
    return [
        (entry.name, mode)
        for entry in RULES
        if entry.make.max_candidates is None
        for mode in MODES
        if mode in entry.make.exact_for and mode != "shared_noise"
    ]


@pytest.mark.parametrize(("rule", "draw"), fitting_pairs())
@pytest.mark.parametrize(("branching", "vocab_size"), [([2, 2], 2), ([2], 3), ([3], 3)], ids=str)
def test_trees_keep_the_law_with_every_fitting_rule(rule, draw, branching, vocab_size):
    check(
        "tslt",
        5,
        min(len(branching) + 1, 2) if vocab_size == 3 else 3,
        vocab_size=vocab_size,
        draft_length=len(branching),
        candidates=branching,
        rule=rule,
        draw=draw,
    )


@pytest.mark.parametrize(
    ("rule", "draw"),
    [("recursive_without_replacement", "without_replacement"), ("greedy_multi", "top_k_plus_sample")],
)
@pytest.mark.parametrize("branching", [[3, 1], [2, 1, 1]])
def test_trees_of_six_nodes_keep_the_law(rule, draw, branching):
    check("tslt", 6, 3, draft_length=len(branching), candidates=branching, rule=rule, draw=draw)


def test_a_truncated_tree_runs_short_and_keeps_the_law():
    """A nucleus of one token has one candidate where two were asked for."""
    check("tslt", 7, 3, draft_length=2, candidates=[2, 1], top_p=0.5)


# ---- the same assertion catches protocols gone wrong ----------------------------------------------------------------


def test_an_inverted_ratio_inside_a_protocol_is_caught(monkeypatch):
    monkeypatch.setattr(Single, "choose", InvertedRatio.choose)
    with pytest.raises(AssertionError, match="law differs"):
        check("tslt", 0, 2, draft_length=1, top_k=2)


def test_a_received_row_that_is_not_the_drawn_one_is_caught(monkeypatch):
    read = RowCodec.read

    def own_idea(self, reader):
        coded = read(self, reader)
        tilted = coded.row.probs * (1 + (coded.codes == coded.codes.max()))
        return CodedRow(coded.ids, coded.codes, Row(coded.row.vocab_size, tilted / tilted.sum(), coded.row.ids))

    monkeypatch.setattr(RowCodec, "read", own_idea)
    with pytest.raises(AssertionError, match="law differs"):
        check("dsd", 0, 2, draft_length=1)


def test_a_draft_passed_off_as_the_target_is_caught():
    draft, target = table_pair(0)
    expected = target_sequence_distribution(target, PROMPT, 2, Sampling())
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(protocol_law("device_only", (draft, None), 2), expected)


# ---- greedy decoding, ends of text ----------------------------------------------------------------------------------

SPECULATIVE: list[tuple[str, dict[str, Any]]] = [
    ("colocated", {"draft_length": 3}),
    ("dsd", {"draft_length": 4, "values": "lattice"}),
    ("tslt", {"draft_length": 3, "top_k": 4}),
    ("tslt", {"draft_length": 2, "candidates": [3, 2], "top_k": 4}),
    ("tslt", {"draft_length": 2, "candidates": [2, 2], "draw": "iid", "rule": "k_seq"}),
    ("tslt", {"draft_length": 2, "candidates": [2, 2], "draw": "top_k", "rule": "target_first"}),
]


@pytest.mark.parametrize(("name", "settings"), SPECULATIVE)
def test_greedy_decoding_equals_the_target_alone_token_for_token(name, settings):
    for seed in range(5):
        draft, target = table_pair(seed, 12)
        alone = decode("edge_only", None, target, PROMPT, seed=seed, max_new_tokens=25, temperature=0.0)
        done = decode(name, draft, target, PROMPT, seed=seed + 50, max_new_tokens=25, temperature=0.0, **settings)
        assert done.tokens == alone.tokens
        assert len(done.tokens) == 25


@pytest.mark.parametrize(("name", "settings"), SPECULATIVE)
def test_texts_end_at_the_first_end_of_text_or_the_limit(name, settings):
    ended = 0
    for seed in range(12):
        draft, target = table_pair(seed, 6)
        target.eos_ids = frozenset({5})
        done = decode(name, draft, target, PROMPT, seed=seed, max_new_tokens=5, **settings)
        assert len(done.tokens) <= 5
        assert 5 not in done.tokens[:-1]
        assert done.tokens[-1] == 5 or len(done.tokens) == 5
        assert [token for round_ in done.rounds for token in round_.tokens] == done.tokens
        assert all(round_.tokens for round_ in done.rounds)
        ended += done.tokens[-1] == 5
    assert 0 < ended < 12


@pytest.mark.parametrize(("name", "settings"), [("colocated", {}), ("dsd", {}), ("tslt", {"candidates": [2, 1]})])
def test_the_law_with_an_end_of_text_is_that_of_the_target_alone(name, settings):
    draft, target = table_pair(8)
    target.eos_ids = frozenset({2})
    alone = protocol_law("edge_only", (None, target), 3)
    assert any(len(text) < 3 for text in alone)
    assert_law_equal(protocol_law(name, (draft, target), 3, draft_length=2, **settings), alone)


@pytest.mark.parametrize(("name", "settings"), SPECULATIVE)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_length_limits_are_met_and_no_draft_is_wasted(name, settings, length):
    draft, target = table_pair(3, 6)
    done = decode(name, draft, target, PROMPT, max_new_tokens=length, **settings)
    assert len(done.tokens) == length
    position = 0
    for round_ in done.rounds:
        branching = settings.get("candidates", [1] * settings["draft_length"])
        depth = min(len(branching), length - position - 1)
        most, level = 0, 1
        for width in branching[:depth]:
            level *= width
            most += level
        assert round_.drafted <= most
        position += len(round_.tokens)


def test_counts_of_a_round_add_up():
    draft, target = table_pair(2, 6)
    done = decode("tslt", draft, target, PROMPT, max_new_tokens=200, draft_length=3, top_k=4)
    for round_ in done.rounds[:-1]:
        assert len(round_.tokens) == round_.accepted + 1
        assert round_.accepted <= round_.tested <= round_.drafted <= 3
        assert round_.tested == min(3, round_.accepted + 1)
    rate = sum(round_.accepted for round_ in done.rounds) / sum(round_.tested for round_ in done.rounds)
    assert done.acceptance_rate == pytest.approx(rate)
    assert done.block_efficiency == pytest.approx(200 / len(done.rounds))


def test_a_perfect_draft_is_always_accepted():
    model = TabularModel.random(1, 6)
    done = decode("colocated", model, model, PROMPT, max_new_tokens=30, draft_length=4)
    # The wire's single precision leaves q within 1e-7 of p.
    assert done.acceptance_rate == 1.0
    assert len(done.rounds) == 6
