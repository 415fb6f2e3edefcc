"""Truncated sparse logits transmission: truncate the draft's rows, then sample, then send (TSLT, arXiv 2512.16273)."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from sim.decoding.drafting import draft_tree
from sim.decoding.draws import Draw
from sim.decoding.messages import DraftLayout, VerdictLayout
from sim.decoding.protocols.prompt import send_prompt
from sim.decoding.protocols.registry import TreeSettings, protocol
from sim.decoding.request import Request
from sim.decoding.rules.base import find_rule
from sim.decoding.steps import Hop, Protocol, Transmit
from sim.decoding.verification import finish_round, target_rows, verify
from sim.decoding.wire.row_codec import RowCodec, RowFormat


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
        find_rule(self.rule_name, self.draw, max(self.branching))
        return self

    @property
    def rule_name(self) -> str:
        """The rule, with the default filled in."""
        if self.rule is not None:
            return self.rule
        return "single" if max(self.branching) == 1 else "recursive_without_replacement"


@protocol("tslt", TsltSettings, lossless=True, source="arXiv 2512.16273")
def tslt(request: Request, settings: TsltSettings, draw: Draw) -> Protocol:
    """Truncated sparse logits transmission: truncate, then sample; chains or token trees of several candidates."""
    codec = RowCodec(request.vocab_size, settings)
    rule = find_rule(settings.rule_name, settings.draw, max(settings.branching))
    draft_layout = DraftLayout(codec, settings.branching, may_run_short=settings.draw != "iid")
    verdict_layout = VerdictLayout(request.vocab_size, settings.num_nodes)
    yield from send_prompt(request)
    while not request.finished:
        draft = yield from draft_tree(request, settings.branching, codec, draw, settings.draw)
        received = yield Transmit(Hop.UPLINK, draft_layout(draft, tokens_at_stake=draft.depth + 1))
        rows = yield from target_rows(request, received)
        verdict = verify(rows, received, rule, request.position, draw)
        said = yield Transmit(Hop.DOWNLINK, verdict_layout(verdict.body))
        yield finish_round(request, draft, said, verdict)
