"""AsymSpec: exact from the whole row and when drawn lazily; within its certificate and not exact under a budget."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.core.rows import Sampling
from sim.decoding.core.rows_down import LogitsLayout
from sim.decoding.protocols.asym import Stage, StageLayout, round_down
from sim.decoding.protocols.registry import PROTOCOLS


@pytest.mark.parametrize("correction", ["full", "lazy"])
@pytest.mark.parametrize(("vocab_size", "stages"), [(3, [1, 2]), (4, [2]), (3, [])])
def test_exact(assert_exact, correction, vocab_size, stages):
    assert_exact("asym", seeds=3, length=2, vocab_size=vocab_size, draft_length=1, stages=stages, correction=correction)


@pytest.mark.parametrize("values", ["lattice", "fp32"])
def test_exact_over_longer_drafts(assert_exact, values):
    assert_exact("asym", seeds=2, draft_length=2, stages=[1], correction="lazy", values=values)


@pytest.mark.parametrize("budget", [0.02, 0.2, 0.6])
def test_a_budget_bounds_the_distance_and_costs_exactness(tables, budget):
    """Two tokens, one drafted: one correction at most, so the text's distance is at most the budget."""
    measured = []
    for seed in range(8):
        draft, target = tables.pair(seed, vocab_size=4, odd=False)
        measured.append(
            tables.distance("asym_bounded", draft, target, length=2, draft_length=1, stages=[1, 2, 3], budget=budget)
        )
    assert max(measured) <= budget
    assert max(measured) > 1e-7  # rounding down to half precision alone is above this
    assert PROTOCOLS.find("asym_bounded").traits["lossless"] is False
    assert PROTOCOLS.find("asym").traits["lossless"] is True


def test_lazy_drawing_asks_for_the_whole_row_rarely(tables):
    draft, target = tables.pair(1, vocab_size=64, odd=False)
    common = {"max_new_tokens": 120, "stages": [8, 24]}

    def share_of_whole_rows(correction: str) -> float:
        done = tables.run("asym", draft, target, correction=correction, **common)
        rejections = sum(round_.accepted < round_.drafted for round_ in done.rounds)
        return sum(down.payload_bits > 64 * 64 for down in tables.sent(done.steps, "verdict")) / rejections

    assert share_of_whole_rows("full") == 1.0
    assert share_of_whole_rows("lazy") < 0.75


def test_stage_values_are_lower_bounds():
    probs = np.random.default_rng(0).dirichlet(np.full(200, 0.3))
    rounded = round_down(probs)
    assert (rounded <= probs).all()
    assert (rounded[probs > 1e-4] > probs[probs > 1e-4] * (1 - 2**-10)).all()


def test_payload(tables):
    """K = 16 of 32000: 16 * (15 + 16) bits and a header of 16, against 32 bits per logit of the whole row."""
    layout = StageLayout(32000, LogitsLayout(32000, Sampling()))
    stage = Stage(np.arange(16), np.full(16, 1 / 16))
    data = layout(stage).to_bytes()
    assert 8 * len(data) == tables.padded(layout.bits(16)) == 512
    back = layout(stage).decode(data)
    assert (back.ids == stage.ids).all() and (back.probs == stage.probs).all()


def test_stages_must_ascend(tables):
    with pytest.raises(Exception, match="ascending"):
        tables.run("asym", *tables.pair(0), stages=[4, 2])
