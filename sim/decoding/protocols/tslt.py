"""Truncated sparse logits transmission: truncate the draft's rows, then sample, then send (TSLT, arXiv 2512.16273)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

from pydantic import model_validator

from sim.decoding.core.controller import Controls
from sim.decoding.core.drafting import draft_tree
from sim.decoding.core.messages import DraftLayout, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol, Step
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.registry import TreeSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule


class TsltSettings(TreeSettings, RowFormat):
    """Keys of ``tslt``."""

    draw: Literal["iid", "without_replacement", "top_k", "top_k_plus_sample"] = "without_replacement"
    """How the candidates of a node are drawn from its truncated row."""
    rule: str | None = None
    """Verification rule; by default `single` for one candidate, `recursive_without_replacement` for several."""

    @model_validator(mode="after")
    def _sensible(self) -> TsltSettings:
        if self.top_k is not None and self.top_p is not None:
            raise ValueError("set top_k or top_p, not both")
        if self.top_k is not None and self.top_k < max(self.branching):
            raise ValueError(
                f"top_k {self.top_k} holds fewer tokens than the {max(self.branching)} candidates of a node"
            )
        find_rule(self.rule_for(max(self.branching)), self.draw, max(self.branching), self.top_k)
        return self

    def rule_for(self, candidates: int) -> str:
        """The rule for so many candidates, with the default filled in."""
        if self.rule is not None:
            return self.rule
        return "single" if candidates == 1 else "recursive_without_replacement"

    def row_length(self, top_k: int | None, vocab_size: int) -> int | None:
        """Most tokens of a row, None where a probability mass says where rows are cut."""
        return None if self.top_p is not None else min(top_k or vocab_size, vocab_size)

    @property
    def controls(self) -> Controls:
        """What a controller may adjust."""
        return Controls(tuple(self.branching), self.top_k)


def controls_of_rows(settings: TsltSettings) -> tuple[str, ...]:
    """The controls: a number of entries per row can be adjusted unless a probability mass says where rows are cut."""
    top_k = () if settings.top_p is not None else ("top_k",)
    return ("draft_length", "candidates", *top_k, "speculation")


@protocol("tslt", TsltSettings, lossless=True, controls=controls_of_rows, source="arXiv 2512.16273")
def tslt(request: Request, settings: TsltSettings, rng: RandomSource) -> Protocol:
    """Truncated sparse logits transmission: truncate, then sample; chains or token trees of several candidates."""
    controller = request.controller
    upper_bound = controller.upper_bound(settings.controls)
    codec = RowCodec(request.vocab_size, settings, varying_k="top_k" in controller.adjusts)
    width, row_length = max(upper_bound.branching), settings.row_length(upper_bound.top_k, request.vocab_size)
    rule = find_rule(settings.rule_for(width), settings.draw, width, row_length)
    varying_width = settings.draw != "iid" or "candidates" in controller.adjusts
    exchange = Exchange(
        DraftLayout(codec, upper_bound.branching, may_run_short=varying_width),
        controller.on_verdicts(request, VerdictLayout(request.vocab_size, upper_bound.num_nodes)),
        rule,
    )

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft = yield from draft_tree(
            request, controls.branching, codec.cut_to(controls.top_k), rng, settings.draw, for_verify=True
        )
        yield from exchange.verified(request, draft, rng)

    yield from speculative_rounds(request, settings.controls, one_round, rng, ask=exchange.ask)
