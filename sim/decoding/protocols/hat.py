"""HAT: the first layers and the head at the device, all others at the edge, hidden states both ways (2503.18989).

Up goes the hidden state of each position after the first layers, down the one before the head: 8 kB a token for a 7B
model in half precision, whatever the vocabulary. The device therefore has the target's rows and its own, and verifies
itself. The prompt goes up in chunks, and the edge computes each while the next one flies. While a round's hidden states
are away, the device drafts on from its best guess of what they bring (parallel drafting). The draft model stands for
the first layers and the adapter in time, the target for all of its layers; hidden states cross the air as zeros of
their size. The text is exact: where the layers are computed does not touch it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import always, draft_chain, draft_tree
from sim.decoding.core.messages import Layout, Message
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Compute, Drop, Hop, Join, Location, Protocol, Start, Started, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import RowCodec, UncodedRows
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import finish_round, target_rows, verify
from sim.models.interface import ForwardPass

COUNT_BITS = 24


class HatSettings(Settings):
    """Keys of ``hat``."""

    draft_length: int = Field(default=4, ge=0, le=64)
    """Tokens drafted per round (gamma); 0 is split inference without speculation."""
    hidden_size: int = Field(default=576, ge=1, le=100_000)
    """Entries of a hidden state of the modelled target: 576 in SmolLM2-135M, 4096 in a 7B Llama."""
    hidden_bits: int = Field(default=16, ge=1, le=32)
    """Bits per entry."""
    draft_ahead: bool = True
    """Whether the device drafts on while hidden states are away; the text is the same without."""
    prompt_chunk_tokens: int = Field(default=256, ge=1, le=65_535)
    """Tokens of the prompt that go up at a time; the edge computes each chunk while the next one flies."""


@protocol("hat", HatSettings, lossless=True, controls=("draft_length",), source="arXiv 2503.18989")
def hat(request: Request, settings: HatSettings, rng: RandomSource) -> Protocol:
    """Split layers: hidden states up and down, verified at the device; the prompt goes up in chunks."""
    codec, hidden = UncodedRows(request.vocab_size), HiddenLayout(settings)
    rule = find_rule("single", "iid", 1)
    ahead: DraftTree | None = None

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        nonlocal ahead
        length = controls.draft_length
        draft = ahead if ahead is not None else (yield from draft_chain(request, length, codec, rng))
        ahead, started = None, None
        if settings.draft_ahead and draft.tokens:
            started = yield Start(guess_and_draft(request.supposing(draft.tokens), length, codec, rng))
        positions = draft.depth + 1
        yield Transmit(Hop.UPLINK, hidden(positions, tokens_at_stake=positions))
        rows = yield from target_rows(request, draft)
        yield Transmit(Hop.DOWNLINK, hidden(positions))
        verdict = yield from verify(rows, draft, rule, request.position, rng)
        if started is not None:
            guess, drafting = yield Join(started)
            is_hit = draft.depth_of(verdict.last_accepted) == draft.depth and verdict.token == guess
            if drafting is not None:
                ahead = (yield Join(drafting)) if is_hit else (yield Drop(drafting))
        yield finish_round(request, draft, verdict.wire, verdict)

    start = Controls.chain(settings.draft_length)
    prologue = prompt_in_chunks(request, settings.prompt_chunk_tokens, hidden)
    yield from speculative_rounds(request, start, one_round, rng, prologue=prologue)


def guess_and_draft(
    supposed: Request, length: int, codec: RowCodec, rng: RandomSource
) -> Generator[Step, Any, tuple[int | None, Started | None]]:
    """Guess the token that follows a draft that is accepted whole, and begin to draft after it.

    Args:
        supposed: The text with the draft.
        length: Of the next draft.
        codec: Of its rows.
        rng: Random source.

    Returns:
        The guess, and the branch that drafts after it; None where the text would have ended.
    """
    if supposed.finished:
        return None, None
    logits = yield supposed.forward(Location.DEVICE, "draft")
    guess = int(logits[0].argmax())
    after = supposed.supposing([guess])
    if after.finished:
        return guess, None
    return guess, (yield Start(draft_tree(after, (1,) * length, codec, rng, keep_drafting=always)))


def prompt_in_chunks(request: Request, chunk_tokens: int, hidden: HiddenLayout) -> Generator[Step, Any, None]:
    """Send the prompt's hidden states chunk by chunk; the edge computes each while those behind it fly."""
    length = len(request.prompt)
    ends = [*range(chunk_tokens, length, chunk_tokens), length]
    flying: list[Started] = []
    for begin, end in zip([0, *ends], ends, strict=False):
        yield forward_of_prompt(request, end, Location.DEVICE, "draft")
        flying.append((yield Start(carry_up(hidden(end - begin)))))
    for started, end in zip(flying, ends, strict=True):
        yield Join(started)
        yield forward_of_prompt(request, end, Location.EDGE, "target")


def forward_of_prompt(request: Request, end: int, site: Location, model: str) -> Compute:
    """The step that runs a model over the prompt up to a token."""
    return Compute(site, model, ForwardPass((request.id, site.value, model), request.prompt[:end]))


def carry_up(message: Message) -> Generator[Step, Any, Any]:
    """A branch that sends one message."""
    return (yield Transmit(Hop.UPLINK, message))


class HiddenLayout(Layout):
    """A number of positions and their hidden states, as zeros.

    Args:
        settings: Say how large a hidden state is.
    """

    kind = "hidden"

    def __init__(self, settings: HatSettings) -> None:
        self.entries = settings.hidden_size
        self.entry_bits = settings.hidden_bits

    @override
    def write(self, writer: BitWriter, body: int) -> None:
        writer.write(body, COUNT_BITS)
        writer.write_array(np.zeros(body * self.entries, dtype=np.int64), self.entry_bits)

    @override
    def read(self, reader: BitReader) -> int:
        positions = reader.read(COUNT_BITS)
        reader.read_array(positions * self.entries, self.entry_bits)
        return positions

    @override
    def measure(self, body: int) -> tuple[int, int]:
        return COUNT_BITS + body * self.entries * self.entry_bits, body

    @override
    def extra_bits(self, body: int, wire_vocab_size: int) -> int:
        return 0
