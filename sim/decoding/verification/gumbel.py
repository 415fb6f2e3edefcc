"""Gumbel coupling: draft and target pick with the same noise (Daliri, Musco, Suresh, arXiv 2408.07978)."""

from __future__ import annotations

from sim.decoding.verification.base import RULES
from sim.decoding.verification.target_first import TargetFirst


@RULES.register("gumbel")
class Gumbel(TargetFirst):
    """Target-first matching of a candidate that was picked with the target's own noise: few bits, high agreement."""

    exact_for = frozenset({"shared_noise"})
    max_candidates = 1
