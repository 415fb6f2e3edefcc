"""Rows cut to the fewest entries that keep them close, their tail refilled evenly at the other end (CU-HLM)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sim.decoding.core.messages import Layout
from sim.decoding.core.rows import Ids, Row, largest
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec, RowFormat

TAIL_BITS = 8
NO_TAIL = 255


class ClosestCutCodec(RowCodec):
    """Keeps the smallest number of most probable tokens for which the refilled row is within a total variation.

    Values are 8-bit logarithms and ids have fixed width, as published (arXiv 2505.11788).

    Args:
        vocab_size: Width of the vocabulary.
        max_deviation: Largest total variation between a row and what is rebuilt of it, rounding apart.
    """

    def __init__(self, vocab_size: int, max_deviation: float) -> None:
        super().__init__(vocab_size, RowFormat(values="log8", index="fixed"))
        self.fixed_k = None
        self.max_deviation = max_deviation

    @override
    def keep(self, dense: npt.NDArray[np.float64]) -> Ids:
        enough = refill_deviations(dense) <= self.max_deviation
        return largest(dense, int(np.argmax(enough)) + 1)


def refill_deviations(dense: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Total variation between a row and the one that keeps its k largest entries and levels the rest, [k - 1]."""
    vocab_size = len(dense)
    falling = np.sort(dense)[::-1]
    sums = np.concatenate([[0.0], np.cumsum(falling)])
    k = np.arange(1, vocab_size)
    levels = (sums[-1] - sums[k]) / (vocab_size - k)
    above = np.maximum(np.searchsorted(-falling, -levels, side="left"), k)
    deviations = (sums[above] - sums[k]) - (above - k) * levels
    return np.append(np.maximum(deviations, 0.0), 0.0)


class RefilledRowLayout(Layout):
    """A cut row and one byte for the mass of its tail, which the reader spreads evenly over the tokens not sent."""

    kind = "row"

    def __init__(self, codec: RowCodec) -> None:
        self.codec = codec

    @override
    def write(self, writer: BitWriter, body: CodedRow) -> None:
        self.codec.write(writer, body)
        tail = body.tail_mass
        writer.write(NO_TAIL if tail <= 0 else min(NO_TAIL, round(-8 * np.log2(tail))), TAIL_BITS)

    @override
    def read(self, reader: BitReader) -> Row:
        coded = self.codec.read(reader)
        code = reader.read(TAIL_BITS)
        others = self.codec.vocab_size - len(coded.ids)
        tail = 0.0 if code == NO_TAIL or others == 0 else 2 ** (-code / 8)
        dense = np.full(self.codec.vocab_size, tail / max(1, others))
        dense[coded.ids] = (1 - tail) * coded.row.probs
        return Row.dense_row(dense)

    def bits(self, k: int) -> int:
        """Closed form of what ``write`` writes for a row of k entries."""
        return self.codec.row_bits(k) + TAIL_BITS

    @override
    def extra_bits(self, body: CodedRow, wire_vocab_size: int) -> int:
        return self.codec.extra_bits(len(body.ids), wire_vocab_size)
