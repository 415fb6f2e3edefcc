"""PicoSpec: the device drafts the next block while the last one is verified, and goes on without a bonus token.

arXiv 2603.19133. Up go ids and the probabilities that they were drawn with; down comes one bit as soon as a block is
accepted whole, for then the block that was drafted meanwhile is the right one. On a rejection the device stops drafting
ahead, gets the ten best entries of the target's row and draws the correction itself. A correction from a cut row is
lossy, whatever the publication says; ``picospec_exact`` sends the whole row, and is exact.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import always, draft_tree
from sim.decoding.core.messages import Layout, Message, VerdictBody
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import residual
from sim.decoding.core.rows_down import CodedRowLayout, LogitsLayout
from sim.decoding.core.steps import Drop, Hop, Join, Location, Protocol, Start, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat, Values
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.round import TargetRows, finish_round
from sim.decoding.verification.split import (
    ScalarDraft,
    ScalarDraftLayout,
    ScalarSettings,
    SplitVerdict,
    SplitVerdictLayout,
    count_accepted,
    with_metrics,
)


class AheadSettings(ScalarSettings):
    """Keys of ``picospec_exact``."""

    draft_ahead: bool = True
    """Whether the device drafts the next block while the last one is verified; the text is the same without."""


class PicospecSettings(AheadSettings):
    """Keys of ``picospec``."""

    down_top_k: int = Field(default=10, ge=1)
    """Entries of the target's row sent on a rejection."""
    down_values: Values = "fp16"
    """Value format of the target's row."""


@protocol(
    "picospec", PicospecSettings, lossless=False, controls=("draft_length", "speculation"), source="arXiv 2603.19133"
)
def picospec(request: Request, settings: PicospecSettings, rng: RandomSource) -> Protocol:
    """Drafting ahead, one bit down for a block accepted whole, ten entries of a row down else (lossy: cut residual)."""
    down = RowCodec(request.vocab_size, RowFormat(top_k=settings.down_top_k, values=settings.down_values))
    yield from drafting_ahead(request, settings, rng, CodedRowLayout(down, request.sampling))


@protocol(
    "picospec_exact", AheadSettings, lossless=True, controls=("draft_length", "speculation"), source="arXiv 2603.19133"
)
def picospec_exact(request: Request, settings: AheadSettings, rng: RandomSource) -> Protocol:
    """Drafting ahead as in PicoSpec, with the target's whole row down on a rejection."""
    yield from drafting_ahead(request, settings, rng, LogitsLayout(request.vocab_size, request.sampling))


def drafting_ahead(request: Request, settings: AheadSettings, rng: RandomSource, correction_layout: Layout) -> Protocol:
    """Blocks one behind the other while they are accepted whole.

    Args:
        request: The text so far.
        settings: Draft length, value format, and whether to draft ahead.
        rng: Random source.
        correction_layout: Writes the target's row for a rejected position.
    """
    codec = settings.codec(request.vocab_size)
    start = Controls.chain(settings.draft_length)
    longest = request.controller.upper_bound(start).draft_length
    draft_layout = ScalarDraftLayout(codec, longest)
    verdicts = SignalLayout(SplitVerdictLayout(request.vocab_size, longest, correction_layout))
    verdict_layout = request.controller.on_verdicts(request, verdicts)
    ahead: DraftTree | None = None
    pending_correction: int | None = None  # the device's own correction, which the edge has not heard of yet

    def draft_message(draft: DraftTree, stake: int) -> Message:
        nonlocal pending_correction
        message = draft_layout((draft, pending_correction), stake)
        pending_correction = None
        return message

    def next_block(after: Request, length: int) -> Generator[Step, Any, DraftTree]:
        return (yield from draft_tree(after, (1,) * length, codec, rng, keep_drafting=always))

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        nonlocal ahead, pending_correction
        draft = ahead if ahead is not None else (yield from next_block(request, controls.draft_length))
        ahead = None
        supposed = request.supposing(draft.tokens)
        goes_on = has_next_block(supposed, draft.tokens)
        started = None
        message = draft_message(draft, draft.depth + 1)
        if goes_on and settings.draft_ahead:
            started = yield Start(next_block(supposed, controls.draft_length))
        received = yield Transmit(Hop.UPLINK, message)
        rows = TargetRows(request, (yield request.forward(Location.EDGE, "target", received.tokens)))
        reached = edge_verdict(request, rows, received, rng)
        verdict = yield Transmit(Hop.DOWNLINK, verdict_layout(reached))
        if verdict is None:
            body = VerdictBody(draft.depth - 2, draft.tokens[-1])
            ahead = (yield Join(started)) if started is not None else None
        else:
            if started is not None:
                yield Drop(started)
            token = verdict.token
            if token is None:
                position_rng = rng.at("verify", request.position + verdict.accepted)
                q = draft.row_after(verdict.accepted - 1).row
                token = pending_correction = position_rng.categorical(residual(verdict.correction_info, q))
            body = VerdictBody(verdict.accepted - 1, token)
        metrics = with_metrics(rows, draft, body)
        yield finish_round(request, draft, body, metrics, token_was_drafted=verdict is None)

    yield from speculative_rounds(
        request,
        start,
        one_round,
        rng,
        ask=lambda: draft_message(DraftTree.empty(), 1),
        has_draft=lambda: ahead is not None,
    )


def has_next_block(supposed: Request, tokens: list[int]) -> bool:
    """Whether a block that is accepted whole is followed by another; else the target adds the bonus token."""
    return bool(tokens) and not supposed.finished and supposed.draft_limit(1) > 0


def edge_verdict(request: Request, rows: TargetRows, received: ScalarDraft, rng: RandomSource) -> SplitVerdict | None:
    """What the edge says of a block: None if it is accepted whole and another one follows."""
    accepted = count_accepted(rows, received, request.position, rng)
    if accepted < len(received.tokens):
        return SplitVerdict(accepted, correction_info=rows.logits_after(accepted - 1))
    if has_next_block(request.supposing(received.tokens), received.tokens):
        return None
    bonus = rng.at("verify", request.position + accepted).categorical(rows.after(accepted - 1))
    return SplitVerdict(accepted, bonus)


class SignalLayout(Layout):
    """One bit that says that the block was accepted whole and the next one may come; else the verdict.

    Args:
        verdict_layout: Writes the others.
    """

    kind = "verdict"

    def __init__(self, verdict_layout: SplitVerdictLayout) -> None:
        self.verdict_layout = verdict_layout

    @override
    def write(self, writer: BitWriter, body: SplitVerdict | None) -> None:
        writer.write(body is None, 1)
        if body is not None:
            self.verdict_layout.write(writer, body)

    @override
    def read(self, reader: BitReader) -> SplitVerdict | None:
        return None if reader.read(1) else self.verdict_layout.read(reader)

    @override
    def extra_bits(self, body: SplitVerdict | None, wire_vocab_size: int) -> int:
        return 0 if body is None else self.verdict_layout.extra_bits(body, wire_vocab_size)
