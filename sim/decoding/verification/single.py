"""Single-draft rejection (Leviathan et al., arXiv 2211.17192, Alg. 1; Chen et al., arXiv 2302.01318, Alg. 2)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, residual
from sim.decoding.verification.base import RULES, Choice, Rule, proposal_of


@RULES.register("single")
class Single(Rule):
    """Accept the one candidate x with probability min(1, p(x)/q(x)), else correct from norm(max(0, p - q))."""

    exact_for = frozenset({"iid", "without_replacement", "top_k_plus_sample"})
    max_candidates = 1

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        (token,) = candidates
        if rng.bernoulli(p.prob(token) / proposal_of(q, token)):
            return Choice(0, token)
        return Choice(None, rng.categorical(residual(p, q)))
