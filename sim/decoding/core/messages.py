"""Messages: protocol messages and the layouts that encode them to bytes and decode them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from sim.core.errors import InputError
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A protocol message: a layout (wire schema) and the value to encode.

    Attributes:
        layout: How it turns into bytes; both ends know it beforehand.
        body: The value to encode.
        tokens_at_stake: How many tokens its arrival may unblock, for schedulers that know about rounds.
    """

    layout: Layout
    body: Any
    tokens_at_stake: int = 1

    @property
    def kind(self) -> str:
        """Name of the message type."""
        return self.layout.kind

    def to_bytes(self) -> bytes:
        """Encode the body."""
        writer = BitWriter()
        self.layout.write(writer, self.body)
        return writer.to_bytes()

    def decode(self, data: bytes) -> Any:
        """What the receiver makes of the bytes; only the layout is used, never this message's own body."""
        return self.layout.read(BitReader(data))

    def measure(self) -> tuple[int, Any]:
        """``8 * len(to_bytes())`` and what the receiver makes of those bytes, without making them where possible."""
        bits, received = self.layout.measure(self.body)
        return (bits + 7) // 8 * 8, received

    def charged_bits(self, wire_vocab_size: int) -> int:
        """What ``measure`` would return for the same message about a vocabulary of another size, in closed form."""
        bits, _ = self.layout.measure(self.body)
        return (bits + self.layout.extra_bits(self.body, wire_vocab_size) + 7) // 8 * 8


class Layout(ABC):
    """A message type with all that both ends know of it before the first message: vocabulary, format, limits."""

    kind: ClassVar[str]

    def __call__(self, body: Any, tokens_at_stake: int = 1) -> Message:
        """A message of this type."""
        return Message(self, body, tokens_at_stake)

    @abstractmethod
    def write(self, writer: BitWriter, body: Any) -> None:
        """Append the body's fields."""

    @abstractmethod
    def read(self, reader: BitReader) -> Any:
        """Read the fields and rebuild the body."""

    def measure(self, body: Any) -> tuple[int, Any]:
        """Bits that ``write`` writes and what ``read`` reads from them, where the bytes are not needed."""
        writer = BitWriter()
        self.write(writer, body)
        return writer.num_bits, self.read(BitReader(writer.to_bytes()))

    def extra_bits(self, body: Any, wire_vocab_size: int) -> int:  # noqa: ARG002
        """Bits by which the same body would be longer, or shorter, in a vocabulary of another size; closed form.

        Raises:
            InputError: The layout does not say.
        """
        raise InputError(
            f"messages of type {self.kind!r} do not say what they would take in another vocabulary; "
            f"give {type(self).__name__} an extra_bits, or leave the key out",
            "models.wire_vocab_size",
        )


class TokensLayout(Layout):
    """Token ids with fixed width after a count; the prompt, or ids drafted.

    Args:
        kind: Name of the message type.
        vocab_size: Width of the vocabulary.
        max_tokens: Largest count; the count's width follows from it.
    """

    kind = "tokens"

    def __init__(self, kind: str, vocab_size: int, max_tokens: int) -> None:
        self.kind = kind  # type: ignore[misc]
        self.id_bits = bits_for(vocab_size)
        self.count_bits = bits_for(max_tokens + 1)

    @override
    def write(self, writer: BitWriter, body: Sequence[int]) -> None:
        writer.write(len(body), self.count_bits)
        for token in body:
            writer.write(token, self.id_bits)

    @override
    def read(self, reader: BitReader) -> list[int]:
        count = reader.read(self.count_bits)
        return [reader.read(self.id_bits) for _ in range(count)]

    @override
    def measure(self, body: Sequence[int]) -> tuple[int, list[int]]:
        return self.count_bits + len(body) * self.id_bits, list(body)

    @override
    def extra_bits(self, body: Sequence[int], wire_vocab_size: int) -> int:
        return len(body) * (bits_for(wire_vocab_size) - self.id_bits)


class DraftLayout(Layout):
    """A token tree (a chain is one) with a coded row per expanded node, the candidates named inside their row.

    Fields: depth reached; then per expanded node in breadth-first order its row and the places of its candidates in
    the row's id list. Where fewer candidates than branches can occur, their number comes first.

    Args:
        codec: Codes the rows.
        branching: Candidates per expanded node, by depth.
        may_run_short: Whether a node can have fewer candidates than its branching says.
    """

    kind = "draft"

    def __init__(self, codec: RowCodec, branching: Sequence[int], may_run_short: bool = False) -> None:
        self.codec = codec
        self.branching = tuple(branching)
        self.may_run_short = may_run_short

    @override
    def write(self, writer: BitWriter, body: DraftTree) -> None:
        writer.write(body.depth, bits_for(len(self.branching) + 1))
        for node in body.expanded:
            coded = body.row_after(node)
            self.codec.write(writer, coded)
            children = body.children(node)
            self._write_count(writer, len(children), body.depth_of(node))
            for child in children:
                writer.write(place_of(coded, body.tokens[child]), bits_for(len(coded.ids)))

    @override
    def read(self, reader: BitReader) -> DraftTree:
        depth = reader.read(bits_for(len(self.branching) + 1))
        tree = DraftTree.empty()
        frontier = [-1]
        for level in range(depth):
            next_frontier: list[int] = []
            for node in frontier:
                coded = self.codec.read(reader)
                count = self._read_count(reader, level)
                tokens = [int(coded.ids[reader.read(bits_for(len(coded.ids)))]) for _ in range(count)]
                next_frontier += tree.expand(node, coded, tokens)
            frontier = next_frontier
        return tree

    def _write_count(self, writer: BitWriter, count: int, level: int) -> None:
        if self.may_run_short and self.branching[level] > 1:
            writer.write(count - 1, bits_for(self.branching[level]))

    def _read_count(self, reader: BitReader, level: int) -> int:
        if self.may_run_short and self.branching[level] > 1:
            return reader.read(bits_for(self.branching[level])) + 1
        return self.branching[level]

    @override
    def measure(self, body: DraftTree) -> tuple[int, DraftTree]:
        if not body.is_whole:
            return self.bits(body), body
        tree = DraftTree.empty()
        for node in body.expanded:
            coded = body.row_after(node)
            tokens = [body.tokens[child] for child in body.children(node)]
            for token in tokens:
                place_of(coded, token)
            # What the truncation dropped is known to the sender alone.
            tree.expand(node, CodedRow(coded.ids, coded.codes, coded.row), tokens)
        return self.bits(body), tree

    def bits(self, body: DraftTree) -> int:
        """Closed form of the encoded length before padding to bytes."""
        total = bits_for(len(self.branching) + 1)
        for node in body.expanded:
            k = body.row_length(node)
            level = body.depth_of(node)
            total += self.codec.row_bits(k) + len(body.children(node)) * bits_for(k)
            if self.may_run_short and self.branching[level] > 1:
                total += bits_for(self.branching[level])
        return total

    @override
    def extra_bits(self, body: DraftTree, wire_vocab_size: int) -> int:
        total = 0
        for node in body.expanded:
            k = body.row_length(node)
            entries = self.codec.entries_in(k, wire_vocab_size)
            places = len(body.children(node)) * (bits_for(entries) - bits_for(k))
            total += self.codec.extra_bits(k, wire_vocab_size) + places
        return total


def place_of(coded: CodedRow, token: int) -> int:
    """Where a token stands in a coded row's id list."""
    place = int(coded.ids.searchsorted(token))
    if place >= len(coded.ids) or coded.ids[place] != token:
        raise ValueError(f"token {token} was drafted but is not in the row that was sent")
    return place


@dataclass(frozen=True, slots=True)
class VerdictBody:
    """What the edge says of a draft.

    Attributes:
        last_accepted: Last accepted node of the draft, -1 for none; of a chain, one less than are accepted.
        token: The token that follows it: a correction, or one more where all are accepted.
    """

    last_accepted: int
    token: int


class VerdictLayout(Layout):
    """Last accepted node and the correction or bonus token.

    Args:
        vocab_size: Width of the vocabulary.
        max_nodes: Most nodes that a draft can have.
    """

    kind = "verdict"

    def __init__(self, vocab_size: int, max_nodes: int) -> None:
        self.id_bits = bits_for(vocab_size)
        self.node_bits = bits_for(max_nodes + 1)

    @override
    def write(self, writer: BitWriter, body: VerdictBody) -> None:
        writer.write(body.last_accepted + 1, self.node_bits)
        writer.write(body.token, self.id_bits)

    @override
    def read(self, reader: BitReader) -> VerdictBody:
        return VerdictBody(reader.read(self.node_bits) - 1, reader.read(self.id_bits))

    @override
    def measure(self, body: VerdictBody) -> tuple[int, VerdictBody]:
        return self.node_bits + self.id_bits, body

    @override
    def extra_bits(self, body: VerdictBody, wire_vocab_size: int) -> int:
        return bits_for(wire_vocab_size) - self.id_bits
