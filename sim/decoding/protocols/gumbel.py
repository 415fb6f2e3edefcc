"""Gumbel coupling: device and edge pick with the same noise, so ids alone suffice (arXiv 2408.07978).

The noise is keyed by seed, request and position, known to both ends without a message. The text is the target's own
pick at every position, hence a function of seed and target only: no draft model, draft length, loss or deadline can
change it, and ``edge_only`` under the same seed emits the same text.
"""

from __future__ import annotations

from sim.decoding.core.controller import Controls
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol
from sim.decoding.protocols.match import ids_only
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.verification.base import find_rule


@protocol("gumbel", ChainSettings, lossless=True, controls=("draft_length", "speculation"), source="arXiv 2408.07978")
def gumbel(request: Request, settings: ChainSettings, rng: RandomSource) -> Protocol:
    """Gumbel coupling by shared noise: token ids up, and a text that depends on seed and target alone."""
    start = Controls.chain(settings.draft_length)
    yield from ids_only(request, start, "shared_noise", find_rule("gumbel", "shared_noise", 1), rng)
