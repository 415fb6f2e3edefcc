"""Target-first matching: the target draws, and the draft is right or wrong (MCNS; SpecEdge, arXiv 2505.17052)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row
from sim.decoding.verification.base import MODES, RULES, Choice, Rule


@RULES.register("target_first")
class TargetFirst(Rule):
    """Draw y from p and accept the candidate that equals it; exact whatever the candidates, and q is not needed."""

    exact_for = frozenset(MODES)

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        token = rng.categorical(p)
        return Choice(list(candidates).index(token) if token in candidates else None, token)
