"""Split verification: ids and probabilities go up, the edge tests them, the end with both rows corrects.

The edge accepts drafted token x with probability min(1, p(x)/q(x)), for which the number q(x) is enough; only the
correction norm(max(0, p - q)) needs two rows in one place. What crosses the air as q(x) is exact: a count when the
device drafts from rows on a lattice, else the 64 bits of the number itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.messages import Layout, VerdictBody, place_of
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import overlap
from sim.decoding.core.target_figures import target_figures
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat, Values
from sim.decoding.verification.round import TargetRows, Verdict

DOUBLE_BITS = 64


class ScalarSettings(Settings):
    """Keys of protocols that send the probability of each drafted token and keep its row at the device."""

    draft_length: int = Field(default=4, ge=1, le=64)
    """Tokens drafted per round (gamma)."""
    values: Values = "lattice"
    """Format in which the device holds the rows it drafts from; a lattice sends counts, others 64-bit scalars."""
    lattice_levels: int = Field(default=65535, ge=1, le=65535)
    """Sum of the integer counts when values is lattice; 65535 makes a scalar of 16 bits."""

    def codec(self, vocab_size: int) -> RowCodec:
        """What the device quantises its rows with before it draws from them."""
        return RowCodec(vocab_size, RowFormat(values=self.values, lattice_levels=self.lattice_levels))


@dataclass(frozen=True, slots=True)
class ScalarDraft:
    """A drafted chain as an edge sees it that holds no draft rows.

    Attributes:
        tokens: Token ids.
        probs: Probability that the device drew each of them with.
        correction: Token with which the device ended the round before, None where the edge knows it already.
    """

    tokens: list[int]
    probs: list[float]
    correction: int | None = None


class ScalarDraftLayout(Layout):
    """The last correction if the device drew it, then per drafted token its id and the probability it was drawn with.

    Args:
        codec: Codec of the rows that the device keeps.
        max_tokens: Longest draft.
    """

    kind = "draft"

    def __init__(self, codec: RowCodec, max_tokens: int) -> None:
        self.levels = codec.format.lattice_levels if codec.format.values == "lattice" else None
        self.id_bits = bits_for(codec.vocab_size)
        self.count_bits = bits_for(max_tokens + 1)
        self.scalar_bits = DOUBLE_BITS if self.levels is None else bits_for(self.levels + 1)

    @override
    def write(self, writer: BitWriter, body: tuple[DraftTree, int | None]) -> None:
        draft, correction = body
        writer.write(correction is not None, 1)
        if correction is not None:
            writer.write(correction, self.id_bits)
        writer.write(len(draft.tokens), self.count_bits)
        for node, token in enumerate(draft.tokens):
            coded = draft.row_after(node - 1)
            count = int(coded.codes[place_of(coded, token)])
            writer.write(token, self.id_bits)
            writer.write(count if self.levels else double_to_int(coded.row.prob(token)), self.scalar_bits)

    @override
    def read(self, reader: BitReader) -> ScalarDraft:
        correction = reader.read(self.id_bits) if reader.read(1) else None
        tokens: list[int] = []
        probs: list[float] = []
        for _ in range(reader.read(self.count_bits)):
            tokens.append(reader.read(self.id_bits))
            scalar = reader.read(self.scalar_bits)
            probs.append(scalar / self.levels if self.levels else int_to_double(scalar))
        return ScalarDraft(tokens, probs, correction)

    def bits(self, body: tuple[DraftTree, int | None]) -> int:
        """Closed form of the encoded length before padding to bytes."""
        draft, correction = body
        head = 1 + (self.id_bits if correction is not None else 0) + self.count_bits
        return head + len(draft.tokens) * (self.id_bits + self.scalar_bits)

    @override
    def extra_bits(self, body: tuple[DraftTree, int | None], wire_vocab_size: int) -> int:
        draft, correction = body
        return (len(draft.tokens) + (correction is not None)) * (bits_for(wire_vocab_size) - self.id_bits)


def double_to_int(value: float) -> int:
    """The 64 bits of a float64."""
    return int(np.float64(value).view(np.uint64))


def int_to_double(bits: int) -> float:
    """The float64 with these 64 bits."""
    return float(np.uint64(bits).view(np.float64))


def count_accepted(rows: TargetRows, draft: ScalarDraft, position: int, rng: RandomSource) -> int:
    """How many leading tokens of a chain pass the test of Leviathan et al. (arXiv 2211.17192, Alg. 1)."""
    for node, (token, q) in enumerate(zip(draft.tokens, draft.probs, strict=True)):
        if not rng.at("verify", position + node).bernoulli(rows.after(node - 1).prob(token) / q):
            return node
    return len(draft.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class SplitVerdict:
    """How many tokens were accepted, and the bonus token or what the device needs to correct.

    Attributes:
        accepted: Leading tokens accepted.
        token: The bonus token if all of them were, else None.
        correction_info: What a correction's layout writes and reads, if a token was rejected.
    """

    accepted: int
    token: int | None = None
    correction_info: Any = None


class SplitVerdictLayout(Layout):
    """Accepted tokens, one bit that says whether one was rejected, then the bonus token or what a correction needs.

    Args:
        vocab_size: Width of the vocabulary.
        max_tokens: Longest draft.
        correction_layout: Writes and reads what a rejection is answered with.
    """

    kind = "verdict"

    def __init__(self, vocab_size: int, max_tokens: int, correction_layout: Layout) -> None:
        self.id_bits = bits_for(vocab_size)
        self.count_bits = bits_for(max_tokens + 1)
        self.correction_layout = correction_layout

    @override
    def write(self, writer: BitWriter, body: SplitVerdict) -> None:
        writer.write(body.accepted, self.count_bits)
        writer.write(body.token is None, 1)
        if body.token is None:
            self.correction_layout.write(writer, body.correction_info)
        else:
            writer.write(body.token, self.id_bits)

    @override
    def read(self, reader: BitReader) -> SplitVerdict:
        accepted = reader.read(self.count_bits)
        if reader.read(1):
            return SplitVerdict(accepted, correction_info=self.correction_layout.read(reader))
        return SplitVerdict(accepted, reader.read(self.id_bits))

    def bits(self, rejected: bool, correction_bits: int = 0) -> int:
        """Closed form of the encoded length before padding to bytes."""
        return self.count_bits + 1 + (correction_bits if rejected else self.id_bits)

    @override
    def extra_bits(self, body: SplitVerdict, wire_vocab_size: int) -> int:
        if body.token is None:
            return self.correction_layout.extra_bits(body.correction_info, wire_vocab_size)
        return bits_for(wire_vocab_size) - self.id_bits


def with_metrics(rows: TargetRows, draft: DraftTree, received_verdict: VerdictBody) -> Verdict:
    """A verdict with the round's figures, which only someone who sees both rows can state.

    Args:
        rows: The target's rows.
        draft: The device's own draft.
        received_verdict: What was decided.
    """
    path = [received_verdict.last_accepted]
    while path[-1] >= 0:
        path.append(draft.parents[path[-1]])
    tested = tuple(node for node in reversed(path) if draft.children(node))
    seen = {node: rows.after(node) for node in reversed(path)}
    overlaps: Sequence[float] = [overlap(seen[node], draft.row_after(node).row) for node in tested]
    tokens = [*draft.path_to(received_verdict.last_accepted), received_verdict.token]
    target = tuple(target_figures(p, token) for p, token in zip(seen.values(), tokens, strict=True))
    return Verdict(received_verdict.last_accepted, received_verdict.token, tested, tuple(overlaps), target)


class MoreLayout(Layout):
    """The device's one-bit reply that what it received does not settle a correction yet."""

    kind = "more"

    @override
    def write(self, writer: BitWriter, body: None) -> None:
        writer.write(1, 1)

    @override
    def read(self, reader: BitReader) -> None:
        reader.read(1)

    @override
    def extra_bits(self, body: None, wire_vocab_size: int) -> int:
        return 0
