"""Gumbel coupling: the target's law exactly, and one text whatever drafts."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("vocab_size", "length", "draft_length"), [(3, 3, 2), (2, 4, 3), (4, 2, 1)])
def test_exact_under_shared_noise(assert_exact, vocab_size, length, draft_length):
    """The enumeration follows the joint law of both picks on the same noise."""
    assert_exact("gumbel", vocab_size=vocab_size, length=length, draft_length=draft_length)


def test_text_depends_on_seed_and_target_alone(tables):
    draft, target = tables.pair(2, vocab_size=32)
    stranger = tables.model.random(77, 32)
    for seed in range(3):
        common = {"max_new_tokens": 40, "seed": seed}
        alone = tables.run("edge_only", None, target, **common).tokens
        for drafter in (draft, stranger, target):
            for draft_length in (1, 4, 8):
                assert tables.run("gumbel", drafter, target, draft_length=draft_length, **common).tokens == alone
    assert tables.run("edge_only", None, target, max_new_tokens=40, seed=3).tokens != alone


def test_the_target_as_its_own_draft_is_always_right(tables):
    """Up to the single precision of the device's rows, which moves no race here."""
    _, target = tables.pair(2, vocab_size=32, odd=False)
    done = tables.run("gumbel", target, target, max_new_tokens=60)
    assert done.acceptance_rate == 1.0


def test_acceptance_is_that_of_coupled_races(tables):
    """sum_x 1 / sum_y max(q_y / q_x, p_y / p_x), and at least (1 - TV) / (1 + TV) (arXiv 2408.07978)."""
    draft = tables.model.from_table({}, default=[0.1, 0.45, 0.25, 0.05, 0.15])
    target = tables.model.from_table({}, default=[0.4, 0.3, 0.15, 0.1, 0.05])
    p, q = target.row([0]), draft.row([0])
    expected = sum(1 / sum(max(q[y] / q[x], p[y] / p[x]) for y in range(5)) for x in range(5))
    done = tables.run("gumbel", draft, target, max_new_tokens=1500, draft_length=1)
    tested = sum(round_.tested for round_ in done.rounds)
    assert done.acceptance_rate == pytest.approx(expected, abs=4 * (0.25 / tested) ** 0.5)
    assert 4 * (0.25 / tested) ** 0.5 < 0.08
    assert expected >= 0.65 / 1.35


def test_payload_is_ids_alone(tables):
    draft, target = tables.pair(2, vocab_size=32)
    done = tables.run("gumbel", draft, target, max_new_tokens=40, draft_length=4)
    for round_, up in zip(done.rounds, tables.sent(done.steps, "draft"), strict=True):
        assert up.payload_bits == tables.padded(3 + 5 * round_.drafted)
    assert all(down.payload_bits == tables.padded(3 + 5) for down in tables.sent(done.steps, "verdict"))
