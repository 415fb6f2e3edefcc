"""Distributed split speculative decoding: the edge tests, the device corrects (DSSD, arXiv 2507.12000)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.messages import Layout, Message, VerdictBody
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row, residual
from sim.decoding.core.rows_down import LogitsLayout
from sim.decoding.core.steps import Hop, Location, Protocol, Step, Transmit
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.round import TargetRows, finish_round
from sim.decoding.verification.split import (
    ScalarDraftLayout,
    ScalarSettings,
    SplitVerdict,
    SplitVerdictLayout,
    count_accepted,
    with_metrics,
)
from sim.models.interface import Logits

SendHint = Callable[[Any], Transmit]
"""The edge's next message to the device about the rejected position; the result is a ``SplitVerdict``."""

Resample = Callable[[SendHint, Logits, Row, int], Generator[Step, Any, int]]
"""Agree on a token of norm(max(0, p - q)), given the target's logits, the device's row q, and the position."""


@protocol("dssd", ScalarSettings, lossless=True, controls=("draft_length", "speculation"), source="arXiv 2507.12000")
def dssd(request: Request, settings: ScalarSettings, rng: RandomSource) -> Protocol:
    """Distributed split speculative decoding: ids and scalars up, a full target row down on rejection only."""
    whole_row = LogitsLayout(request.vocab_size, request.sampling)
    yield from device_corrects(request, settings, rng, whole_row, resample_at_device(rng))


def resample_at_device(rng: RandomSource) -> Resample:
    """The edge sends its row, the device subtracts its own and draws."""

    def resample(send_hint: SendHint, logits: Logits, q: Row, position: int) -> Generator[Step, Any, int]:
        received_verdict = yield send_hint(logits)
        return rng.at("verify", position).categorical(residual(received_verdict.correction_info, q))

    return resample


def device_corrects(
    request: Request, settings: ScalarSettings, rng: RandomSource, correction_layout: Layout, resample: Resample
) -> Protocol:
    """Rounds in which the device keeps its rows and draws the correction itself.

    Args:
        request: The text so far.
        settings: Draft length and the device's value format.
        rng: Random source.
        correction_layout: What the edge may say about a rejected position.
        resample: How a rejection ends.
    """
    codec = settings.codec(request.vocab_size)
    start = Controls.chain(settings.draft_length)
    longest = request.controller.upper_bound(start).draft_length
    draft_layout = ScalarDraftLayout(codec, longest)
    verdict_layout = request.controller.on_verdicts(
        request, SplitVerdictLayout(request.vocab_size, longest, correction_layout)
    )
    pending_correction: int | None = None  # the device's own correction, which the edge has not heard of yet

    def ask() -> Message:
        nonlocal pending_correction
        message = draft_layout((DraftTree.empty(), pending_correction))
        pending_correction = None
        return message

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        nonlocal pending_correction
        draft = yield from draft_chain(request, controls.draft_length, codec, rng)
        received = yield Transmit(
            Hop.UPLINK, draft_layout((draft, pending_correction), tokens_at_stake=draft.depth + 1)
        )
        logits = yield request.forward(Location.EDGE, "target", received.tokens)
        rows = TargetRows(request, logits)
        accepted = count_accepted(rows, received, request.position, rng)
        position = request.position + accepted
        if accepted == len(received.tokens):
            bonus = rng.at("verify", position).categorical(rows.after(accepted - 1))
            received_verdict = yield Transmit(Hop.DOWNLINK, verdict_layout(SplitVerdict(accepted, bonus)))
            token, pending_correction = received_verdict.token, None
        else:

            def send_hint(correction_info: Any) -> Transmit:
                return Transmit(Hop.DOWNLINK, verdict_layout(SplitVerdict(accepted, correction_info=correction_info)))

            q = draft.row_after(accepted - 1).row
            token = pending_correction = yield from resample(send_hint, logits[accepted], q, position)
        body = VerdictBody(accepted - 1, token)
        yield finish_round(request, draft, body, with_metrics(rows, draft, body))

    yield from speculative_rounds(request, start, one_round, rng, ask=ask)
