"""Lazy rows: ids and scalars up, and the device's row only for the position at which the target rejects.

The mirror of ``dssd``: there the edge sends its row and the device corrects; here the device sends the one row that the
correction needs, and the edge corrects. A rejection costs a second round trip; in exchange nothing long goes down.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pydantic import model_validator
from typing_extensions import override

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.messages import Layout, Message, VerdictBody, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import residual
from sim.decoding.core.steps import Hop, Location, Protocol, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec, RowFormat
from sim.decoding.core.wire.row_layout import RowLayout
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.round import TargetRows, finish_round
from sim.decoding.verification.split import ScalarDraftLayout, count_accepted, with_metrics


class LazyRowsSettings(ChainSettings, RowFormat):
    """Keys of ``lazy_rows``; the rows are those that the device drafts from, whole unless cut."""

    @model_validator(mode="after")
    def _one_cut(self) -> LazyRowsSettings:
        if self.top_k is not None and self.top_p is not None:
            raise ValueError("set top_k or top_p, not both")
        return self


def controls_of_rows(settings: LazyRowsSettings) -> tuple[str, ...]:
    """The controls: a number of entries per row can be adjusted unless a probability mass says where rows are cut."""
    return ("draft_length", *(() if settings.top_p is not None else ("top_k",)), "speculation")


@protocol("lazy_rows", LazyRowsSettings, lossless=True, controls=controls_of_rows, source="the mirror of 2507.12000")
def lazy_rows(request: Request, settings: LazyRowsSettings, rng: RandomSource) -> Protocol:
    """Lazy rows: ids and scalars up, the draft's row only for a rejected position; the edge corrects."""
    start = Controls.chain(settings.draft_length, settings.top_k)
    controller = request.controller
    longest = controller.upper_bound(start).draft_length
    codec = RowCodec(request.vocab_size, settings, varying_k="top_k" in controller.adjusts)
    draft_layout, wanted_layout = ScalarDraftLayout(codec, longest), WantedLayout(longest)
    verdict_layout = controller.on_verdicts(request, VerdictLayout(request.vocab_size, longest))

    def ask() -> Message:
        return draft_layout((DraftTree.empty(), None))

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft = yield from draft_chain(request, controls.draft_length, codec.cut_to(controls.top_k), rng)
        received = yield Transmit(Hop.UPLINK, draft_layout((draft, None), tokens_at_stake=draft.depth + 1))
        logits = yield request.forward(Location.EDGE, "target", received.tokens)
        rows = TargetRows(request, logits)
        accepted = count_accepted(rows, received, request.position, rng)
        last_row = rows.after(accepted - 1)
        if accepted < len(received.tokens):
            wanted = yield Transmit(Hop.DOWNLINK, wanted_layout(accepted))
            coded = yield Transmit(Hop.UPLINK, RowUpLayout(codec)(draft.row_after(wanted - 1)))
            last_row = residual(last_row, coded.row)
        token = rng.at("verify", request.position + accepted).categorical(last_row)
        verdict = yield Transmit(Hop.DOWNLINK, verdict_layout(VerdictBody(accepted - 1, token)))
        yield finish_round(request, draft, verdict, with_metrics(rows, draft, verdict))

    yield from speculative_rounds(request, start, one_round, rng, ask=ask)


class WantedLayout(Layout):
    """The position that was rejected, whose row the device is asked for.

    Args:
        max_tokens: Longest draft.
    """

    kind = "wanted"

    def __init__(self, max_tokens: int) -> None:
        self.position_bits = bits_for(max_tokens)

    @override
    def write(self, writer: BitWriter, body: int) -> None:
        writer.write(body, self.position_bits)

    @override
    def read(self, reader: BitReader) -> int:
        return reader.read(self.position_bits)

    @override
    def extra_bits(self, body: int, wire_vocab_size: int) -> int:
        return 0


class RowUpLayout(RowLayout):
    """The row of the device that the edge has asked for."""

    @override
    def measure(self, body: CodedRow) -> tuple[int, CodedRow]:
        return self.codec.row_bits(len(body.ids)), CodedRow(body.ids, body.codes, body.row)
