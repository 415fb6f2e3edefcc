"""Recursive rejection of independent candidates (SpecInfer, arXiv 2305.09781, multi-step speculative sampling)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, residual
from sim.decoding.verification.base import RULES, Choice, Rule, proposal_of


@RULES.register("recursive")
class Recursive(Rule):
    """Test candidates one by one; after each rejection the target becomes norm(max(0, t - q))."""

    exact_for = frozenset({"iid"})

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        target = p
        for index, token in enumerate(candidates):
            if rng.bernoulli(target.prob(token) / proposal_of(q, token)):
                return Choice(index, token)
            target = residual(target, q)
        return Choice(None, rng.categorical(target))
