"""A protocol stays exact under every controller: all random paths, with a clock that moves with decoding."""

from __future__ import annotations

from typing import Any

import pytest

from sim.decoding.analysis.exact import output_distribution
from sim.decoding.core.rows import Sampling
from tests.decoding.laws import assert_law_equal, table_pair, target_sequence_distribution

SHORT = {"max_draft_length": 2, "prior_acceptance": 0.6}
CONTROLLERS: list[dict[str, Any]] = [
    {"name": "fixed"},
    {"name": "odld", **SHORT, "prior_load": 0.3, "standalone_tokens": 2},
    {"name": "flexspec", **SHORT},
    {"name": "ucb_specstop", "draft_lengths": [2, 1]},
    {"name": "confidence", "threshold": 0.6, "max_draft_length": 2},
    {"name": "wisp", **SHORT, "survival": 0.5, "classes": 2},
    {"name": "gelato", **SHORT, "energy_per_round_j": 0.012, "entropy_leak_bits": 0.2, "entropy_bucket_bits": 0.6},
    {"name": "goodspeed", **SHORT, "verify_budget": 2},
]
PROTOCOLS: list[tuple[str, dict[str, Any]]] = [
    ("tslt", {"top_k": 2, "draft_length": 2}),
    ("gumbel", {"draft_length": 2}),
    ("dssd", {"draft_length": 2, "lattice_levels": 7}),
    ("residual", {"draft_length": 2, "lattice_levels": 7, "max_messages": 1}),
    ("specedge", {"draft_length": 2, "rule": "single", "draw": "iid", "top_k": 2}),
]


def fading(now_s: float) -> float:
    """A channel that comes and goes, so that what a controller decides depends on when it asks."""
    return 5e4 if int(now_s / 0.05) % 2 else 2e2


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda keys: keys["name"])
@pytest.mark.parametrize(("protocol", "settings"), PROTOCOLS, ids=[name for name, _ in PROTOCOLS])
def test_the_law_is_the_targets(bench, protocol, settings, controller):
    draft, target = table_pair(5, 2 if protocol == "residual" else 3)
    lengths: set[int] = set()

    def once(rng: Any) -> tuple[int, ...]:
        clock = bench.Clock(uplink_bps=fading)
        models = {"draft": draft, "target": target}
        request, _ = bench.drive(protocol, models, bench.make(controller), rng, clock, 3, **settings)
        lengths.update(round_.drafted for round_ in request.rounds)
        return tuple(request.tokens)

    assert_law_equal(output_distribution(once), target_sequence_distribution(target, (0,), 3, Sampling()))
    assert len(lengths) > 1


def test_candidates_and_row_sizes_turned_every_round(bench):
    """A bandit over draft lengths, entries per row and candidates: eight arms, every round another."""
    arms = {"name": "ucb_specstop", "draft_lengths": [1, 2], "top_k": [1, 3], "candidates": [2, 1]}
    draft, target = table_pair(9, 3)

    def once(rng: Any) -> tuple[int, ...]:
        models = {"draft": draft, "target": target}
        return tuple(bench.drive("tslt", models, bench.make(arms), rng, bench.Clock(), 3)[0].tokens)

    assert_law_equal(output_distribution(once), target_sequence_distribution(target, (0,), 3, Sampling()))


@pytest.mark.parametrize("controller", CONTROLLERS[1:], ids=lambda keys: keys["name"])
def test_what_was_learned_leaves_the_next_request_exact(bench, controller):
    """Two requests of one device: their joint law is the product of the target's laws."""
    draft, target = table_pair(11, 2)

    def once(rng: Any) -> tuple[tuple[int, ...], ...]:
        clock, models = bench.Clock(uplink_bps=fading), {"draft": draft, "target": target}
        turner = bench.make(controller)
        texts = []
        for number in range(2):
            own = rng.at("request", number)
            request, _ = bench.drive("tslt", models, turner, own, clock, 3, number, top_k=2, draft_length=2)
            texts.append(tuple(request.tokens))
        return tuple(texts)

    alone = target_sequence_distribution(target, (0,), 3, Sampling())
    product = {(a, b): pa * pb for a, pa in alone.items() for b, pb in alone.items()}
    assert_law_equal(output_distribution(once), product)


def test_dropping_the_unsure_token_would_be_caught(bench, monkeypatch):
    """Negative control: a chain that drops the token it stopped at biases the text."""
    from sim.decoding.core.draft_tree import DraftTree
    from sim.decoding.protocols import tslt as module

    draft_tree = module.draft_tree

    def forgetful(request, *args, **kwargs):
        tree = yield from draft_tree(request, *args, **kwargs)
        last = len(tree.tokens) - 1
        if last < 0 or tree.row_after(last - 1).row.prob(tree.tokens[last]) >= 0.6:
            return tree
        kept = DraftTree.empty()
        for node in range(last):
            kept.expand(node - 1, tree.row_after(node - 1), [tree.tokens[node]])
        return kept

    monkeypatch.setattr(module, "draft_tree", forgetful)
    with pytest.raises(AssertionError, match="law differs"):
        test_the_law_is_the_targets(bench, *PROTOCOLS[0], CONTROLLERS[4])
