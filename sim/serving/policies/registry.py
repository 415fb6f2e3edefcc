"""The orders of service that YAML may name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.core.registry import Registry
from sim.serving.sequence import Batching, KeyOf, RankOf


@dataclass(frozen=True, slots=True)
class OrderOfService:
    """Who comes first.

    Attributes:
        key_of: Order of waiting jobs, smallest first.
        rank_of: Order of requests by which memory is taken away, the largest first.
        make_batching: Makes what chooses the drafts of a step; None where a step takes all that fit.
    """

    key_of: KeyOf
    rank_of: RankOf
    make_batching: Callable[[], Batching] | None = None


POLICIES: Registry[Callable[[], OrderOfService]] = Registry("policy", "sim.serving.policies")
