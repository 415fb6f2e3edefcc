"""Enumerative coding of subsets: which k of n things, as one integer below C(n, k) (Cover 1973)."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
import numpy.typing as npt

from sim.decoding.core.wire.bits import bits_for

Members = npt.NDArray[np.int64]

# Ranking one member at a time costs one binomial each; walking down all n costs n cheap updates. Where they meet
# was measured at n = 8,192.
_WALK_FROM = 400


@lru_cache(maxsize=4096)
def subset_bits(n: int, k: int) -> int:
    """ceil(log2 C(n, k)), the width of a subset's rank."""
    return bits_for(comb(n, k))


def rank_subset(members: Members, n: int) -> int:
    """Rank of a subset of 0..n-1 given by its members in ascending order: sum_i C(member_i, i + 1)."""
    subset = tuple(members.tolist())
    k = len(subset)
    rank = _rank_by_walk(subset, n) if k > _WALK_FROM else sum(comb(c, i + 1) for i, c in enumerate(subset))
    _unrank.prime((rank, n, k), subset)
    return rank


def unrank_subset(rank: int, n: int, k: int) -> Members:
    """Members [k], ascending, of the subset of 0..n-1 with this rank.

    Raises:
        ValueError: No such subset.
    """
    return np.array(_unrank((rank, n, k)), dtype=np.int64)


def _rank_by_walk(subset: tuple[int, ...], n: int) -> int:
    """Walk c = n-1 .. 0 with binomial = C(c, left), updated by one small factor a step."""
    left = len(subset)
    rank = 0
    place = left - 1
    binomial = comb(n - 1, left) if n else 0
    for c in range(n - 1, -1, -1):
        if place >= 0 and subset[place] == c:
            rank += binomial
            place -= 1
            # C(c, left) -> C(c - 1, left - 1)
            binomial = binomial * left // c if binomial else _restart(c - 1, left - 1)
            left -= 1
        else:
            # C(c, left) -> C(c - 1, left)
            binomial = binomial * (c - left) // c if c else 0
        if left == 0:
            break
    return rank


def _restart(c: int, left: int) -> int:
    return comb(c, left) if c >= 0 else 0


def _unrank_by_walk(rank: int, n: int, k: int) -> tuple[int, ...]:
    if not 0 <= rank < comb(n, k):
        raise ValueError(f"{rank} is no subset of {k} out of {n}")
    left, members = k, []
    binomial = comb(n - 1, left) if n else 0
    for c in range(n - 1, -1, -1):
        if left == 0:
            break
        if rank >= binomial:
            members.append(c)
            rank -= binomial
            binomial = binomial * left // c if binomial else _restart(c - 1, left - 1)
            left -= 1
        else:
            binomial = binomial * (c - left) // c if c else 0
    return tuple(reversed(members))


class _Memo:
    """Subsets by rank; caches the subset that was ranked last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[tuple[int, int, int], tuple[int, ...]] = {}

    def prime(self, key: tuple[int, int, int], members: tuple[int, ...]) -> None:
        if len(self._known) >= self._size:
            self._known.clear()
        self._known[key] = members

    def __call__(self, key: tuple[int, int, int]) -> tuple[int, ...]:
        members = self._known.get(key)
        return members if members is not None else _unrank_by_walk(*key)


_unrank = _Memo(256)
