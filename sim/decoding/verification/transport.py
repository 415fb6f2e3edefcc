"""Optimal transport from a set of candidates to the target: which candidate to put to the test, so most pass it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import combinations, permutations
from math import comb

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sim.core.errors import InputError
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Ids, Probabilities, Row

# A cut costs one pass over the borders still possible, and a draw may need as many cuts as there are borders.
MAX_BORDERS = 256

# A linear programme with this many candidate sets takes some tens of milliseconds, as much as a forward.
MAX_SETS = 1024


class Selection(ABC):
    """Chooses one of the candidates; its output distribution is known exactly.

    With the best choice, an ordinary single-draft test of the chosen candidate against ``row`` accepts as often as
    any lossless verifier of these candidates can (Khisti et al., arXiv 2410.18234, canonical form).

    Attributes:
        row: Distribution of the chosen candidate's token, over the draw of the candidates.
    """

    row: Row

    @abstractmethod
    def select(self, candidates: Sequence[int], rng: RandomSource) -> int:
        """Index of the chosen candidate."""


class IndependentSelection(Selection):
    """The optimum for k independent candidates, any k, in O(K log K) for K tokens with draft probability.

    Tokens are ranked by p/q. A choice is a random cut of the ranking into classes: the highest class that has a
    candidate wins, and within it the first candidate drawn. One cut gives the distribution whose cumulative mass, seen
    over the cumulative draft mass Q, interpolates f = Q^k linearly between the class borders. Any convex T >= f is a
    mixture of such cuts (extreme points of majorised monotone functions: Kleiner, Moldovanu, Strack, Econometrica
    2021), found here interval by interval: mix in as much of the uncut interval as leaves T >= f, which makes T
    touch f somewhere, and cut there. The T taken is the one closest to the target: P + max(f - P) over lower
    ranks up to the peak of f - P, over higher ranks beyond it; its overlap with p is 1 - max(f - P), the optimum.

    Of more than ``MAX_BORDERS`` borders between ranks only that many are used, spread over ranks and mass: still
    exact in distribution, since it is that of the T so coarsened, and short of the optimum by what p/q varies between
    neighbouring borders.

    Args:
        p: The target's row.
        q: The row that the candidates were drawn from.
        candidates: k.
    """

    def __init__(self, p: Row, q: Row, candidates: int) -> None:
        ids, proposal = _support(q)
        target = p.dense()[ids]
        order = np.argsort(target / proposal, kind="stable")
        self._ids = ids
        self._rank = np.empty_like(order)
        self._rank[order] = np.arange(len(order))
        draft_mass = _cumulative(proposal[order])
        draft_mass /= draft_mass[-1]
        target_mass = _cumulative(target[order])
        excess = draft_mass**candidates - target_mass
        peak = int(np.argmax(excess))
        lift = np.concatenate(
            [np.maximum.accumulate(excess[: peak + 1]), np.maximum.accumulate(excess[:peak:-1])[::-1]]
        )
        self._borders = _spread(draft_mass, peak)
        self._draft_mass = draft_mass[self._borders]
        self._floor = self._draft_mass**candidates
        self._mass = (target_mass + lift)[self._borders]
        density = np.maximum(np.diff(self._mass), 0.0) / np.diff(self._draft_mass)
        chosen = np.repeat(density, np.diff(self._borders)) * np.diff(draft_mass)
        self.row = Row(p.vocab_size, chosen[self._rank], ids)

    @override
    def select(self, candidates: Sequence[int], rng: RandomSource) -> int:
        ranks = self._rank[self._ids.searchsorted(np.asarray(candidates))]
        top = int(np.searchsorted(self._borders, ranks.max(), side="right")) - 1
        first_rank = self._borders[self._class_start(top, rng)]
        return int(np.argmax(ranks >= first_rank))

    def _class_start(self, top: int, rng: RandomSource) -> int:
        """Border below the class that holds the ranks after border ``top``, in a cut drawn at random."""
        low, high = 0, len(self._borders) - 1
        mass = self._mass
        while high - low > 1:
            x, floor = self._draft_mass[low : high + 1], self._floor[low : high + 1]
            chord = floor[0] + (floor[-1] - floor[0]) * ((x - x[0]) / (x[-1] - x[0]))
            room = chord[1:-1] - floor[1:-1]
            gap = mass[1:-1] - floor[1:-1]
            share = np.divide(gap, room, out=np.ones_like(gap), where=room > 0)
            uncut = min(1.0, max(0.0, float(share.min())))
            if rng.bernoulli(uncut):
                return low
            touching = low + 1 + np.flatnonzero(share <= uncut)
            below, above = touching[touching <= top], touching[touching > top]
            rest = (mass - uncut * chord) / (1 - uncut)
            start, stop = below[-1] if len(below) else low, above[0] if len(above) else high
            mass = rest[start - low : stop - low + 1]
            low, high = int(start), int(stop)
        return low


class DistinctSelection(Selection):
    """The optimum for k candidates drawn one after another without replacement, by a linear programme over all sets.

    Whatever the solver's tolerance, the choice's distribution is computed from the choice probabilities themselves.

    Args:
        p: The target's row.
        q: The row that the candidates were drawn from.
        candidates: k.

    Raises:
        InputError: More than ``MAX_SETS`` sets of candidates are possible.
    """

    def __init__(self, p: Row, q: Row, candidates: int) -> None:
        self._ids, proposal = _support(q)
        self._vocab_size = p.vocab_size
        size = min(candidates, len(self._ids))
        if problem := too_many_sets(len(self._ids), size):
            raise InputError(problem)
        sets = np.array(list(combinations(range(len(self._ids)), size)))
        chances = set_probabilities(proposal, sets)
        flow = _best_flow(p.dense()[self._ids], sets, chances)
        flow += np.maximum(chances - flow.sum(axis=1), 0.0)[:, None] / size + np.finfo(float).tiny
        self._shares = flow / flow.sum(axis=1, keepdims=True)
        self._place = {members: index for index, members in enumerate(map(tuple, sets.tolist()))}
        chosen = np.zeros(len(self._ids))
        np.add.at(chosen, sets, self._shares * chances[:, None])
        self.row = Row(p.vocab_size, chosen, self._ids)

    @override
    def select(self, candidates: Sequence[int], rng: RandomSource) -> int:
        members = sorted(self._ids.searchsorted(np.asarray(candidates)).tolist())
        shares = self._shares[self._place[tuple(members)]]
        return list(candidates).index(rng.categorical(Row(self._vocab_size, shares, self._ids[members])))


def too_many_sets(num_tokens: int, candidates: int) -> str | None:
    """Says so where so many candidates out of so many tokens make more than ``MAX_SETS`` sets, else None."""
    num_sets = comb(num_tokens, min(candidates, num_tokens))
    if num_sets <= MAX_SETS:
        return None
    return (
        f"optimal transport without replacement handles up to {MAX_SETS} sets of candidates; {candidates} out of "
        f"{num_tokens} tokens make {num_sets}: lower top_k, or draw iid"
    )


def set_probabilities(q: Probabilities, sets: npt.NDArray[np.int64]) -> Probabilities:
    """Probability of each set of tokens under sequential draws without replacement, summed over draw orders.

    Args:
        q: Probabilities of the tokens, [n].
        sets: Distinct members of each set, [num_sets, k]; k = n is the one set of all tokens.
    """
    total = np.zeros(len(sets))
    for order in permutations(range(sets.shape[1])):
        left = np.tile(q, (len(sets), 1))
        chance = np.ones(len(sets))
        for member in order:
            tokens = sets[:, member]
            # Summed afresh: one minus what was drawn would lose the digits of a row with one dominant token.
            chance *= q[tokens] / left.sum(axis=1)
            left[np.arange(len(sets)), tokens] = 0.0
        total += chance
    return total


def _best_flow(target: Probabilities, sets: npt.NDArray[np.int64], chances: Probabilities) -> npt.NDArray[np.float64]:
    """Mass [num_sets, k] from sets to their members, as much as sets and target can carry."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, vstack

    num_sets, size = sets.shape
    edges = np.arange(num_sets * size)
    out_of = coo_array((np.ones(len(edges)), (edges // size, edges)))
    into = coo_array((np.ones(len(edges)), (sets.ravel(), edges)), shape=(len(target), len(edges)))
    limits = vstack([out_of, into])
    solved = linprog(-np.ones(len(edges)), A_ub=limits, b_ub=np.concatenate([chances, target]), method="highs")  # type: ignore[call-overload]
    if not solved.success:
        raise RuntimeError(f"the transport programme was not solved: {solved.message}")
    flow: npt.NDArray[np.float64] = np.maximum(solved.x, 0.0).reshape(num_sets, size)
    return flow


def _spread(draft_mass: Probabilities, peak: int) -> Ids:
    """Borders used: both ends, the peak, and others spread evenly over ranks and draft mass together."""
    last = len(draft_mass) - 1
    if last <= MAX_BORDERS:
        return np.arange(last + 1)
    place = draft_mass + np.arange(last + 1) / last
    wanted = np.searchsorted(place, np.linspace(0.0, place[-1], MAX_BORDERS - 1))
    return np.unique(np.concatenate([np.minimum(wanted, last), [0, peak, last]]))


def _support(q: Row) -> tuple[Ids, Probabilities]:
    in_support = np.flatnonzero(q.probs > 0)
    return (in_support if q.ids is None else q.ids[in_support]), q.probs[in_support]


def _cumulative(values: Probabilities) -> Probabilities:
    return np.concatenate([[0.0], np.cumsum(values)])
