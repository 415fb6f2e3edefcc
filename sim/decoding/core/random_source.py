"""Random sources: the two verbs through which all decoding code draws, and numbers keyed by purpose and place."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np
from typing_extensions import override

from sim.decoding.core.rows import Ids, Probabilities, Row


class RandomSource(ABC):
    """A random source at one address.

    Drafting, sampling and verification draw only through ``flip`` and ``pick``, so that the very code that runs in
    production can be enumerated branch by branch (``sim.decoding.analysis.exact``).
    """

    @abstractmethod
    def at(self, purpose: str, *address: int) -> RandomSource:
        """The source at an address of its own below this one, the same whenever it is asked for."""

    @abstractmethod
    def bernoulli(self, probability: float) -> bool:
        """True with this probability; successive flips at one address are independent."""

    @abstractmethod
    def categorical(self, row: Row) -> int:
        """A token id drawn from a row; successive picks at one address are independent."""


class KeyedRandom(RandomSource):
    """Counter-based random numbers keyed by seed, entity, purpose and position: nothing is consumed, nothing shifts.

    Picks are exponential races, argmin over x of E_x / row(x), which is the Gumbel-max trick: two rows that are picked
    from at the same address share their noise, and rounding in the last bits of a row hardly ever moves the outcome.
    The noise of a token is a function of the address and the token id, so that a sparse row costs only its support.

    Args:
        path: Seed and whatever names this place.
    """

    __slots__ = ("_flips", "_path", "_picks")

    def __init__(self, *path: int | str) -> None:
        self._path = path
        self._flips = 0
        self._picks = 0

    @override
    def at(self, purpose: str, *address: int) -> KeyedRandom:
        return KeyedRandom(*self._path, purpose, *address)

    @override
    def bernoulli(self, probability: float) -> bool:
        uniform = uniform_at((*self._path, "flip", self._flips))
        self._flips += 1
        return bool(uniform < probability)

    @override
    def categorical(self, row: Row) -> int:
        path = (*self._path, "pick", self._picks)
        self._picks += 1
        if row.ids is None:
            return first_finisher(row.probs, _all_uniforms(path, row.vocab_size))
        return int(row.ids[(row.probs / exponentials(uniforms(path, row.ids))).argmax()])


Path = tuple[int | str, ...]

_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_DROPPED = np.uint64(12)


def uniform_at(path: Path) -> float:
    """One uniform in [0, 1), a function of the address alone."""
    start, _ = _keys(path)
    return (start >> 11) * 2.0**-53


def uniforms(path: Path, ids: Ids) -> Probabilities:
    """Uniforms of some token ids at an address, [len(ids)], inside (0, 1); each a function of (address, id) alone.

    Counter-based: element ``id`` of the SplitMix64 sequence (Steele, Lea and Flood, OOPSLA 2014, with the finaliser
    "Mix13" of Stafford) whose start and odd increment are the address's BLAKE2b hash; its upper 52 bits.
    """
    start, increment = _keys(path)
    values = ids.astype(np.uint64)
    values *= np.uint64(increment | 1)
    values += np.uint64(start)
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        values ^= values >> shift
        values *= multiplier
    values ^= values >> _SHIFTS[-1]
    values >>= _DROPPED
    # The middle of one of 2^52 equal cells.
    places = values.astype(np.float64)
    places += 0.5
    places *= 2.0**-52
    return places


def exponentials(uniform: Probabilities) -> Probabilities:
    """Unit exponentials from uniforms inside (0, 1), increasing in them; positive."""
    return np.negative(np.log1p(np.negative(uniform)))


def first_finisher(probs: Probabilities, uniform: Probabilities) -> int:
    """Argmax of probs / exponentials(uniform), with logarithms of those few tokens that may win.

    u <= -log(1 - u) <= u / (1 - u), so that token x's score lies between p/u - p and p/u.
    """
    above = probs / uniform
    below = above - probs
    contenders = (above >= below.max()).nonzero()[0]
    scores = probs[contenders] / exponentials(uniform[contenders])
    return int(contenders[scores.argmax()])


def _keys(path: Path) -> tuple[int, int]:
    digest = hashlib.blake2b(repr(path).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


@lru_cache(maxsize=256)
def _all_uniforms(path: Path, count: int) -> Probabilities:
    found = uniforms(path, _all_ids(count))
    found.setflags(write=False)
    return found


@lru_cache(maxsize=4)
def _all_ids(count: int) -> Ids:
    return np.arange(count)
