"""Outcome caches: exact, the base scheme's text whatever is prepared, the budget's shape, and time that hits save."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Observation
from sim.decoding.protocols.outcome_cache import outcomes_in, shape
from tests.worlds import simulate, small_scenario


@pytest.mark.parametrize(
    "keys",
    [
        {"budget": 3},
        {"budget": 1, "values": "lattice", "lattice_levels": 5},
        {"budget": 2, "draw": "top_k", "rule": "target_first"},
        {"budget": 2, "draw": "shared_noise", "rule": "gumbel"},
    ],
    ids=str,
)
def test_outcome_caches_are_exact(assert_exact, keys):
    assert_exact("outcome_cache", seeds=2, draft_length=1, **keys)


@pytest.mark.parametrize(
    ("base", "keys"),
    [
        ("tslt", {"top_k": 5}),
        ("tslt", {"top_p": 0.8}),
        ("gumbel", {"draw": "shared_noise", "rule": "gumbel"}),
        ("match", {"draw": "top_k", "rule": "target_first"}),
    ],
)
def test_a_hit_never_changes_a_token(tables, base, keys):
    """The base scheme's text, for no, few and many prepared outcomes; and some of them are hit."""
    draft, target = tables.pair(2, vocab_size=8)
    own = {} if base != "tslt" else keys
    alone = tables.run(base, draft, target, max_new_tokens=50, draft_length=3, **own)
    hits = []
    for budget in (0, 1, 4, 30):
        done = tables.run("outcome_cache", draft, target, max_new_tokens=50, draft_length=3, budget=budget, **keys)
        assert done.tokens == alone.tokens
        hits.append(sum(dict(round_.stats)["reused"] for round_ in done.rounds))
    assert hits == sorted(hits)
    assert hits[0] == 0 < hits[-1]


BASES = [
    {"name": "dsd"},
    {"name": "tslt", "top_k": 5},
    {"name": "qsv"},
    {"name": "sqs"},
    {"name": "dssd"},
    {"name": "lazy_rows", "top_k": 4},
    {"name": "asym", "stages": [2, 8], "correction": "lazy"},
    {"name": "residual"},
    {"name": "match"},
    {"name": "gumbel"},
]


@pytest.mark.parametrize("base", BASES, ids=str)
def test_a_cache_over_any_base_has_its_text_and_hits(tables, base):
    draft, target = tables.pair(2, vocab_size=8)
    keys = {"draft_length": 3, **{key: value for key, value in base.items() if key != "name"}}
    alone = tables.run(base["name"], draft, target, max_new_tokens=50, **keys)
    hits = []
    for budget in (0, 4, 30):
        whole = {"base": {"name": base["name"], **keys}, "budget": budget}
        done = tables.run("outcome_cache", draft, target, max_new_tokens=50, **whole)
        assert done.tokens == alone.tokens
        hits.append(sum(dict(round_.stats)["reused"] for round_ in done.rounds))
    assert hits == sorted(hits)
    assert hits[0] == 0 < hits[-1]


@pytest.mark.parametrize("base", [{"name": "lazy_rows"}, {"name": "dssd"}], ids=str)
def test_a_cache_over_another_base_is_exact(assert_exact, base):
    assert_exact("outcome_cache", seeds=2, base={**base, "draft_length": 1}, budget=2)


def test_a_base_that_no_cache_goes_over_is_refused(tables):
    draft, target = tables.pair(2, vocab_size=8)
    with pytest.raises(InputError, match=r"base: Value error, got 'hsd'; valid: asym, dsd, dssd"):
        tables.run("outcome_cache", draft, target, max_new_tokens=4, base="hsd")
    with pytest.raises(InputError, match=r"of dssd: draft_length: Input should be greater than or equal to 1"):
        tables.run("outcome_cache", draft, target, max_new_tokens=4, base={"name": "dssd", "draft_length": 0})
    with pytest.raises(InputError, match=r"conformal depends on the order"):
        tables.run("outcome_cache", draft, target, max_new_tokens=4, base={"name": "sqs", "set_size": "conformal"})
    with pytest.raises(InputError, match=r"with base, set top_k there: base.top_k"):
        tables.run("outcome_cache", draft, target, max_new_tokens=4, base="tslt", top_k=3)


def test_a_draft_for_another_outcome_is_caught(tables, monkeypatch):
    """Negative control: what is prepared follows another token than it says, and the text is no longer the base's."""
    draft, target = tables.pair(2, vocab_size=8)
    before = tables.run("outcome_cache", draft, target, max_new_tokens=50, budget=3).tokens
    supposing = Request.supposing
    monkeypatch.setattr(Request, "supposing", lambda self, tokens: supposing(self, [*tokens[:-1], 0]))
    assert tables.run("outcome_cache", draft, target, max_new_tokens=50, budget=3).tokens != before


def test_the_budget_has_the_shape_of_the_rejection_profile():
    assert shape(0, 3, 0.7) == [0, 0, 0, 0]
    assert shape(1, 3, 0.7) == [0, 0, 0, 1]  # .343 of all drafts are accepted whole
    assert shape(8, 2, 0.5) == [4, 2, 2]
    assert shape(4, 3, 0.01) == [4, 0, 0, 0]
    assert sum(shape(17, 5, 0.8)) == 17


def test_auto_fits_the_wait():
    assert outcomes_in(Observation(), 4) == 0
    assert outcomes_in(Observation(round_trip_s=0.1, target_forward_s=0.02, draft_token_s=0.005), 4) == 6
    assert outcomes_in(Observation(round_trip_s=9.0, draft_token_s=0.001), 4) == 256


def test_a_rule_that_does_not_go_with_the_draw_is_refused(tables):
    draft, target = tables.pair(2, vocab_size=8)
    with pytest.raises(InputError, match="'single' is not exact for candidates drawn 'top_k'"):
        tables.run("outcome_cache", draft, target, max_new_tokens=4, draw="top_k")
    with pytest.raises(InputError, match="set top_k or top_p, not both"):
        tables.run("outcome_cache", draft, target, max_new_tokens=4, top_k=3, top_p=0.5)


def timed(one_way_delay_s: float, budget):
    """Rounds of one device that drafts a token in 2 ms, over a link of this delay."""
    return simulate(
        small_scenario(
            devices={"count": 1, "requests": 3},
            workload={"max_new_tokens": 30},
            protocol={"name": "outcome_cache", "draft_length": 2, "budget": budget},
            link={
                "kind": "fixed",
                "uplink_mbps": 100,
                "downlink_mbps": 100,
                "one_way_delay_s": one_way_delay_s,
            },
            compute={
                "device": {"kind": "fixed", "per_forward_s": 0.002},
                "edge": {"kind": "fixed", "per_forward_s": 0.003},
                "cloud": {"kind": "fixed", "per_forward_s": 0.003},
            },
        )
    )


def test_a_hit_takes_the_drafting_off_the_round_and_a_miss_costs_nothing():
    """40 ms are enough for seven prepared drafts of 2 tokens and the row after the draft, at 2 ms a forward pass."""
    without, with_cache = timed(0.02, 0), timed(0.02, 7)
    assert [row["tokens"] for row in without.rounds] == [row["tokens"] for row in with_cache.rounds]
    hits = 0
    for plain, cached in zip(without.rounds, with_cache.rounds, strict=True):
        saved_s = 0.002 * plain["drafted_tokens"] if cached["reused"] else 0.0
        hits += cached["reused"]
        assert plain["duration_s"] - cached["duration_s"] == pytest.approx(saved_s, abs=1e-6)
    assert 0 < hits < len(with_cache.rounds)


def test_auto_prepares_more_on_a_longer_round_trip():
    near, far = timed(0.001, "auto"), timed(0.05, "auto")
    assert [row["tokens"] for row in near.rounds] == [row["tokens"] for row in far.rounds]
    assert sum(row["reused"] for row in near.rounds) < sum(row["reused"] for row in far.rounds)
