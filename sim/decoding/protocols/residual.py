"""Interactive residual: the edge sends tokens drawn from p, the device accepts each by its own q; no row is sent.

A proposal y drawn from p and accepted with probability max(0, 1 - q(y)/p(y)) follows norm(max(0, p - q)); a rejected
position needs 1/TV(p, q) proposals on average and occurs with probability TV(p, q), so one proposal per tested
position whatever the vocabulary. Messages grow geometrically, so that a rejection with a small TV costs its logarithm
in round trips. Giving up would be biased: after ``max_messages`` the whole row goes down instead.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.decoding.core.messages import Layout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row, residual
from sim.decoding.core.rows_down import LogitsLayout
from sim.decoding.core.steps import Hop, Protocol, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.protocols.dssd import Resample, SendHint, device_corrects
from sim.decoding.protocols.registry import protocol
from sim.decoding.verification.split import DOUBLE_BITS, MoreLayout, ScalarSettings, double_to_int, int_to_double
from sim.models.interface import Logits

MAX_PROPOSALS = 4096


class ResidualSettings(ScalarSettings):
    """Keys of ``residual``."""

    proposals: int = Field(default=1, ge=1, le=64)
    """Proposals in the first message; more of them save round trips and cost bits."""
    growth: int = Field(default=2, ge=1, le=4)
    """How many times as many each further message carries, up to 4096."""
    max_messages: int = Field(default=12, ge=1, le=64)
    """Messages with proposals before the whole row is sent instead."""

    def num_proposals(self, message: int) -> int:
        """Proposals in a position's message with this index."""
        return int(min(self.proposals * self.growth**message, MAX_PROPOSALS))


@protocol(
    "residual",
    ResidualSettings,
    lossless=True,
    controls=("draft_length", "speculation"),
    source="arXiv 2211.17192, Alg. 1, drawn by two parties",
)
def interactive_residual(request: Request, settings: ResidualSettings, rng: RandomSource) -> Protocol:
    """Interactive residual sampling: ids and scalars up, proposals from the target's row down, tens of bits each."""
    whole_row = LogitsLayout(request.vocab_size, request.sampling)
    correction_layout = ProposalsLayout(request.vocab_size, settings, whole_row)

    def resample(send_hint: SendHint, logits: Logits, q: Row, position: int) -> Generator[Step, Any, int]:
        p = request.sampling.row(logits)
        edge, device = rng.at("propose", position), rng.at("correct", position)
        for message in range(settings.max_messages):
            proposals = [edge.categorical(p) for _ in range(settings.num_proposals(message))]
            received_verdict = yield send_hint(Proposals(message, [(token, p.prob(token)) for token in proposals]))
            for token, p_token in received_verdict.correction_info.pairs:
                if device.bernoulli(1 - q.prob(token) / p_token):
                    return int(token)
            yield Transmit(Hop.UPLINK, MoreLayout()(None))
        received_verdict = yield send_hint(logits)
        return device.categorical(residual(received_verdict.correction_info, q))

    correction: Resample = resample
    yield from device_corrects(request, settings, rng, correction_layout, correction)


@dataclass(frozen=True, slots=True)
class Proposals:
    """Tokens drawn from the target's row with their probabilities, and which message of its position this is."""

    message: int
    pairs: list[tuple[int, float]]


class ProposalsLayout(Layout):
    """Index of the message, hence the number of proposals, and each with its probability at 64 bits; or the whole row.

    Args:
        vocab_size: Width of the vocabulary.
        settings: Say how many proposals each message holds.
        whole_row: Writes the row when proposals have failed too often.
    """

    kind = "proposals"

    def __init__(self, vocab_size: int, settings: ResidualSettings, whole_row: LogitsLayout) -> None:
        self.id_bits = bits_for(vocab_size)
        self.message_bits = bits_for(settings.max_messages)
        self.num_proposals = settings.num_proposals
        self.whole_row = whole_row

    @override
    def write(self, writer: BitWriter, body: Proposals | Logits) -> None:
        writer.write(not isinstance(body, Proposals), 1)
        if not isinstance(body, Proposals):
            self.whole_row.write(writer, body)
            return
        writer.write(body.message, self.message_bits)
        for token, prob in body.pairs:
            writer.write(token, self.id_bits)
            writer.write(double_to_int(prob), DOUBLE_BITS)

    @override
    def read(self, reader: BitReader) -> Proposals | Row:
        if reader.read(1):
            return self.whole_row.read(reader)
        message = reader.read(self.message_bits)
        pairs = [
            (reader.read(self.id_bits), int_to_double(reader.read(DOUBLE_BITS)))
            for _ in range(self.num_proposals(message))
        ]
        return Proposals(message, pairs)

    def bits(self, message: int) -> int:
        """Closed form of what ``write`` writes for a message of proposals."""
        return 1 + self.message_bits + self.num_proposals(message) * (self.id_bits + DOUBLE_BITS)

    @override
    def extra_bits(self, body: Proposals | Logits, wire_vocab_size: int) -> int:
        if not isinstance(body, Proposals):
            return self.whole_row.extra_bits(body, wire_vocab_size)
        return len(body.pairs) * (bits_for(wire_vocab_size) - self.id_bits)
