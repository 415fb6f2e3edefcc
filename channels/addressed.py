"""Addressed randomness of the air: a generator is a pure function of (seed, purpose, entity, position)."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def generator(seed: int, purpose: str, *address: int | str) -> np.random.Generator:
    """A Philox generator keyed by the whole address, so that no draw ever shifts another's.

    Args:
        seed: the run's master seed.
        purpose: what the draws are for, e.g. "fading".
        address: which entity and position, e.g. a site and a device index.
    """
    text = "\x1f".join([str(int(seed)), purpose, *(str(part) for part in address)])
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014); overwrites its argument."""
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def uniforms(
    seed: int, purpose: str, *address: int | str, entities: npt.ArrayLike, count: int
) -> npt.NDArray[np.float64]:
    """The first `count` uniform numbers in [0, 1) of each of many entities, without a generator each.

    The n-th number of an entity is a function of (seed, purpose, address, entity, n) alone: two rounds of SplitMix64
    over a BLAKE2b key.

    Args:
        seed, purpose, address: as in `generator`.
        entities: whose numbers, >= 0, [num_entities].
        count: numbers of each.

    Returns:
        [num_entities, count].
    """
    text = "\x1f".join([str(int(seed)), purpose, *(str(part) for part in address)])
    key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8).digest(), dtype="<u8")[0].astype(np.uint64)
    who = np.asarray(entities, dtype=np.uint64).reshape(-1, 1)
    streams = _mixed((who + np.uint64(1)) * _GOLDEN + key)
    numbers = _mixed(streams + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)
    return np.asarray((numbers >> np.uint64(11)) * 2.0**-53)
