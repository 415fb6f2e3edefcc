"""Addressed randomness of the air: a generator is a pure function of (seed, purpose, entity, position)."""

from __future__ import annotations

import hashlib

import numpy as np


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
