"""Ids only, target first: the target draws each token, and the draft was right or wrong (as in MCNS and SpecEdge)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

from sim.decoding.core.controller import Controls
from sim.decoding.core.drafting import draft_tree
from sim.decoding.core.ids_drafts import IdsLayout
from sim.decoding.core.messages import VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol, Step
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.registry import TreeSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import Rule, find_rule


class MatchSettings(TreeSettings):
    """Keys of ``match``."""

    draw: Literal["iid", "without_replacement", "top_k", "top_k_plus_sample"] = "top_k"
    """How candidates are drawn; with the rows kept at the device the most probable ones match most often."""


@protocol(
    "match",
    MatchSettings,
    lossless=True,
    controls=("draft_length", "candidates", "speculation"),
    source="arXiv 2505.17052",
)
def match(request: Request, settings: MatchSettings, rng: RandomSource) -> Protocol:
    """Target-first matching: token ids up, the target's own draws down; no probabilities in either direction."""
    start = Controls(tuple(settings.branching))
    rule = find_rule("target_first", settings.draw, max(request.controller.upper_bound(start).branching))
    yield from ids_only(request, start, settings.draw, rule, rng)


def ids_only(request: Request, start: Controls, mode: str, rule: Rule, rng: RandomSource) -> Protocol:
    """Rounds that send ids and verify them with a rule that needs no draft row."""
    controller = request.controller
    upper_bound = controller.upper_bound(start)
    # The rows stay at the device, in single precision.
    codec = RowCodec(request.vocab_size, RowFormat(values="fp32"))
    exchange = Exchange(
        IdsLayout(request.vocab_size, upper_bound.branching, may_run_short=max(upper_bound.branching) > 1),
        controller.on_verdicts(request, VerdictLayout(request.vocab_size, upper_bound.num_nodes)),
        rule,
    )

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft = yield from draft_tree(request, controls.branching, codec, rng, mode)
        yield from exchange.verified(request, draft, rng)

    yield from speculative_rounds(request, start, one_round, rng, ask=exchange.ask)
