"""Proactive drafting: exact with every kind of rule, and the same text as without it."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.decoding.analysis.exact import output_distribution
from sim.decoding.drivers.protocol_run import ComputeRecord, TogetherRecord


@pytest.mark.parametrize(
    "settings",
    [
        {"draft_length": 2},
        {"draft_length": 1, "draw": "iid", "rule": "single", "values": "lattice", "lattice_levels": 9},
        {"draft_length": 1, "draw": "shared_noise", "rule": "gumbel"},
        {"draft_length": 1, "candidates": 2, "draw": "without_replacement", "rule": "recursive_without_replacement"},
    ],
)
def test_exact(assert_exact, settings):
    """Three rounds at the least, so that drafts made ahead are both used and thrown away."""
    assert_exact("specedge", seeds=3, length=4, vocab_size=2, **settings)


def test_exact_for_three_tokens(assert_exact):
    assert_exact("specedge", seeds=2, length=3, draft_length=1, draw="iid", rule="single")


@pytest.mark.parametrize(
    ("settings", "plain"),
    [
        ({"draft_length": 3, "draw": "iid", "rule": "single", "top_k": 4}, "tslt"),
        ({"draft_length": 2, "candidates": [3, 2], "draw": "without_replacement", "rule": None, "top_k": 6}, "tslt"),
        ({"draft_length": 2, "candidates": [2, 1], "values": "fp32"}, "match"),
        ({"draft_length": 3, "draw": "shared_noise", "rule": "gumbel"}, "gumbel"),
    ],
)
def test_text_is_that_of_the_same_scheme_without_drafting_ahead(tables, settings, plain):
    draft, target = tables.pair(2, vocab_size=6)
    known = {
        "tslt": settings,
        "match": {key: settings.get(key) for key in ("draft_length", "candidates")},
        "gumbel": {"draft_length": 3},
    }[plain]
    ahead = tables.run("specedge", draft, target, max_new_tokens=200, **settings)
    without = tables.run(plain, draft, target, max_new_tokens=200, **known)
    assert ahead.tokens == without.tokens
    assert [round_.accepted for round_ in ahead.rounds] == [round_.accepted for round_ in without.rounds]
    reused = [dict(round_.stats)["reused"] for round_ in ahead.rounds]
    assert 0 < sum(reused) < len(reused)


def test_a_reused_draft_costs_no_drafting_of_its_own(tables):
    """After a right guess the next exchange starts at once: no draft forward stands between two exchanges."""
    draft, target = tables.pair(2, vocab_size=6)
    done = tables.run("specedge", draft, target, max_new_tokens=80, draft_length=1)
    assert any(dict(round_.stats)["reused"] for round_ in done.rounds)
    fresh = 0
    rounds = iter(done.rounds)
    for record in done.steps:
        if isinstance(record, ComputeRecord):
            assert record.model == "draft"
            fresh += 1
        elif isinstance(record, TogetherRecord):
            round_ = next(rounds)
            assert (fresh == 0) == bool(dict(round_.stats)["reused"] or round_.drafted == 0)
            fresh = 0
            assert {step.model for step in record.branches[0] if isinstance(step, ComputeRecord)} == {"target"}
            assert {step.model for step in record.branches[1] if isinstance(step, ComputeRecord)} <= {"draft"}


def test_the_target_as_draft_is_reused_whenever_it_guesses_the_bonus(tables):
    """Under shared noise draft and target agree always, so every round but the first was drafted ahead."""
    _, target = tables.pair(2, vocab_size=12, odd=False)
    done = tables.run("specedge", target, target, max_new_tokens=41, draft_length=3, draw="shared_noise", rule="gumbel")
    reused = [dict(round_.stats)["reused"] for round_ in done.rounds]
    assert reused[0] == 0.0
    assert all(reused[1:-1])


def test_ids_alone_on_the_air_for_rules_that_need_no_row(tables):
    draft, target = tables.pair(2, vocab_size=16)
    done = tables.run("specedge", draft, target, max_new_tokens=40, draft_length=3)
    ups = tables.sent(done.steps, "draft")
    assert [up.payload_bits for up in ups] == [tables.padded(2 + 4 * round_.drafted) for round_ in done.rounds]


def test_pairings_that_are_not_exact_are_refused(tables):
    with pytest.raises(InputError, match="not exact"):
        tables.run("specedge", *tables.pair(0), draw="shared_noise", rule="single")


def test_the_enumeration_walks_both_used_and_discarded_drafts(tables):
    """Otherwise the exact tests above would prove nothing about drafting ahead."""
    draft, target = tables.pair(0, vocab_size=2)

    def reused(rng) -> bool:
        settings = {"draft_length": 1, "draw": "iid", "rule": "single"}
        done = tables.run("specedge", draft, target, max_new_tokens=4, rng=rng, **settings)
        return any(dict(round_.stats)["reused"] for round_ in done.rounds)

    outcomes = output_distribution(reused)
    assert sum(outcomes.values()) == pytest.approx(1.0, abs=tables.tolerance)
    assert 0.05 < outcomes[True] < 0.95
