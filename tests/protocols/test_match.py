"""Target-first matching: exact for chains and trees whatever the way of drawing, at ids alone."""

from __future__ import annotations

import pytest

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.ids_drafts import IdsLayout


@pytest.mark.parametrize("draw", ["iid", "top_k"])
def test_chains_are_exact(assert_exact, draw):
    assert_exact("match", seeds=3, draft_length=2, draw=draw)


@pytest.mark.parametrize("draw", ["iid", "without_replacement", "top_k", "top_k_plus_sample"])
def test_trees_are_exact(assert_exact, draw):
    assert_exact("match", seeds=2, vocab_size=2, draft_length=2, candidates=[2, 1], draw=draw)
    assert_exact("match", seeds=2, length=2, draft_length=1, candidates=2, draw=draw)


@pytest.mark.parametrize("candidates", [1, [3, 2, 1]])
def test_payload_is_its_closed_form(tables, candidates):
    """One 4-bit id a node; a node of several candidates says how many there are."""
    draft, target = tables.pair(4, vocab_size=16)
    done = tables.run("match", draft, target, max_new_tokens=40, draft_length=3, candidates=candidates)
    for round_, up in zip(done.rounds, tables.sent(done.steps, "draft"), strict=True):
        # At the end of a text levels are missing; all others are full.
        if round_.drafted == (3 if candidates == 1 else 3 + 6 + 6):
            counts = 0 if candidates == 1 else 2 + 3 * 1 + 0
            assert up.payload_bits == tables.padded(2 + counts + 4 * round_.drafted)


def test_ids_layout_round_trip():
    """Nodes may have fewer candidates than the branching says."""
    layout = IdsLayout(10, [3, 2], may_run_short=True)
    tree = DraftTree.empty()
    first = tree.expand(-1, layout.unknown, [7, 3])
    tree.expand(first[0], layout.unknown, [1])
    tree.expand(first[1], layout.unknown, [9, 0])
    data = layout(tree).to_bytes()
    back = layout(tree).decode(data)
    assert (back.tokens, back.parents) == (tree.tokens, tree.parents)
    assert 8 * len(data) == -(-layout.bits(tree) // 8) * 8
    assert layout.bits(tree) == 2 + 2 + 2 * 1 + 5 * 4


def test_siblings_raise_acceptance(tables):
    draft, target = tables.pair(2, vocab_size=16, odd=False)

    def accepted(candidates: int) -> float:
        settings = {"max_new_tokens": 200, "draft_length": 1, "candidates": candidates}
        return tables.run("match", draft, target, **settings).acceptance_rate

    assert accepted(1) + 0.1 < accepted(4)
