"""What rounds say of the target's rows is what the target's rows are, recomputed from the text alone."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.core.reproducible import QUANTA, reproducible
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.interface import ForwardPass

PROMPT = [0]
TOLD = ("target_entropy_bits", "surprisal_bits")
# Of these the target sees some tokens only, or none.
NAMES = [name for name in PROTOCOLS.names() if name not in ("device_only", "u_hlm", "u_hlm_importance", "cu_hlm")]


@pytest.fixture(scope="module")
def trio(tables):
    """Draft, middle and target over 24 tokens."""
    target = tables.model.random(1, 24, concentration=0.3)
    near = (tables.model.random(seed, 24, concentration=0.3, near=target, nearness=0.6) for seed in (2, 3))
    return [*near, target]


def from_the_text(target, tokens):
    """Entropy of the target's row before each token and -log2 of the token's probability, [tokens, 2]."""
    figures = []
    for place, token in enumerate(tokens):
        logits = target.forward([ForwardPass("oracle", [*PROMPT, *tokens[:place]])])[0][0].astype(np.float64)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        seen = p[p > 0]
        figures.append((-(seen * np.log2(seen)).sum(), -np.log2(p[token])))
    return np.array(figures)


@pytest.mark.parametrize("name", NAMES)
def test_rounds_tell_entropy_and_surprisal_of_the_targets_rows(tables, trio, name):
    draft, middle, target = trio
    done = tables.run(name, draft, target, models={"middle": middle}, max_new_tokens=40)
    expected = from_the_text(target, done.tokens)
    start = others = 0
    for round_ in done.rounds:
        stats = dict(round_.stats)
        means = expected[start : start + len(round_.tokens)].mean(axis=0)
        others += not all(is_told(stats, means, start))
        start += len(round_.tokens)
    assert start == 40
    # Entropies are in single precision: one may fall to the other side.
    assert others <= 1


def is_told(stats, means, start):
    """Whether a round of seed 0 and request 0 tells each of these means, rounded as it must be."""
    for column, mean in zip(TOLD, means, strict=True):
        assert abs(stats[column] - mean) < QUANTA[column], column
        yield stats[column] == reproducible(float(mean), QUANTA[column], 0, 0, start, column)


@pytest.mark.parametrize("name", ["u_hlm", "u_hlm_importance", "cu_hlm"])
def test_gated_rounds_tell_them_where_the_target_was_asked(tables, trio, name):
    draft, _, target = trio
    done = tables.run(name, draft, target, max_new_tokens=40, threshold=0.7)
    expected = from_the_text(target, done.tokens)
    asked = 0
    for place, round_ in enumerate(done.rounds):
        stats = dict(round_.stats)
        assert (TOLD[0] in stats) is bool(stats["asked"])
        if stats["asked"]:
            asked += 1
            assert all(is_told(stats, expected[place], place))
    assert 0 < asked < 40
