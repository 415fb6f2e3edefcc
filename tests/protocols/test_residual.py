"""Interactive residual: exact by two-party sampling, and some tens of bits per rejection."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.core.rows import Sampling
from sim.decoding.core.rows_down import LogitsLayout
from sim.decoding.protocols.residual import Proposals, ProposalsLayout, ResidualSettings


@pytest.mark.parametrize(("proposals", "max_messages"), [(1, 1), (1, 2), (2, 1)])
def test_exact(assert_exact, proposals, max_messages):
    assert_exact("residual", length=2, draft_length=1, proposals=proposals, max_messages=max_messages, lattice_levels=9)


@pytest.mark.parametrize("values", ["fp32", "fp16", "log8"])
def test_exact_for_every_value_format(assert_exact, values):
    assert_exact("residual", seeds=2, vocab_size=2, draft_length=2, max_messages=1, values=values)


def test_one_proposal_per_tested_position_on_average(tables):
    """P(reject) = TV and 1 / TV proposals each: the mean over positions is 1 whatever the pair."""
    proposals = tested = 0
    for seed in range(6):
        draft, target = tables.pair(seed, vocab_size=16, odd=False)
        done = tables.run("residual", draft, target, max_new_tokens=60, growth=1, max_messages=64, seed=seed)
        tested += sum(round_.tested for round_ in done.rounds)
        rejections = [down.payload_bits for down in tables.sent(done.steps, "verdict")]
        proposals += sum(bits == tables.padded(3 + 1 + 1 + 6 + 4 + 64) for bits in rejections)
    # 300 positions, a geometric count each: standard error about 0.1.
    assert proposals / tested == pytest.approx(1.0, abs=0.3)


def test_payload(tables):
    """The first message is tens of bits: 15 of id, 64 of probability, 5 of header; each further one doubles."""
    whole_row = LogitsLayout(32000, Sampling())
    layout = ProposalsLayout(32000, ResidualSettings(), whole_row)
    assert layout.bits(0) == 1 + 4 + 15 + 64 == 84
    for message in range(4):
        body = Proposals(message, [(7, 0.1)] * 2**message)
        data = layout(body).to_bytes()
        assert 8 * len(data) == tables.padded(layout.bits(message)) == tables.padded(5 + 79 * 2**message)
        assert layout(body).decode(data) == body
    logits = np.zeros(32000, dtype=np.float32)
    assert len(layout(logits).to_bytes()) * 8 == tables.padded(1 + whole_row.bits(logits)) == 1024008


def test_bits_down_do_not_grow_with_the_vocabulary(tables):
    """A few hundred bits per round where whole rows would take 64 bits times the vocabulary per rejection."""
    for vocab_size in (64, 1024):
        draft, target = tables.pair(2, vocab_size=vocab_size, odd=False)
        done = tables.run("residual", draft, target, max_new_tokens=120)
        downs = [down.payload_bits for down in tables.sent(done.steps, "verdict")]
        assert sum(downs) / len(done.rounds) < 600


def test_messages_grow_up_to_a_size():
    sizes = [ResidualSettings(proposals=3, growth=4).num_proposals(message) for message in range(8)]
    assert sizes == [3, 12, 48, 192, 768, 3072, 4096, 4096]
