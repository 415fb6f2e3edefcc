"""DSSD: exact with the target's logits down, lossy with rounded or truncated rows, and the bytes that it says."""

from __future__ import annotations

import pytest

from sim.decoding.core.wire.bits import bits_for
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.registry import PROTOCOLS
from sim.decoding.verification.split import ScalarDraftLayout, ScalarSettings, double_to_int, int_to_double


@pytest.mark.parametrize("values", ["lattice", "fp32", "fp16", "log8"])
def test_dssd_is_exact(assert_exact, values):
    assert_exact("dssd", seeds=2, draft_length=2, values=values)


def test_dssd_is_exact_for_coarse_lattices_and_longer_drafts(assert_exact):
    assert_exact("dssd", draft_length=2, lattice_levels=5)
    assert_exact("dssd", seeds=2, vocab_size=2, length=4, draft_length=3)
    assert_exact("dssd", seeds=2, vocab_size=4, length=2, draft_length=1)


def test_dssd_tells_the_same_text_as_full_rows_up(tables):
    """The same rows and the same random numbers: only the place of the correction differs."""
    draft, target = tables.pair(3, vocab_size=8)
    split = tables.run("dssd", draft, target, max_new_tokens=48, lattice_levels=1023)
    whole = tables.run("dsd", draft, target, max_new_tokens=48, values="lattice", lattice_levels=1023)
    assert split.tokens == whole.tokens
    assert repr(split.rounds) == repr(whole.rounds)  # nan figures of an empty draft compare as text


def test_dssd_payload_is_its_closed_form(tables):
    """Up: flag, last correction, count, and 3 + 16 bits a token; down: 64-bit logits of 8 tokens, or one id."""
    draft, target = tables.pair(3, vocab_size=8)
    done = tables.run("dssd", draft, target, max_new_tokens=40, draft_length=4)
    corrected = False
    for round_, up, down in zip(
        done.rounds, tables.sent(done.steps, "draft"), tables.sent(done.steps, "verdict"), strict=True
    ):
        assert up.payload_bits == tables.padded(1 + 3 * corrected + 3 + round_.drafted * (3 + 16))
        corrected = round_.accepted < round_.drafted
        assert down.payload_bits == tables.padded(3 + 1 + (1 + 8 * 64 if corrected else 3))


def test_single_precision_logits_go_down_in_32_bits(tables):
    """The usual models compute in single precision; the law stays exact at half the bits."""
    draft, target = tables.pair(1)
    double = target._logits
    target._logits = lambda forward: double(forward).astype("float32")
    assert tables.distance("dssd", draft, target, draft_length=2) < tables.tolerance
    done = tables.run("dssd", draft, target, max_new_tokens=30)
    rejected = [round_.accepted < round_.drafted for round_ in done.rounds]
    downs = [down.payload_bits for down in tables.sent(done.steps, "verdict")]
    assert any(rejected)
    assert {bits for bits, was in zip(downs, rejected, strict=True) if was} == {tables.padded(3 + 1 + 1 + 3 * 32)}


def test_published_payload():
    """arXiv 2507.12000: gamma * (16 + ceil(log2 V)) bits up, V * 16 down on rejection; V = 32000, gamma = 4."""
    layout = ScalarDraftLayout(ScalarSettings().codec(32000), 4)
    assert 4 * (layout.id_bits + layout.scalar_bits) == 124
    assert RowCodec(32000, RowFormat(values="fp16")).row_bits(32000) == 32000 * 16


def test_published_bandwidth_pair():
    """8.98 against 13.74 tokens/s (gamma 8, 39 rounds, 128 tokens, 100 Mbit/s) follow from the two payloads.

    Raw single-precision rows of OPT's 50272 tokens are 61269 KiB, top-8 summaries 14.6 KiB; the difference in time
    per run that the throughputs imply, 4.94 s, is airtime within 2 %.
    """
    rows = 39 * 8
    full_bits = rows * RowCodec(50272, RowFormat(values="fp32")).row_bits(50272)
    top8_bits = rows * RowCodec(50272, RowFormat(top_k=8, values="fp32", index="fixed")).row_bits(8)
    assert full_bits / 8 / 1024 == pytest.approx(61269, abs=0.5)
    assert top8_bits / 8 / 1024 == pytest.approx(14.6, abs=0.05)
    airtime_s = (full_bits - top8_bits) / 100e6
    assert airtime_s == pytest.approx(128 / 8.98 - 128 / 13.74, rel=0.02)
    assert 128 / (128 / 13.74 + airtime_s) == pytest.approx(8.98, rel=0.01)


def test_scalars_arrive_bit_for_bit():
    for value in (0.1, 1 / 3, 5e-324, 1.0):
        assert int_to_double(double_to_int(value)) == value
    assert bits_for(65535 + 1) == 16


def test_rounded_and_truncated_rows_down_are_lossy(tables):
    """Measured distances on one pair: rounding to half precision about 1e-4, the two largest of six far more."""
    assert PROTOCOLS.find("dssd").traits["lossless"] is True
    assert PROTOCOLS.find("dssd_bounded").traits["lossless"] is False
    draft, target = tables.pair(1, vocab_size=6, odd=False)
    common = {"length": 2, "draft_length": 1, "lattice_levels": 7}
    rounded = tables.distance("dssd_bounded", draft, target, down_top_k=None, **common)
    truncated = tables.distance("dssd_bounded", draft, target, down_top_k=2, **common)
    assert 1e-7 < rounded < 1e-3 < truncated < 0.5
    assert tables.distance("dssd", draft, target, **common) < tables.tolerance
