"""Target rows on the downlink: bit for bit as logits, or rounded and truncated as coded rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sim.decoding.core.messages import Layout
from sim.decoding.core.rows import Row, Sampling
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import RowCodec
from sim.decoding.core.wire.row_layout import RowLayout
from sim.models.interface import Logits


class LogitsLayout(Layout):
    """One position's logits as the target computed them, 32 or 64 bits each; the device makes the same row of them.

    A row of the edge's float64 probabilities would need 64 bits a value to arrive exactly; the logits that it was
    computed from are single precision with the usual models, so half of that is enough.

    Args:
        vocab_size: Width of the vocabulary.
        sampling: How logits become the row, at both ends.
    """

    kind = "logits"

    def __init__(self, vocab_size: int, sampling: Sampling) -> None:
        self.vocab_size = vocab_size
        self.sampling = sampling

    @override
    def write(self, writer: BitWriter, body: npt.NDArray[np.floating]) -> None:
        wide = body.dtype.itemsize > 4
        writer.write(wide, 1)
        # Big-endian words in order: a double is its high word, then its low word.
        words = body.astype(">f8" if wide else ">f4").view(">u4")
        writer.write_array(words, 32)

    @override
    def read(self, reader: BitReader) -> Row:
        wide = reader.read(1)
        words = reader.read_array(self.vocab_size * (2 if wide else 1), 32).astype(">u4")
        if wide:
            return self.sampling.row(words.view(">f8").astype(np.float64))
        return self.sampling.row(words.view(">f4").astype(np.float32))

    def bits(self, body: Logits) -> int:
        """Closed form of what ``write`` writes."""
        return 1 + self.vocab_size * (64 if body.dtype.itemsize > 4 else 32)

    @override
    def extra_bits(self, body: Logits, wire_vocab_size: int) -> int:
        return (wire_vocab_size - self.vocab_size) * (64 if body.dtype.itemsize > 4 else 32)


class CodedRowLayout(RowLayout):
    """One position's target row, truncated and rounded: what arrives is not quite what the edge tests with.

    Args:
        codec: Truncates and rounds.
        sampling: How logits become the row.
    """

    def __init__(self, codec: RowCodec, sampling: Sampling) -> None:
        super().__init__(codec)
        self.sampling = sampling

    @override
    def write(self, writer: BitWriter, body: npt.NDArray[np.floating]) -> None:
        super().write(writer, self.codec.code(self.sampling.row(body)))

    @override
    def read(self, reader: BitReader) -> Row:
        row: Row = super().read(reader).row
        return row

    def bits(self, k: int) -> int:
        """Closed form of what ``write`` writes for a row of k entries."""
        return self.codec.row_bits(k)

    @override
    def extra_bits(self, body: Logits, wire_vocab_size: int) -> int:
        fixed = self.codec.fixed_k
        k = fixed if fixed is not None else len(self.codec.keep(self.sampling.row(body).dense()))
        return self.codec.extra_bits(k, wire_vocab_size)
