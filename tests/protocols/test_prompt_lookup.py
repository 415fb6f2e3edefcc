"""Prompt lookup: exact, what it proposes, what it sends, and that repetition pays."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding import decode
from sim.decoding.protocols.prompt_lookup import Ngrams
from sim.models.interface import ForwardPass
from sim.models.tabular import TabularModel
from tests.decoding.test_sampled_path import g_test


@pytest.mark.parametrize("drafted_at", ["edge", "device"])
@pytest.mark.parametrize("ngrams", [(1, 1), (1, 3), (2, 2)])
def test_texts_have_the_targets_law(assert_exact, drafted_at, ngrams):
    shortest, longest = ngrams
    keys = {"drafted_at": drafted_at, "min_ngram": shortest, "max_ngram": longest}
    assert_exact("prompt_lookup", length=5, seeds=3, vocab_size=2, draft_length=2, **keys)
    assert_exact("prompt_lookup", length=4, seeds=2, vocab_size=3, draft_length=3, **keys)


def test_drawn_texts_follow_the_target():
    """4,000 texts of three tokens under the production source of random numbers; one run in 10,000 fails."""
    target = TabularModel.random(7, 3)
    counts, expected = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    for seed in range(4000):
        done = decode("prompt_lookup", None, target, [0, 1, 0], max_new_tokens=3, seed=seed, draft_length=2)
        counts[tuple(done.tokens)] += 1

    def row(text):
        logits = target.forward([ForwardPass("oracle", text)])[0][0]
        return np.exp(logits - np.logaddexp.reduce(logits))

    for first in range(3):
        for second in range(3):
            start = row([0, 1, 0])[first] * row([0, 1, 0, first])[second]
            expected[first, second] = start * row([0, 1, 0, first, second])
    assert g_test(counts.ravel(), expected.ravel()) > 1e-4


def test_the_longest_ngram_and_its_last_occurrence_count():
    text = [1, 2, 3, 9, 2, 3, 8, 1, 2, 3]
    assert list(Ngrams(1, 3).after(text)) == [9, 2, 3, 8, 1, 2, 3]
    assert list(Ngrams(1, 2).after(text)) == [8, 1, 2, 3]
    assert list(Ngrams(4, 4).after(text)) == []
    assert list(Ngrams(1, 3).after([5])) == []
    assert list(Ngrams(1, 2).after([5, 5])) == [5]


def test_a_table_that_grows_finds_what_a_fresh_one_finds():
    generator = np.random.default_rng(0)
    for _ in range(20):
        growing, text = Ngrams(1, 3), []
        for _ in range(15):
            text += generator.integers(0, 3, generator.integers(1, 4)).tolist()
            assert list(growing.after(text)) == list(Ngrams(1, 3).after(text))


def test_the_edge_is_sent_the_prompt_alone(tables):
    target = TabularModel.random(1, 16)
    at_edge = decode("prompt_lookup", None, target, list(range(8)) * 2, max_new_tokens=30)
    at_device = decode("prompt_lookup", None, target, list(range(8)) * 2, max_new_tokens=30, drafted_at="device")
    assert at_edge.tokens == at_device.tokens  # the same draws at the same positions
    assert tables.sent(at_edge.steps, "draft") == []
    drafts = tables.sent(at_device.steps, "draft")
    for round_, up in zip(at_device.rounds, drafts, strict=True):
        assert up.payload_bits == tables.padded(3 + 4 * round_.drafted)  # depths 0 to 4, ids of four bits


def test_repetition_is_accepted():
    """A target that repeats itself for sure: after one period everything that is drafted is right."""
    cycle = [3, 1, 4, 1, 5, 9, 2, 6]
    follows = {tuple(cycle[(start + i) % 8] for i in range(2)): cycle[(start + 2) % 8] for start in range(8)}

    def row(text):
        probs = np.full(10, 0.0)
        probs[follows[tuple(text[-2:])]] = 1.0
        return probs

    done = decode("prompt_lookup", None, TabularModel(row, 10), cycle + cycle[:2], max_new_tokens=40, draft_length=4)
    assert done.tokens == [cycle[(2 + i) % 8] for i in range(40)]
    assert done.acceptance_rate == 1
    assert len(done.rounds) == 8


def test_orders_of_lengths_are_checked():
    from sim.core.errors import InputError

    with pytest.raises(InputError, match="min_ngram 4 is above max_ngram 2"):
        decode("prompt_lookup", None, TabularModel.random(1, 4), [0], min_ngram=4, max_ngram=2)
