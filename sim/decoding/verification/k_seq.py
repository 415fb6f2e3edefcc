"""K-SEQ: sequential selection among independent candidates with one inflated ratio (SpecTr, arXiv 2310.15141)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Probabilities, Row
from sim.decoding.verification.base import RULES, Choice, Rule, proposal_of


@RULES.register("k_seq")
class KSeq(Rule):
    """Accept each candidate in turn with probability min(1, p/(r q)), r the smallest ratio that leaves a residual."""

    exact_for = frozenset({"iid"})

    @override
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        dense = p.dense()
        inside = dense if q.ids is None else dense[q.ids]
        ratio = inflation(inside, q.probs, len(candidates))
        for index, token in enumerate(candidates):
            if rng.bernoulli(p.prob(token) / (ratio * proposal_of(q, token))):
                return Choice(index, token)
        taken = np.minimum(q.probs, inside / ratio)
        beta = taken.sum()
        rest = dense.copy()
        if beta > 0:
            rest[slice(None) if q.ids is None else q.ids] -= taken * ((1 - (1 - beta) ** len(candidates)) / beta)
        np.maximum(rest, 0.0, out=rest)
        total = rest.sum()
        return Choice(None, rng.categorical(Row(p.vocab_size, rest / total) if total > 0 else p))


def inflation(p: Probabilities, q: Probabilities, candidates: int) -> float:
    """R in [1, candidates] with 1 - (1 - beta)^k = r beta, beta(r) = sum_x min(q, p/r) (ibid., section 5).

    Args:
        p: Target probabilities on the draft's support.
        q: Draft probabilities on it.
        candidates: k.
    """

    def excess(ratio: float) -> float:
        beta = float(np.minimum(q, p / ratio).sum())
        return 1 - (1 - beta) ** candidates - ratio * beta

    low, high = 1.0, float(candidates)
    at_low, at_high = excess(low), excess(high)
    if candidates == 1 or at_low <= 0:
        return low
    if at_high >= 0:
        return high
    # Secant and bisection in turn: fast where the excess is straight, sure where it is not. An excess of e moves the
    # output distribution by no more than e.
    for step in range(110):
        ratio = (low * at_high - high * at_low) / (at_high - at_low) if step % 2 == 0 else (low + high) / 2
        here = excess(ratio)
        if abs(here) < 1e-15 or high - low < 1e-15 * high:
            break
        if here > 0:
            low, at_low = ratio, here
        else:
            high, at_high = ratio, here
    return ratio
