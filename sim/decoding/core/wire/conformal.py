"""Rows cut at a probability threshold that learns, by online conformal prediction, to drop a given mass on average."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sim.decoding.core.rows import Ids, Row, largest
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec, RowFormat


class ConformalCodec(RowCodec):
    """Keeps the tokens whose probability reaches a threshold beta; sends how many there are.

    After each row that dropped the mass m, beta moves by step * (target - m), so that the long-run mean of m tends to
    the target whatever the rows are (Gibbs and Candes, arXiv 2106.00170). The set follows from the row and from past
    rows only, never from what is drawn from it.

    Args:
        vocab_size: Width of the vocabulary.
        row_format: Value format and index code; ``top_k`` caps the set.
        dropped_mass: Target of the mean dropped mass.
        step: Learning rate.
        threshold: Where beta starts.
    """

    def __init__(
        self, vocab_size: int, row_format: RowFormat, dropped_mass: float, step: float, threshold: float
    ) -> None:
        super().__init__(vocab_size, row_format)
        self.fixed_k = None
        self.dropped_mass = dropped_mass
        self.step = step
        self.threshold = threshold

    @override
    def keep(self, dense: npt.NDArray[np.float64]) -> Ids:
        above = int(np.count_nonzero(dense >= self.threshold)) if self.threshold > 0 else self.vocab_size
        return largest(dense, min(max(above, 1), self.keep_k))

    @override
    def code(self, q: Row) -> CodedRow:
        coded = super().code(q)
        self.threshold += self.step * (self.dropped_mass - coded.tail_mass)
        return coded
