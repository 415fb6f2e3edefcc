"""Top-K sparse logits transmission with its optimal draft length and its switch (TK-SLT, arXiv 2509.04576)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated, Any, Literal

from pydantic import Field

from sim.decoding.drafting import DraftTree, draft_chain
from sim.decoding.draws import Draw
from sim.decoding.messages import DraftLayout, TokensLayout, VerdictLayout
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.prompt import send_prompt
from sim.decoding.protocols.registry import protocol
from sim.decoding.request import Request
from sim.decoding.rules.base import find_rule
from sim.decoding.steps import Hop, Observation, Observe, Protocol, Site, Step, Stream, Transmit
from sim.decoding.verification import finish_round
from sim.decoding.wire.row_codec import RowCodec, RowFormat
from sim.settings import Settings

PROBABILITY_BITS = 16
PRIOR_POSITIONS = 4  # tested positions that the prior acceptance weighs as much as


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
    def longest(self) -> int:
        """Longest draft."""
        return self.max_draft_length if self.draft_length == "auto" else self.draft_length


def looks_at_the_clock(settings: TkSltSettings) -> bool:
    """Whether the draft length follows clock and channel."""
    return settings.draft_length == "auto"


@protocol("tk_slt", TkSltSettings, lossless=True, adaptive=looks_at_the_clock, source="arXiv 2509.04576")
def tk_slt(request: Request, settings: TkSltSettings, draw: Draw) -> Protocol:
    """Top-K sparse logits transmission: optimal draft length by Lambert's W, speculation off when it cannot pay."""
    codec = RowCodec(request.vocab_size, RowFormat(top_k=settings.top_k, values="fp16", index="fixed"))
    exchange = Exchange(
        DraftLayout(codec, [1] * settings.longest),
        VerdictLayout(request.vocab_size, settings.longest),
        find_rule("single", "iid", 1),
    )
    published_bits = min(settings.top_k, request.vocab_size) * PROBABILITY_BITS
    estimates = Estimates(settings, published_bits)
    yield from send_prompt(request)
    while not request.finished:
        length = settings.draft_length
        if length == "auto":
            estimates.learn((yield Observe()))
            length = estimates.draft_length(request)
        if length == 0:
            yield from standalone(request, exchange, settings.standalone_tokens, draw)
            continue
        draft = yield from draft_chain(request, length, codec, draw)
        charged: tuple[int, ...] = ()
        if settings.accounting == "published":
            charged = (len(draft.tokens) * published_bits, 0)
        said, verdict = yield from exchange.round_trip(request, draft, draw, *charged)
        yield finish_round(request, draft, said, verdict)


class Estimates:
    """Running means of alpha, b and c (Algorithm 2), from past rounds, the clock and the channel report.

    Args:
        settings: Priors.
        row_bits: Bits of one row as the publication counts them.
    """

    def __init__(self, settings: TkSltSettings, row_bits: int) -> None:
        self._settings = settings
        self._row_bits = row_bits
        self._loads: list[float] = []

    def learn(self, seen: Observation) -> None:
        """Take one look at b = T_V / T_LLM and c = T_SLM / T_LLM (eq. 5); incomplete ones teach nothing."""
        if seen.uplink_bps and seen.target_forward_s and seen.draft_token_s is not None:
            row_s = self._row_bits / seen.uplink_bps
            self._loads.append((row_s + seen.draft_token_s) / seen.target_forward_s)

    @property
    def load(self) -> float:
        """L = b + c."""
        return sum(self._loads) / len(self._loads) if self._loads else self._settings.prior_load

    def acceptance_rate(self, request: Request) -> float:
        """alpha as a ratio of sums over the request's rounds, the prior among them; always between 0 and 1."""
        tested = sum(this.tested for this in request.rounds)
        accepted = sum(this.accepted for this in request.rounds)
        return (accepted + PRIOR_POSITIONS * self._settings.prior_acceptance) / (tested + PRIOR_POSITIONS)

    def draft_length(self, request: Request) -> int:
        """Algorithms 1 and 2: the optimal draft length, 0 to leave it to the target."""
        from sim.decoding.theory import tk_slt_optimal_draft_length

        best = tk_slt_optimal_draft_length(self.acceptance_rate(request), self.load)
        return min(best, self._settings.max_draft_length)


def standalone(request: Request, exchange: Exchange, num_tokens: int, draw: Draw) -> Generator[Step, Any, None]:
    """The target decodes alone for a while; an empty draft asks it to, and the device goes on at the last token."""
    token_layout = TokensLayout("token", request.vocab_size, max_tokens=1)
    yield Transmit(Hop.UPLINK, exchange.draft_layout(DraftTree.empty()))
    for left in reversed(range(num_tokens)):
        logits = yield request.forward(Site.EDGE, "target")
        token = draw.at("verify", request.position).pick(request.sampling.row(logits[0]))
        if left == 0:
            yield Transmit(Hop.DOWNLINK, token_layout([token]))
            yield request.emit([token])
            return
        yield Stream(Hop.DOWNLINK, token_layout([token]), request.emit([token]).round)
        if request.finished:
            return
