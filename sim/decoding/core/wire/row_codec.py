"""The row codec: truncate, quantise, encode; and the one function by which both ends rebuild the very same row."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.core.rows import Ids, Row, largest, nucleus
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.subsets import rank_subset, subset_bits, unrank_subset

Codes = npt.NDArray[np.int64]
Values = Literal["fp32", "fp16", "log8", "lattice"]
Index = Literal["auto", "fixed", "bitmap", "enumerative"]

_VALUE_WIDTH = {"fp32": 32, "fp16": 16, "log8": 8}
_LOG8_ZERO = 255


class RowFormat(Settings):
    """What of a row crosses the air, and in which bits."""

    top_k: int | None = Field(default=None, ge=1)
    """Send the k most probable tokens only; the draft is drawn from what is sent."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Send the smallest set of tokens that holds this probability mass only; not together with top_k."""
    values: Values = "fp16"
    """Value format: IEEE single, IEEE half, 8-bit logarithmic (1/8 octave), or counts on an integer lattice."""
    index: Index = "auto"
    """Index code: fixed-width ids, bitmap, enumerative, or whichever of them is smallest."""
    lattice_levels: int = Field(default=1023, ge=1, le=65535)
    """Sum of the integer counts when values is lattice."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedRow:
    """A row as integers: what is written to the wire, and the row that they stand for.

    Attributes:
        ids: Ascending token ids sent, [k].
        codes: Their value codes, [k].
        row: The row that either end rebuilds from ids and codes; drafts are drawn from it.
        tail_mass: Probability that the truncation dropped, where the sender knows it, else nan.
    """

    ids: Ids
    codes: Codes
    row: Row
    tail_mass: float = float("nan")


class RowCodec:
    """Codes rows of one vocabulary in one format.

    Args:
        vocab_size: Width of the vocabulary.
        row_format: Truncation, value format and index code.
        varying_k: Whether the number of entries changes from round to round, so that each row says its own.
    """

    def __init__(self, vocab_size: int, row_format: RowFormat, varying_k: bool = False) -> None:
        if row_format.top_k is not None and row_format.top_p is not None:
            raise ValueError("top_k and top_p of a row cannot both be set")
        self.vocab_size = vocab_size
        self.format = row_format
        self.keep_k = vocab_size
        self._row_bits: dict[int, int] = {}
        self._row_bits_elsewhere: dict[int, dict[int, int]] = {}  # by size of vocabulary
        self.fixed_k: int | None = None
        if row_format.top_p is None:
            self.keep_k = vocab_size if row_format.top_k is None else min(row_format.top_k, vocab_size)
            self.fixed_k = None if varying_k else self.keep_k

    def cut_to(self, top_k: int | None) -> RowCodec:
        """A codec that keeps this many entries and writes what this one can read; it must have been made varying."""
        if top_k == self.format.top_k:
            return self
        if self.fixed_k is not None:
            raise ValueError(f"rows of this codec have {self.fixed_k} entries at both ends, got {top_k}")
        return RowCodec(self.vocab_size, self.format.model_copy(update={"top_k": top_k}), varying_k=True)

    def code(self, q: Row) -> CodedRow:
        """Truncate and quantise a row; what comes back is what the other end will see."""
        dense = q.dense()
        ids = self.keep(dense)
        kept = dense[ids]
        mass = float(kept.sum())
        codes = self._quantise(kept / mass)
        return CodedRow(ids, codes, self.rebuild(ids, codes), max(0.0, 1.0 - mass))

    def keep(self, dense: npt.NDArray[np.float64]) -> Ids:
        """Ids to send of a row [vocab_size], ascending, at least one."""
        if self.format.top_p is not None:
            return nucleus(dense, self.format.top_p)
        return largest(dense, self.keep_k)

    def rebuild(self, ids: Ids, codes: Codes) -> Row:
        """The row that ids and codes stand for; the same float64 operations in the same order at both ends."""
        match self.format.values:
            case "fp32":
                weights = codes.astype(np.uint32).view(np.float32).astype(np.float64)
            case "fp16":
                weights = codes.astype(np.uint16).view(np.float16).astype(np.float64)
            case "log8":
                weights = np.where(codes == _LOG8_ZERO, 0.0, np.exp2(-codes / 8.0))
            case "lattice":
                weights = codes.astype(np.float64)
        if len(ids) == self.vocab_size:
            return Row(self.vocab_size, weights / weights.sum())
        return Row.sparse_row(self.vocab_size, ids, weights)

    def _quantise(self, probs: npt.NDArray[np.float64]) -> Codes:
        match self.format.values:
            case "fp32":
                return probs.astype(np.float32).view(np.uint32).astype(np.int64)
            case "fp16":
                return probs.astype(np.float16).view(np.uint16).astype(np.int64)
            case "log8":
                with np.errstate(divide="ignore"):
                    eighths = np.rint(-8.0 * np.log2(probs))
                return np.where(eighths >= _LOG8_ZERO, _LOG8_ZERO, eighths).astype(np.int64)
            case "lattice":
                return lattice_counts(probs, self.format.lattice_levels)

    def write(self, writer: BitWriter, coded: CodedRow) -> None:
        """Append a coded row to a message."""
        k = len(coded.ids)
        if self.fixed_k is None:
            writer.write(k - 1, bits_for(self.vocab_size))
        self._write_ids(writer, coded.ids)
        if self.format.values == "lattice":
            levels = self.format.lattice_levels
            bars = np.cumsum(coded.codes[:-1]) + np.arange(k - 1)
            writer.write(_rank_bars(bars, levels, k), subset_bits(levels + k - 1, k - 1))
        else:
            writer.write_array(coded.codes, _VALUE_WIDTH[self.format.values])

    def read(self, reader: BitReader) -> CodedRow:
        """Read a coded row; its ``row`` equals the sender's bit for bit."""
        k = self.fixed_k if self.fixed_k is not None else reader.read(bits_for(self.vocab_size)) + 1
        ids = self._read_ids(reader, k)
        if self.format.values == "lattice":
            levels = self.format.lattice_levels
            bars = _unrank_bars(reader.read(subset_bits(levels + k - 1, k - 1)), levels, k)
            edges = np.concatenate([[-1], bars, [levels + k - 1]])
            codes = np.diff(edges) - 1
        else:
            codes = reader.read_array(k, _VALUE_WIDTH[self.format.values])
        return CodedRow(ids, codes, self.rebuild(ids, codes))

    def _write_ids(self, writer: BitWriter, ids: Ids) -> None:
        match self.index_code(len(ids)):
            case "fixed":
                writer.write_array(ids, bits_for(self.vocab_size))
            case "bitmap":
                present = np.zeros(self.vocab_size, dtype=np.int64)
                present[ids] = 1
                writer.write_array(present, 1)
            case "enumerative":
                writer.write(rank_subset(ids, self.vocab_size), subset_bits(self.vocab_size, len(ids)))

    def _read_ids(self, reader: BitReader, k: int) -> Ids:
        match self.index_code(k):
            case "none":
                return np.arange(self.vocab_size)
            case "fixed":
                return reader.read_array(k, bits_for(self.vocab_size))
            case "bitmap":
                return np.flatnonzero(reader.read_array(self.vocab_size, 1))
        return unrank_subset(reader.read(subset_bits(self.vocab_size, k)), self.vocab_size, k)

    def index_code(self, k: int) -> str:
        """Which index code a row of k entries uses; a row of the whole vocabulary needs none."""
        if k == self.vocab_size:
            return "none"
        if self.format.index != "auto":
            return self.format.index
        sizes = {code: self._index_bits(code, k) for code in ("fixed", "bitmap", "enumerative")}
        return min(sizes, key=lambda code: sizes[code])

    def _index_bits(self, code: str, k: int) -> int:
        match code:
            case "none":
                return 0
            case "fixed":
                return k * bits_for(self.vocab_size)
            case "bitmap":
                return self.vocab_size
        return subset_bits(self.vocab_size, k)

    def row_bits(self, k: int) -> int:
        """Closed form of what ``write`` writes for a row of k entries."""
        known = self._row_bits.get(k)
        if known is None:
            known = self._row_bits[k] = self._bits_of(k)
        return known

    def _bits_of(self, k: int) -> int:
        if self.format.values == "lattice":
            value_bits = subset_bits(self.format.lattice_levels + k - 1, k - 1)
        else:
            value_bits = k * _VALUE_WIDTH[self.format.values]
        size_bits = 0 if self.fixed_k is not None else bits_for(self.vocab_size)
        return size_bits + self._index_bits(self.index_code(k), k) + value_bits

    def entries_in(self, k: int, wire_vocab_size: int) -> int:
        """Entries that a row of k would have in a vocabulary of another size: all of it, if k is all of this one."""
        if k < self.vocab_size:
            return min(k, wire_vocab_size)
        return min(self.format.top_k or wire_vocab_size, wire_vocab_size)

    def extra_bits(self, k: int, wire_vocab_size: int) -> int:
        """Bits by which a row of k entries would be longer, or shorter, in a vocabulary of another size."""
        other = copy(self)
        other.vocab_size, other._row_bits = wire_vocab_size, self._row_bits_elsewhere.setdefault(wire_vocab_size, {})
        return other.row_bits(self.entries_in(k, wire_vocab_size)) - self.row_bits(k)


class UncodedRows(RowCodec):
    """Rows that never leave their machine's memory: nothing is cut, nothing rounded, nothing can be written.

    Args:
        vocab_size: Width of the vocabulary.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size, RowFormat(values="fp32"))
        self._ids = np.arange(vocab_size)
        self._no_codes = np.zeros(0, dtype=np.int64)

    def code(self, q: Row) -> CodedRow:
        """The row as it is."""
        return CodedRow(self._ids, self._no_codes, q, 0.0)

    @override
    def write(self, writer: BitWriter, coded: CodedRow) -> None:
        """Refuse: there is nothing to send."""
        raise TypeError("uncoded rows stay in memory; use a RowCodec for rows that are sent")

    @override
    def row_bits(self, k: int) -> int:
        """Refuse likewise."""
        raise TypeError("uncoded rows stay in memory; use a RowCodec for rows that are sent")


def lattice_counts(probs: npt.NDArray[np.float64], levels: int) -> Codes:
    """Integer counts that sum to ``levels`` and are nearest to ``levels * probs`` (largest remainders).

    The type quantiser of arXiv 2507.00605: the row on the lattice is counts / levels exactly.
    """
    scaled = probs * levels
    counts = np.floor(scaled).astype(np.int64)
    short = levels - int(counts.sum())
    if short > 0:
        counts[np.argsort(counts - scaled, kind="stable")[:short]] += 1
    elif short < 0:
        largest_counts = np.argsort(-counts, kind="stable")[:-short]
        counts[largest_counts] -= 1
    return counts


def _rank_bars(bars: npt.NDArray[np.int64], levels: int, k: int) -> int:
    """Rank of a composition of ``levels`` into k counts, given the places of its k - 1 bars among stars and bars.

    Bars and stars are complements, so the smaller of the two sets is ranked.
    """
    n = levels + k - 1
    if k - 1 <= levels:
        return rank_subset(bars, n)
    stars = np.setdiff1d(np.arange(n), bars, assume_unique=True)
    return rank_subset(stars, n)


def _unrank_bars(rank: int, levels: int, k: int) -> npt.NDArray[np.int64]:
    n = levels + k - 1
    if k - 1 <= levels:
        return unrank_subset(rank, n, k - 1)
    return np.setdiff1d(np.arange(n), unrank_subset(rank, n, levels), assume_unique=True)
