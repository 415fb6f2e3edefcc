"""Luck: the two verbs through which all decoding code draws, and the source that addresses it by purpose and place."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np

from sim.decoding.rows import Probabilities, Row


class Draw(ABC):
    """A source of luck at one address.

    Drafting, sampling and verification draw only through ``flip`` and ``pick``, so that the very code that runs in
    production can be enumerated branch by branch (``sim.decoding.exact``).
    """

    @abstractmethod
    def at(self, purpose: str, *address: int) -> Draw:
        """The luck at a place of its own below this one, the same whenever it is asked for."""

    @abstractmethod
    def flip(self, probability: float) -> bool:
        """True with this probability; successive flips at one address are independent."""

    @abstractmethod
    def pick(self, row: Row) -> int:
        """A token id drawn from a row; successive picks at one address are independent."""


class AddressedDraw(Draw):
    """Counter-based luck (Philox) keyed by seed, entity, purpose and position: nothing is consumed, nothing shifts.

    Picks are exponential races, argmin over x of E_x / row(x), which is the Gumbel-max trick: two rows that are picked
    from at the same address share their noise, and rounding in the last bits of a row hardly ever moves the outcome.

    Args:
        path: Seed and whatever names this place.
    """

    __slots__ = ("_flips", "_path", "_picks")

    def __init__(self, *path: int | str) -> None:
        self._path = path
        self._flips: np.random.Generator | None = None
        self._picks = 0

    def at(self, purpose: str, *address: int) -> AddressedDraw:
        return AddressedDraw(*self._path, purpose, *address)

    def flip(self, probability: float) -> bool:
        if self._flips is None:
            self._flips = np.random.Generator(np.random.Philox(key=_key((*self._path, "flip"))))
        return bool(self._flips.random() < probability)

    def pick(self, row: Row) -> int:
        noise = _exponentials((*self._path, "pick", self._picks), row.vocab_size)
        self._picks += 1
        return race(row, noise)


def race(row: Row, noise: Probabilities) -> int:
    """The token that finishes first when token x takes noise[x] / row(x), noise exponential [vocab_size]."""
    if row.ids is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            times = noise / row.probs
        return int(np.argmin(np.where(row.probs > 0, times, np.inf)))
    alive = row.probs > 0
    ids = row.ids[alive]
    return int(ids[np.argmin(noise[ids] / row.probs[alive])])


def _key(path: tuple[int | str, ...]) -> int:
    digest = hashlib.blake2b(repr(path).encode(), digest_size=16).digest()
    return int.from_bytes(digest, "little")


@lru_cache(maxsize=64)
def _exponentials(path: tuple[int | str, ...], count: int) -> Probabilities:
    noise = np.random.Generator(np.random.Philox(key=_key(path))).standard_exponential(count)
    noise.setflags(write=False)
    return noise
