"""The wire: what is written is what the closed form says, and what is read is the very same row."""

from __future__ import annotations

from itertools import combinations, product
from math import ceil, comb, log2

import numpy as np
import pytest

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.messages import DraftLayout, TokensLayout, VerdictBody, VerdictLayout
from sim.decoding.core.rows import Row
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat, lattice_counts
from sim.decoding.core.wire.subsets import _rank_by_walk, _unrank_by_walk, rank_subset, subset_bits, unrank_subset
from tests.decoding.laws import random_pairs

VALUES = ["fp32", "fp16", "log8", "lattice"]
INDEX = ["auto", "fixed", "bitmap", "enumerative"]
VOCAB = 37

# ---- bits -----------------------------------------------------------------------------------------------------------


def test_bits_for_is_the_ceiling_of_the_logarithm():
    assert [bits_for(n) for n in (1, 2, 3, 4, 5, 8, 9, 32_000, 32_768, 32_769)] == [0, 1, 2, 2, 3, 3, 4, 15, 15, 16]
    with pytest.raises(ValueError, match="at least one value"):
        bits_for(0)


def test_fields_of_any_width_come_back():
    rng = np.random.default_rng(0)
    fields = [(int(rng.integers(0, 2, width) @ (1 << np.arange(width, dtype=object))), width) for width in range(1, 90)]
    writer = BitWriter()
    for value, width in fields:
        writer.write(value, width)
    array = rng.integers(0, 2**17, 23)
    writer.write_array(array, 17)
    writer.write(0, 0)
    data = writer.to_bytes()
    assert writer.num_bits == sum(range(1, 90)) + 23 * 17
    assert len(data) == ceil(writer.num_bits / 8)
    reader = BitReader(data)
    assert [(reader.read(width), width) for _, width in fields] == fields
    assert reader.read_array(23, 17).tolist() == array.tolist()


def test_what_does_not_fit_and_what_is_cut_short_are_errors():
    writer = BitWriter()
    for value in (8, -1):
        with pytest.raises(ValueError, match="does not fit in 3 bits"):
            writer.write(value, 3)
    with pytest.raises(ValueError, match="9 does not fit in 3 bits"):
        writer.write_array(np.array([1, 9]), 3)
    writer.write(5, 3)
    with pytest.raises(ValueError, match="ends 8 bits too early"):
        BitReader(writer.to_bytes()).read(16)


# ---- subsets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 7])
def test_subset_code_is_a_bijection(n):
    for k in range(n + 1):
        ranks = []
        for members in combinations(range(n), k):
            rank = rank_subset(np.array(members, dtype=np.int64), n)
            assert rank == sum(comb(c, i + 1) for i, c in enumerate(members))
            assert _rank_by_walk(members, n) == rank
            assert _unrank_by_walk(rank, n, k) == members
            assert unrank_subset(rank, n, k).tolist() == list(members)
            ranks.append(rank)
        assert sorted(ranks) == list(range(comb(n, k)))


@pytest.mark.parametrize(("n", "k"), [(8192, 64), (8192, 1000), (8192, 8000), (700, 350)])
def test_large_subsets_come_back_and_fit(n, k):
    members = np.sort(np.random.default_rng(k).choice(n, k, replace=False))
    rank = rank_subset(members, n)
    assert rank < 1 << subset_bits(n, k)
    assert _unrank_by_walk(rank, n, k) == tuple(members.tolist())
    if k <= 1000:
        assert rank == sum(comb(int(c), i + 1) for i, c in enumerate(members))


def test_a_rank_out_of_range_is_no_subset():
    with pytest.raises(ValueError, match="10 is no subset of 3 out of 5"):
        unrank_subset(10, 5, 3)


# ---- rows -----------------------------------------------------------------------------------------------------------


def sample_rows(vocab_size: int) -> list[Row]:
    found = [Row.dense_row(q) for _, q in random_pairs(41, vocab_size, 10)]
    tiny = np.full(vocab_size, 1e-12)
    tiny[3] = 1.0
    return [*found, Row.dense_row(tiny), Row.dense_row(np.eye(vocab_size)[vocab_size - 1])]


TRUNCATIONS = [{"top_k": 1}, {"top_k": 5}, {"top_k": VOCAB}, {"top_k": 10 * VOCAB}, {}, {"top_p": 0.3}, {"top_p": 1.0}]


@pytest.mark.parametrize(("values", "index"), list(product(VALUES, INDEX)))
@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=str)
def test_rows_come_back_bit_for_bit_in_as_many_bits_as_the_closed_form(values, index, truncation):
    codec = RowCodec(VOCAB, RowFormat(values=values, index=index, lattice_levels=100, **truncation))
    for q in sample_rows(VOCAB):
        coded = codec.code(q)
        writer = BitWriter()
        codec.write(writer, coded)
        assert writer.num_bits == codec.row_bits(len(coded.ids))
        received = RowCodec(VOCAB, codec.format).read(BitReader(writer.to_bytes()))
        assert received.ids.tolist() == coded.ids.tolist()
        assert received.codes.tolist() == coded.codes.tolist()
        assert received.row.dense().tobytes() == coded.row.dense().tobytes()
        assert (received.row.ids is None) == (coded.row.ids is None)
        assert coded.row.probs.sum() == pytest.approx(1.0, abs=1e-12)
        assert (coded.row.probs >= 0).all()
        assert coded.row.dense()[q.dense() == 0].sum() == 0  # nothing is invented
        assert coded.tail_mass == pytest.approx(1 - q.dense()[coded.ids].sum(), abs=1e-12)


def brute_force_bits(k: int, values: str, index: str, random_size: bool) -> int:
    index_bits = {
        "fixed": k * ceil(log2(VOCAB)),
        "bitmap": VOCAB,
        "enumerative": ceil(log2(comb(VOCAB, k))),
    }
    widths = {"fp32": 32, "fp16": 16, "log8": 8}
    value_bits = ceil(log2(comb(100 + k - 1, k - 1))) if values == "lattice" else k * widths[values]
    where = 0 if k == VOCAB else min(index_bits.values()) if index == "auto" else index_bits[index]
    return (ceil(log2(VOCAB)) if random_size else 0) + where + value_bits


@pytest.mark.parametrize(("values", "index"), list(product(VALUES, INDEX)))
def test_closed_form_of_row_bits(values, index):
    for k in (1, 2, 5, 20, VOCAB - 1, VOCAB):
        fixed = RowCodec(VOCAB, RowFormat(values=values, index=index, lattice_levels=100, top_k=k))
        assert fixed.row_bits(k) == brute_force_bits(k, values, index, random_size=False)
        nucleus = RowCodec(VOCAB, RowFormat(values=values, index=index, lattice_levels=100, top_p=0.9))
        assert nucleus.row_bits(k) == brute_force_bits(k, values, index, random_size=True)


@pytest.mark.parametrize(("values", "relative"), [("fp32", 1e-6), ("fp16", 1e-3), ("log8", 0.05)])
def test_values_are_as_precise_as_their_format(values, relative):
    codec = RowCodec(8, RowFormat(values=values))
    q = Row.dense_row(np.random.default_rng(5).dirichlet(np.full(8, 2.0)))
    assert codec.code(q).row.probs == pytest.approx(q.probs, rel=2 * relative)


def test_lattice_counts_are_the_nearest_that_add_up():
    assert lattice_counts(np.array([0.5, 0.3, 0.2]), 10).tolist() == [5, 3, 2]
    assert lattice_counts(np.array([1 / 3, 1 / 3, 1 / 3]), 10).tolist() == [4, 3, 3]
    for q, _ in random_pairs(42, 9, 20):
        for levels in (1, 7, 240, 65_535):
            counts = lattice_counts(q, levels)
            assert counts.sum() == levels
            assert (counts >= 0).all()
            assert np.abs(counts - levels * q).max() < 1


def test_auto_index_takes_the_shortest_code_at_each_size():
    codec = RowCodec(1000, RowFormat(top_p=0.9))
    for k in (1, 10, 100, 500, 990, 999):
        sizes = {code: codec._index_bits(code, k) for code in ("fixed", "bitmap", "enumerative")}
        assert sizes[codec.index_code(k)] == min(sizes.values())
    assert codec.index_code(1000) == "none"


def test_top_k_and_top_p_together_are_refused():
    with pytest.raises(ValueError, match="cannot both be set"):
        RowCodec(8, RowFormat(top_k=2, top_p=0.5))


# ---- messages -------------------------------------------------------------------------------------------------------


def drafted(codec: RowCodec, branching: list[int], short: bool) -> DraftTree:
    tree = DraftTree.empty()
    rng = np.random.default_rng(6)
    frontier = [-1]
    for width in branching:
        grown: list[int] = []
        for node in frontier:
            coded = codec.code(Row.dense_row(rng.dirichlet(np.full(codec.vocab_size, 0.5))))
            count = int(rng.integers(1, width + 1)) if short else width
            count = min(count, len(coded.ids))
            grown += tree.expand(node, coded, rng.choice(coded.ids, count, replace=False).tolist())
        frontier = grown
    return tree


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("truncation", [{"top_k": 4}, {"top_p": 0.99}, {}], ids=str)
@pytest.mark.parametrize(
    ("branching", "short"), [([1, 1, 1], False), ([3, 2, 1], False), ([3, 2, 1], True), ([], False)]
)
def test_drafts_come_back_and_their_bytes_are_the_closed_form(values, truncation, branching, short):
    codec = RowCodec(VOCAB, RowFormat(values=values, lattice_levels=60, **truncation))
    short = short or "top_p" in truncation
    layout = DraftLayout(codec, branching, may_run_short=short)
    tree = drafted(codec, branching, short)
    message = layout(tree)
    data = message.to_bytes()
    assert len(data) == ceil(layout.bits(tree) / 8)
    received = message.decode(data)
    assert (received.tokens, received.parents, received.expanded) == (tree.tokens, tree.parents, tree.expanded)
    for node in tree.expanded:
        assert received.children(node) == tree.children(node)
        assert received.row_after(node).row.dense().tobytes() == tree.row_after(node).row.dense().tobytes()


def test_a_drafted_token_outside_its_row_is_an_error():
    codec = RowCodec(8, RowFormat(top_k=2))
    tree = DraftTree.empty()
    tree.expand(-1, codec.code(Row.dense_row([0.4, 0.3, 0.1, 0.1, 0.05, 0.05, 0.0, 0.0])), [5])
    with pytest.raises(ValueError, match="token 5 was drafted but is not in the row"):
        DraftLayout(codec, [1])(tree).to_bytes()


def test_verdicts_and_tokens_come_back_in_their_closed_form():
    layout = VerdictLayout(vocab_size=8192, max_nodes=6)
    for body in (VerdictBody(-1, 0), VerdictBody(5, 8191)):
        data = layout(body).to_bytes()
        assert len(data) == ceil((13 + 3) / 8)
        assert layout(body).decode(data) == body
    tokens = TokensLayout("tokens", 8192, max_tokens=5)
    for ids in ([], [8191], [1, 2, 3, 4, 5]):
        data = tokens(ids).to_bytes()
        assert len(data) == ceil((3 + 13 * len(ids)) / 8)
        assert tokens(ids).decode(data) == ids


def test_a_tslt_row_is_the_published_payload():
    """K = 320 of 32,000, fp16, 15-bit indices: 9,920 bits; an enumerative index takes 2,580 instead of 4,800."""
    listed = RowCodec(32_000, RowFormat(top_k=320, index="fixed"))
    assert listed.row_bits(320) == 9920
    assert RowCodec(32_000, RowFormat(top_k=320)).row_bits(320) == 320 * 16 + 2580
    assert RowCodec(32_000, RowFormat()).row_bits(32_000) == 512_000
    q = Row.dense_row(1.0 / np.arange(1, 32_001))
    writer = BitWriter()
    listed.write(writer, listed.code(q))
    assert writer.num_bits == 9920
