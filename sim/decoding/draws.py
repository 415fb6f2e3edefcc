"""Luck: the two verbs through which all decoding code draws, and the source that addresses it by purpose and place."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np
import numpy.typing as npt

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
        self._flips = 0
        self._picks = 0

    def at(self, purpose: str, *address: int) -> AddressedDraw:
        return AddressedDraw(*self._path, purpose, *address)

    def flip(self, probability: float) -> bool:
        block, place = divmod(self._flips, _FLIPS_AT_ONCE)
        self._flips += 1
        return bool(_uniforms((*self._path, "flip", block))[place] < probability)

    def pick(self, row: Row) -> int:
        noise = _exponentials((*self._path, "pick", self._picks), row.vocab_size)
        self._picks += 1
        return race(row, noise)


def race(row: Row, noise: Probabilities) -> int:
    """The token that finishes first when token x takes noise[x] / row(x), noise exponential and positive [vocab_size].

    Written as the largest row(x) / noise[x], where a probability of zero needs no case of its own.
    """
    if row.ids is None:
        return int((row.probs / noise).argmax())
    return int(row.ids[(row.probs / noise[row.ids]).argmax()])


Path = tuple[int | str, ...]

_FLIPS_AT_ONCE = 8

# A draw of exactly zero, one in 2^53, would win any race.
_SMALLEST = np.finfo(np.float64).tiny


class _Stream(threading.local):
    """One Philox generator per thread, set to the start of whatever stream is asked for.

    Making a generator takes ten times as long as setting its state.
    """

    def __init__(self) -> None:
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state

    def start(self, path: Path) -> np.random.Generator:
        """The generator at the start of the stream of this path; to be used before the next call."""
        digest = hashlib.blake2b(repr(path).encode(), digest_size=16).digest()
        self._state["state"]["key"] = np.frombuffer(digest, dtype="<u8")
        self._philox.state = self._state
        return self._generator


_stream = _Stream()


@lru_cache(maxsize=64)
def _uniforms(path: Path) -> npt.NDArray[np.float64]:
    return _stream.start(path).random(_FLIPS_AT_ONCE)


@lru_cache(maxsize=64)
def _exponentials(path: Path, count: int) -> Probabilities:
    noise = _stream.start(path).standard_exponential(count)
    np.maximum(noise, _SMALLEST, out=noise)
    noise.setflags(write=False)
    return noise
