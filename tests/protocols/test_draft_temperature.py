"""A draft at a temperature of its own: exact whatever it is, part of the identity where it matters, and felt."""

from __future__ import annotations

import pytest

from sim.decoding.core.request import Request
from sim.decoding.core.rows import Sampling
from sim.tape.key import Addresses
from tests.tape.test_identity import MODELS, tape_key
from tests.worlds import small_scenario

SCHEMES = [
    ("tslt", {"candidates": [2, 1]}),
    ("tk_slt", {"top_k": 2}),
    ("dssd", {}),
    ("specedge", {"rule": "single", "draw": "iid"}),
    ("gumbel", {}),
]


@pytest.mark.parametrize("draft_temperature", [0.0, 0.5, 3.0])
@pytest.mark.parametrize(("name", "settings"), SCHEMES, ids=[name for name, _ in SCHEMES])
def test_the_law_is_the_targets_at_any_draft_temperature(assert_exact, name, settings, draft_temperature):
    assert_exact(name, length=2, seeds=2, draft_length=2, draft_temperature=draft_temperature, **settings)


def test_a_greedy_target_keeps_its_one_text_under_a_sampled_draft(tables):
    """TK-SLT's own experiment: the target at temperature 0, the draft at 1; the text is that of the target alone."""
    draft, target = tables.pair(2, vocab_size=8)
    alone = tables.run("edge_only", None, target, max_new_tokens=30, temperature=0)
    done = tables.run(
        "tk_slt", draft, target, max_new_tokens=30, temperature=0, draft_temperature=1.0, draft_length=2, top_k=4
    )
    assert done.tokens == alone.tokens
    greedy = tables.run("tk_slt", draft, target, max_new_tokens=30, temperature=0, draft_length=2, top_k=4)
    assert greedy.acceptance_rate > done.acceptance_rate


def test_filters_are_shared_and_the_default_is_the_targets_temperature():
    request = Request(1, [0], 4, 4, sampling=Sampling(0.7, top_k=3))
    assert request.draft_sampling is request.sampling
    apart = Request(1, [0], 4, 4, sampling=Sampling(0.7, top_k=3), draft_temperature=1.5)
    assert apart.draft_sampling == Sampling(1.5, top_k=3)
    assert apart.sampling == Sampling(0.7, top_k=3)
    assert apart.supposing([1]).draft_sampling == apart.draft_sampling


def test_it_counts_for_the_tape_only_where_a_draft_is_drawn_by_it():
    base = small_scenario()
    assert tape_key(base.replace("workload.draft_temperature", 0.3)) != tape_key(base)
    same = base.replace("workload.draft_temperature", base.workload.temperature)
    assert tape_key(same) == tape_key(base)
    alone = base.replace("protocol", {"name": "edge_only"})
    other = alone.replace("workload.draft_temperature", 0.3)
    assert tape_key(other) == tape_key(alone)
    assert Addresses(other, MODELS)._shared == Addresses(alone, MODELS)._shared
