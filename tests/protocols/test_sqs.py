"""Sparsify-quantise-sample: exact for fixed and for learning sets, at its closed form of bits."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.core.rows import Row
from sim.decoding.core.wire.subsets import subset_bits
from sim.decoding.protocols.sqs import SqsSettings


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_k": 2, "lattice_levels": 6}])
def test_fixed_sqs_is_exact(assert_exact, settings):
    assert_exact("sqs", draft_length=2, **settings)


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_conformal_sqs_is_exact(assert_exact, threshold):
    """A fast learner whose sets change at almost every row, with what was drawn and thrown away included."""
    assert_exact(
        "sqs",
        draft_length=2,
        set_size="conformal",
        threshold=threshold,
        step=0.9,
        dropped_mass=0.2,
        lattice_levels=9,
    )


def test_sqs_payload_is_its_closed_form(tables):
    """ceil(log2 C(V, K)) + ceil(log2 C(ell + K - 1, K - 1)) + ceil(log2 K) per token; V = 64 and K = 5 leave no
    cheaper index code."""
    draft, target = tables.pair(3, vocab_size=64)
    done = tables.run("sqs", draft, target, max_new_tokens=30, draft_length=3, top_k=5, lattice_levels=12)
    per_token = subset_bits(64, 5) + subset_bits(12 + 4, 4) + 3
    for round_, up in zip(done.rounds, tables.sent(done.steps, "draft"), strict=True):
        assert up.payload_bits == tables.padded(2 + round_.drafted * per_token)


def test_conformal_threshold_reaches_its_target():
    """The mean dropped mass tends to the target at rate 1 / (step * rows)."""
    rng = np.random.default_rng(0)
    codec = SqsSettings(set_size="conformal", top_k=400, dropped_mass=0.1, lattice_levels=1000).codec(400)
    coded = [codec.code(Row.dense_row(rng.dirichlet(np.full(400, 0.05)))) for _ in range(3000)]
    assert np.mean([row.tail_mass for row in coded]) == pytest.approx(0.1, abs=0.005)
    assert len({len(row.ids) for row in coded[-100:]}) > 10
