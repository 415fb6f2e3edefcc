"""Optimal transport: the highest acceptance any lossless verifier can reach (SpecTr; Khisti et al.; Hu et al.)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, residual
from sim.decoding.verification.base import RULES, Choice, Rule, proposal_of
from sim.decoding.verification.transport import DistinctSelection, IndependentSelection, Selection, too_many_sets


@RULES.register("optimal")
class Optimal(Rule):
    """Choose the candidate to test by the optimal transport plan, then test it alone (arXiv 2410.18234, 2502.18779).

    Independent draws have no limit; draws without replacement are refused where the plan would be too large
    (``sim.decoding.verification.transport.MAX_SETS``).
    """

    exact_for = frozenset({"iid", "without_replacement"})

    def __init__(self, mode: str | None = None) -> None:
        super().__init__(mode)
        self._latest: tuple[Row, Row, int, Selection] | None = None

    @classmethod
    @override
    def too_long(cls, mode: str, candidates: int, row_length: int) -> str | None:
        return too_many_sets(row_length, candidates) if mode == "without_replacement" else None

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        for token in candidates:
            proposal_of(q, token)
        coupling = self._coupling(p, q, len(candidates))
        index = coupling.select(candidates, rng)
        token = candidates[index]
        if rng.bernoulli(p.prob(token) / proposal_of(coupling.row, token)):
            return Choice(index, token)
        return Choice(None, rng.categorical(residual(p, coupling.row)))

    def _coupling(self, p: Row, q: Row, count: int) -> Selection:
        """The plan of this pair of rows; the latest is kept, for enumeration asks again and again."""
        latest = self._latest
        if latest is not None and latest[0] is p and latest[1] is q and latest[2] == count:
            return latest[3]
        kind = DistinctSelection if self.mode == "without_replacement" else IndependentSelection
        coupling = kind(p, q, count)
        self._latest = (p, q, count, coupling)
        return coupling
