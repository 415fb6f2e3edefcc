"""Speculative decoding with both models at the edge (Leviathan et al., arXiv 2211.17192): only tokens on the air."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.decoding.core.controller import Controls
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.messages import TokensLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Hop, Location, Protocol, Step, Stream
from sim.decoding.core.wire.row_codec import UncodedRows
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import finish_round, target_rows, verify


@protocol(
    "colocated",
    ChainSettings,
    lossless=True,
    controls=("draft_length", "speculation"),
    sites={"draft": Location.EDGE, "target": Location.EDGE},
    source="arXiv 2211.17192",
)
def colocated(request: Request, settings: ChainSettings, rng: RandomSource) -> Protocol:
    """Speculative decoding where the server hosts the draft model too; each round's tokens stream down."""
    # Both models share a memory, so that rows never become a message.
    codec = UncodedRows(request.vocab_size)
    rule = find_rule("single", "iid", 1)
    start = Controls.chain(settings.draft_length)
    tokens_layout = TokensLayout("tokens", request.vocab_size, request.controller.upper_bound(start).draft_length + 1)

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft_length = controls.draft_length if controls.speculate else 0
        draft = yield from draft_chain(request, draft_length, codec, rng, Location.EDGE, for_verify=True)
        rows = yield from target_rows(request, draft)
        verdict = yield from verify(rows, draft, rule, request.position, rng)
        emitted = finish_round(request, draft, verdict.wire, verdict).round
        yield Stream(Hop.DOWNLINK, tokens_layout(emitted.tokens), emitted)

    yield from speculative_rounds(request, start, one_round, rng)
