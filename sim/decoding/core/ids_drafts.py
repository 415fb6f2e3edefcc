"""Drafts that cross the air as token ids alone, for rules that never ask what a candidate was drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.messages import Layout
from sim.decoding.core.rows import Row
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.row_codec import CodedRow


class IdsLayout(Layout):
    """A token tree (a chain is one): the depth reached, then per expanded node the ids of its candidates.

    Where a node can have fewer candidates than its branching says, their number comes first. The tree that is read
    holds the uniform row everywhere, which is what an edge knows of a draft model of which it received nothing.

    Args:
        vocab_size: Width of the vocabulary.
        branching: Candidates per expanded node, by depth.
        may_run_short: Whether a node can have fewer candidates than its branching says.
    """

    kind = "draft"

    def __init__(self, vocab_size: int, branching: Sequence[int], may_run_short: bool = False) -> None:
        self.id_bits = bits_for(vocab_size)
        self.branching = tuple(branching)
        self.may_run_short = may_run_short
        nothing = np.zeros(0, dtype=np.int64)
        self.unknown = CodedRow(nothing, nothing, Row.dense_row(np.ones(vocab_size)))

    @override
    def write(self, writer: BitWriter, body: DraftTree) -> None:
        writer.write(body.depth, bits_for(len(self.branching) + 1))
        for node in body.expanded:
            children = body.children(node)
            if count_bits := self._count_bits(body.depth_of(node)):
                writer.write(len(children) - 1, count_bits)
            for child in children:
                writer.write(body.tokens[child], self.id_bits)

    @override
    def read(self, reader: BitReader) -> DraftTree:
        tree = DraftTree.empty()
        frontier = [-1]
        for level in range(reader.read(bits_for(len(self.branching) + 1))):
            next_frontier: list[int] = []
            for node in frontier:
                count = reader.read(bits) + 1 if (bits := self._count_bits(level)) else self.branching[level]
                next_frontier += tree.expand(node, self.unknown, [reader.read(self.id_bits) for _ in range(count)])
            frontier = next_frontier
        return tree

    def _count_bits(self, level: int) -> int:
        return bits_for(self.branching[level]) if self.may_run_short else 0

    def bits(self, body: DraftTree) -> int:
        """Closed form of the encoded length before padding to bytes."""
        counts = sum(self._count_bits(body.depth_of(node)) for node in body.expanded)
        return bits_for(len(self.branching) + 1) + counts + len(body.tokens) * self.id_bits

    @override
    def extra_bits(self, body: DraftTree, wire_vocab_size: int) -> int:
        return len(body.tokens) * (bits_for(wire_vocab_size) - self.id_bits)
