"""Quantise-sample-and-verify: exact because drafts are drawn after quantising, at the published bits."""

from __future__ import annotations

import pytest

from sim.decoding.core.wire.bits import bits_for
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.core.wire.subsets import subset_bits


@pytest.mark.parametrize("levels", [1, 4, 255])
def test_qsv_is_exact(assert_exact, levels):
    assert_exact("qsv", draft_length=2, lattice_levels=levels)


@pytest.mark.parametrize(("levels", "bits"), [(4, 74), (24, 312), (240, 2209), (720, 5467)])
def test_qsv_published_payload(levels, bits):
    """arXiv 2507.00605, V = 50272: the lattice point and a 16-bit token."""
    codec = RowCodec(50272, RowFormat(values="lattice", lattice_levels=levels))
    assert codec.row_bits(50272) + bits_for(50272) == bits


def test_qsv_payload_is_its_closed_form(tables):
    draft, target = tables.pair(3, vocab_size=8)
    done = tables.run("qsv", draft, target, max_new_tokens=30, draft_length=3, lattice_levels=12)
    for round_, up in zip(done.rounds, tables.sent(done.steps, "draft"), strict=True):
        assert up.payload_bits == tables.padded(2 + round_.drafted * (subset_bits(12 + 7, 7) + 3))
