"""Lazy rows: exact with whole and with cut rows, the text of rows sent beforehand, and the bytes that they save."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sim.decoding.core.rows import Sampling, residual
from sim.decoding.core.wire.bits import bits_for
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols import lazy_rows
from sim.decoding.verification.split import ScalarDraftLayout
from tests.decoding.laws import table_pair, target_sequence_distribution
from tests.decoding.test_sampled_path import g_test

FORMATS = [
    {"values": "fp16"},
    {"values": "log8"},
    {"values": "lattice", "lattice_levels": 7},
    {"top_k": 2},
    {"top_k": 1},
    {"top_p": 0.7, "values": "fp32"},
    {"top_k": 2, "values": "lattice", "lattice_levels": 5, "index": "bitmap"},
]


@pytest.mark.parametrize("keys", FORMATS, ids=str)
def test_lazy_rows_are_exact(assert_exact, keys):
    assert_exact("lazy_rows", seeds=2, length=2, draft_length=2, **keys)


def test_lazy_rows_are_exact_for_longer_drafts(assert_exact):
    assert_exact("lazy_rows", seeds=2, vocab_size=2, length=4, draft_length=3)


def test_a_row_other_than_the_one_drawn_from_is_caught(tables, monkeypatch):
    """Negative control: the device sends its uncut row where the token was drawn from the cut one."""
    pair = tables.pair(1, vocab_size=4, odd=False)
    settings = {"length": 2, "draft_length": 1, "top_k": 2}
    assert tables.distance("lazy_rows", *pair, **settings) < tables.tolerance
    monkeypatch.setattr(lazy_rows, "residual", lambda p, q: residual(p, type(q).dense_row(q.dense() + 0.05)))
    assert tables.distance("lazy_rows", *pair, **settings) > 1e-3


@pytest.mark.parametrize("keys", [{"top_k": 5}, {"top_p": 0.8}, {"values": "lattice"}], ids=str)
def test_the_text_is_that_of_rows_sent_beforehand(tables, keys):
    """Same rows and random numbers as tslt: only what crosses the air, and when, differs."""
    draft, target = tables.pair(3, vocab_size=8)
    lazy = tables.run("lazy_rows", draft, target, max_new_tokens=48, **keys)
    eager = tables.run("tslt", draft, target, max_new_tokens=48, **keys)
    assert lazy.tokens == eager.tokens
    assert [round_.accepted for round_ in lazy.rounds] == [round_.accepted for round_ in eager.rounds]


def test_payload_is_its_closed_form(tables):
    """Up: flag, count, and 3 + 64 bits a token, then one row if one is rejected; down: a position, then the verdict."""
    draft, target = tables.pair(3, vocab_size=8)
    done = tables.run("lazy_rows", draft, target, max_new_tokens=60, draft_length=4, top_k=5)
    rejected = [round_.accepted < round_.drafted for round_ in done.rounds]
    ups = [up.payload_bits for up in tables.sent(done.steps, "draft")]
    assert ups == [tables.padded(1 + 3 + round_.drafted * (3 + 64)) for round_ in done.rounds]
    row_bits = RowCodec(8, RowFormat(top_k=5)).row_bits(5)
    assert [row.payload_bits for row in tables.sent(done.steps, "row")] == [tables.padded(row_bits)] * sum(rejected)
    assert [ask.payload_bits for ask in tables.sent(done.steps, "wanted")] == [8] * sum(rejected)
    assert {down.payload_bits for down in tables.sent(done.steps, "verdict")} == {tables.padded(3 + 3)}
    assert 0 < sum(rejected) < len(rejected)


def test_published_saving():
    """12 B a token (a 4 B id and an 8 B scalar) and one row per rejection save 97.9 % of the upload of whole rows.

    V = 32000 and 16 bits a value, eight drafted tokens; the saving is 98 % where one round in six has a rejection, and
    it can never be more than the 99.98 % of rounds without any.
    """
    layout = ScalarDraftLayout(RowCodec(32_000, RowFormat()), 8)
    assert bits_for(32_000) <= 32 and layout.scalar_bits == 64
    row_bits = RowCodec(32_000, RowFormat()).row_bits(32_000)
    assert 1 - 8 * 96 / (8 * row_bits) == pytest.approx(0.9998, abs=1e-4)
    assert 1 - (8 * 96 + row_bits / 6) / (8 * row_bits) == pytest.approx(0.979, abs=1e-3)


def test_sampled_texts_follow_the_target(tables):
    """1,500 texts of two tokens from keyed random numbers: a G-test with a false-alarm rate of 1e-6."""
    draft, target = table_pair(4)
    runs = (
        tables.run("lazy_rows", draft, target, max_new_tokens=2, draft_length=1, top_k=2, seed=seed, request_id=seed)
        for seed in range(1500)
    )
    counts = Counter(tuple(done.tokens) for done in runs)
    law = target_sequence_distribution(target, (0,), 2, Sampling())
    texts = list(law)
    assert set(counts) <= set(texts)
    observed, expected = np.array([counts[text] for text in texts]), np.array([law[text] for text in texts])
    assert g_test(observed, expected) > 1e-6
