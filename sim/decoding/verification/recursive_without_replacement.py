"""Recursive rejection of distinct candidates (MCSD, arXiv 2401.06706; RSD-S, arXiv 2402.14160; Sequoia, 2402.12374)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, residual
from sim.decoding.verification.base import RULES, Choice, Rule, proposal_of


@RULES.register("recursive_without_replacement")
class RecursiveWithoutReplacement(Rule):
    """Test candidates in draw order, each against the draft's row less the candidates before it."""

    exact_for = frozenset({"without_replacement"})

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        target, proposal = p, q
        for index, token in enumerate(candidates):
            if rng.bernoulli(target.prob(token) / proposal_of(proposal, token)):
                return Choice(index, token)
            target = residual(target, proposal)
            rest = q.without(list(candidates[: index + 1]))
            if rest is None:
                break
            proposal = rest
        return Choice(None, rng.categorical(target))
