"""Greedy multi-draft verification: all candidates but the last are the draft's best (Hu et al., arXiv 2502.18779)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, residual
from sim.decoding.verification.base import RULES, Choice, Rule, proposal_of


@RULES.register("greedy_multi")
class GreedyMulti(Rule):
    """Single-draft rejection of the sampled candidate; a correction that lands on a deterministic one accepts it."""

    exact_for = frozenset({"top_k_plus_sample"})

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        *best, sampled = candidates
        proposal = q.without(best)
        if proposal is None:
            raise ValueError(f"candidate {sampled} has no probability in the row it was drawn from")
        if rng.bernoulli(p.prob(sampled) / proposal_of(proposal, sampled)):
            return Choice(len(best), sampled)
        token = rng.categorical(residual(p, proposal))
        return Choice(best.index(token) if token in best else None, token)
