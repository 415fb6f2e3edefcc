"""A payload model of drafters that are fed with the target's hidden states (EAGLE-3, arXiv 2503.01840; DFlash).

Such a drafter at the device needs the target's hidden states of every token that was accepted, which come down with
each verdict. No trained head is at hand, so this is a model and no scheme: the draft model stands for the head's time,
acceptance is drawn from a stated profile, and what is accepted stays in the text whatever the target says of it. Times,
bits and energy mean something; the text does not.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from pydantic import Field, field_validator
from typing_extensions import override

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.ids_drafts import IdsLayout
from sim.decoding.core.messages import Layout, Message, VerdictBody, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Hop, Location, Protocol, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import UncodedRows
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.round import TargetRows, finish_round
from sim.decoding.verification.split import with_metrics


class FeatureDraftSettings(ChainSettings):
    """Keys of ``feature_draft``."""

    acceptance: list[float] = Field(default=[0.8], min_length=1, max_length=64)
    """Stated acceptance rate of each drafted position, given that those before it were accepted; the last one holds for
    all further positions."""
    hidden_size: int = Field(default=576, ge=0, le=100_000)
    """Entries of a hidden state of the modelled target: 576 in SmolLM2-135M, 4096 in a 7B Llama."""
    layers_sent: int = Field(default=1, ge=1, le=128)
    """Layers whose hidden states come down for each token: EAGLE takes one, EAGLE-3 fuses three."""
    hidden_bits: int = Field(default=16, ge=1, le=32)
    """Bits per entry."""

    @field_validator("acceptance")
    @classmethod
    def _probabilities(cls, acceptance: list[float]) -> list[float]:
        if not all(0 <= alpha <= 1 for alpha in acceptance):
            raise ValueError(f"acceptance must lie in 0..1, got {acceptance}")
        return acceptance

    def alpha(self, position: int) -> float:
        """Acceptance rate of a drafted position."""
        return self.acceptance[min(position, len(self.acceptance) - 1)]


@protocol(
    "feature_draft",
    FeatureDraftSettings,
    lossless=False,
    controls=("draft_length", "speculation"),
    source="a model after arXiv 2503.01840",
)
def feature_draft(request: Request, settings: FeatureDraftSettings, rng: RandomSource) -> Protocol:
    """Hidden states down each round (a payload model, lossy: accepted by a stated profile, not by the target)."""
    start = Controls.chain(settings.draft_length)
    longest = request.controller.upper_bound(start).draft_length
    codec = UncodedRows(request.vocab_size)
    draft_layout = IdsLayout(request.vocab_size, (1,) * longest)
    verdicts = FeatureLayout(VerdictLayout(request.vocab_size, longest), settings)
    verdict_layout = request.controller.on_verdicts(request, verdicts)

    def ask() -> Message:
        return draft_layout(DraftTree.empty())

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft = yield from draft_chain(request, controls.draft_length, codec, rng)
        received = yield Transmit(Hop.UPLINK, draft_layout(draft, tokens_at_stake=draft.depth + 1))
        logits = yield request.forward(Location.EDGE, "target", received.block)
        rows, accepted = TargetRows(request, logits), 0
        while accepted < received.depth and passes(request, settings, accepted, rng):
            accepted += 1
        token = rng.at("verify", request.position + accepted).categorical(rows.after(accepted - 1))
        verdict = yield Transmit(Hop.DOWNLINK, verdict_layout(VerdictBody(accepted - 1, token)))
        yield finish_round(request, draft, verdict, with_metrics(rows, draft, verdict))

    yield from speculative_rounds(request, start, one_round, rng, ask=ask)


def passes(request: Request, settings: FeatureDraftSettings, position: int, rng: RandomSource) -> bool:
    """Whether a drafted position is accepted, by the profile alone."""
    return rng.at("profile", request.position + position).bernoulli(settings.alpha(position))


class FeatureLayout(Layout):
    """A verdict, and behind it the hidden states of the accepted tokens and of the text's last one, as zeros.

    The token that the target adds has no hidden state yet.

    Args:
        verdict_layout: Writes the verdict.
        settings: Say how large a hidden state is.
    """

    kind = "verdict"

    def __init__(self, verdict_layout: VerdictLayout, settings: FeatureDraftSettings) -> None:
        self.verdict_layout = verdict_layout
        self.bits = settings.hidden_bits
        self.entries = settings.hidden_size * settings.layers_sent

    def num_entries(self, body: VerdictBody) -> int:
        """Entries of all hidden states that come with a verdict."""
        return (body.last_accepted + 2) * self.entries

    @override
    def write(self, writer: BitWriter, body: VerdictBody) -> None:
        self.verdict_layout.write(writer, body)
        writer.write_array(np.zeros(self.num_entries(body), dtype=np.int64), self.bits)

    @override
    def read(self, reader: BitReader) -> VerdictBody:
        body = self.verdict_layout.read(reader)
        reader.read_array(self.num_entries(body), self.bits)
        return body

    @override
    def measure(self, body: VerdictBody) -> tuple[int, VerdictBody]:
        bits, received = self.verdict_layout.measure(body)
        return bits + self.num_entries(body) * self.bits, received

    @override
    def extra_bits(self, body: VerdictBody, wire_vocab_size: int) -> int:
        return self.verdict_layout.extra_bits(body, wire_vocab_size)
