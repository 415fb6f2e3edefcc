"""Top-K sparse logits transmission with its optimal draft length and its switch (TK-SLT, arXiv 2509.04576)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated, Any, Literal

from pydantic import Field

from sim.core.settings import Settings
from sim.decoding.controllers.odld import Odld, OdldSettings
from sim.decoding.core.controller import Controller, Controls
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.messages import DraftLayout, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol, Step
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule

PROBABILITY_BITS = 16


class TkSltSettings(Settings):
    """Keys of ``tk_slt``."""

    top_k: int = Field(default=320, ge=1)
    """Entries of each row that are sent, in half precision."""
    draft_length: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = "auto"
    """Tokens drafted per round (gamma), or `auto`: ODLD by Lambert's W, and no drafting where it cannot pay (AS2)."""
    max_draft_length: int = Field(default=16, ge=1, le=64)
    """Longest draft that auto may choose."""
    accounting: Literal["published", "honest"] = "honest"
    """Charge the link gamma K 16 bits and nothing for indices, ids and verdicts, as published; or what is sent."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Auto: acceptance rate (alpha) assumed before the first round, worth four tested positions."""
    prior_load: float = Field(default=0.1, gt=0)
    """Auto: load (L = b + c) assumed while clock or channel have nothing to report."""
    standalone_tokens: int = Field(default=8, ge=1, le=1024)
    """Auto: tokens that the target decodes alone before the device looks again."""

    @property
    def own_controller(self) -> OdldSettings:
        """ODLD and AS2 as this protocol's keys set them."""
        return OdldSettings(
            max_draft_length=self.max_draft_length,
            prior_acceptance=self.prior_acceptance,
            prior_load=self.prior_load,
            standalone_tokens=self.standalone_tokens,
        )


def looks_at_the_clock(settings: TkSltSettings) -> bool:
    """Whether the draft length follows clock and channel."""
    return settings.draft_length == "auto"


def controls_unless_auto(settings: TkSltSettings) -> tuple[str, ...]:
    """The controls: with ``auto`` the protocol adjusts them itself."""
    return () if settings.draft_length == "auto" else ("draft_length", "top_k", "speculation")


@protocol(
    "tk_slt",
    TkSltSettings,
    lossless=True,
    adaptive=looks_at_the_clock,
    controls=controls_unless_auto,
    source="arXiv 2509.04576",
)
def tk_slt(request: Request, settings: TkSltSettings, rng: RandomSource) -> Protocol:
    """Top-K sparse logits transmission: optimal draft length by Lambert's W, speculation off when it cannot pay."""
    controller: Controller = request.controller
    start = Controls.chain(1 if settings.draft_length == "auto" else settings.draft_length, settings.top_k)
    if settings.draft_length == "auto":
        controller = Odld(settings.own_controller, row_bits=published_bits(settings.top_k, request))
    upper_bound = controller.upper_bound(start)
    row_format = RowFormat(top_k=settings.top_k, values="fp16", index="fixed")
    codec = RowCodec(request.vocab_size, row_format, varying_k="top_k" in controller.adjusts)
    exchange = Exchange(
        DraftLayout(codec, upper_bound.branching),
        controller.on_verdicts(request, VerdictLayout(request.vocab_size, upper_bound.draft_length)),
        find_rule("single", "iid", 1),
    )

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft = yield from draft_chain(
            request, controls.draft_length, codec.cut_to(controls.top_k), rng, for_verify=True
        )
        charged: tuple[int, ...] = ()
        if settings.accounting == "published":
            charged = (len(draft.tokens) * published_bits(controls.top_k, request), 0)
        yield from exchange.verified(request, draft, rng, *charged)

    yield from speculative_rounds(request, start, one_round, rng, ask=exchange.ask, controller=controller)


def published_bits(top_k: int | None, request: Request) -> int:
    """Bits of one row as the publication counts them: its values alone."""
    return min(top_k or request.wire_vocab_size, request.wire_vocab_size) * PROBABILITY_BITS
