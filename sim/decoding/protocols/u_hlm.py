"""Uncertainty-gated hybrid inference: the device keeps a token it is sure of without asking (U-HLM, 2412.12687).

Lossy: whether the target is asked depends on the very token that was drawn, and kept tokens follow the draft. The
perturbed samples are priced at nothing, as published. ``sim.decoding.analysis.gate_distance`` measures how far it
strays.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.core.controller import Controls
from sim.decoding.core.messages import Layout, TokensLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row, Sampling, overlap, residual
from sim.decoding.core.steps import Hop, Location, Protocol, Step, Transmit
from sim.decoding.core.target_figures import target_figures, target_stats
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.core.wire.row_layout import RowLayout
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.models.interface import Logits

WIDEST_TEMPERATURE = 2.0


class GateSettings(Settings):
    """Keys of both uncertainty-gated protocols."""

    threshold: float = Field(default=0.073, ge=0, le=1)
    """Ask the target when the uncertainty exceeds this; published: 0.073 risk-averse, 0.43 risk-prone."""
    samples: int = Field(default=20, ge=1, le=256)
    """Temperature-perturbed samples whose disagreement with the drafted token is the uncertainty."""


@protocol("u_hlm", GateSettings, lossless=False, source="arXiv 2412.12687")
def u_hlm(request: Request, settings: GateSettings, rng: RandomSource) -> Protocol:
    """Uncertainty-gated hybrid inference: full rows up for uncertain tokens only (lossy: sure tokens go unverified)."""
    yield from gated(request, gate_of_whole_rows(request.vocab_size, settings), rng)


def gate_of_whole_rows(vocab_size: int, settings: GateSettings) -> Gate:
    """Rows are rounded to half precision before the token is drawn, and sent whole."""
    codec = RowCodec(vocab_size, RowFormat(values="fp16"))

    def prepare(q: Row) -> Prepared:
        coded = codec.code(q)
        return Prepared(coded.row, coded, coded.tail_mass)

    return Gate(settings, WholeRowLayout(codec), prepare)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A draft row before its token is drawn.

    Attributes:
        source: What the token is drawn from.
        body: What the row's layout writes if the target is asked.
        tail_mass: Probability that is not sent.
    """

    source: Row
    body: Any
    tail_mass: float


@dataclass(frozen=True, slots=True)
class Gate:
    """What both ends of a gated protocol agree on.

    Attributes:
        settings: When the target is asked.
        row_layout: How a row is written and read.
        prepare: Makes of a draft row what is drawn from and what is sent.
        min_importance: Whether also the drafted token's importance must exceed something for the target to be asked.
    """

    settings: GateSettings
    row_layout: Layout
    prepare: Callable[[Row], Prepared]
    min_importance: float | None = None


def gated(request: Request, gate: Gate, rng: RandomSource) -> Protocol:
    """One token a round, verified by the target only if the device is unsure of it.

    Args:
        request: The text so far.
        gate: What both ends agree on.
        rng: Random source.
    """
    settings = gate.settings
    draft_layout = GatedDraftLayout(request.vocab_size, request.max_new_tokens, gate.row_layout)
    token_layout = TokensLayout("verdict", request.vocab_size, max_tokens=1)
    kept: list[int] = []  # tokens kept without asking, which the edge has not heard of
    ahead: Logits | None = None  # the draft's row after a drafted token that was read to see how important it is

    def one_round(_: Controls) -> Generator[Step, Any, None]:
        nonlocal kept, ahead
        position = request.position
        logits, ahead = ahead, None
        if logits is None:
            (logits,) = yield request.forward(Location.DEVICE, "draft")
        prepared = gate.prepare(request.draft_sampling.row(logits))
        token = rng.at("draft", position).categorical(prepared.source)
        doubt = uncertainty(request, logits, token, settings.samples, rng.at("uncertainty", position))
        asked = doubt > settings.threshold
        stats: tuple[tuple[str, float], ...] = (("uncertainty", doubt),)
        if asked and gate.min_importance is not None:
            ahead, importance = yield from read_token(request, token)
            asked = importance > gate.min_importance
            stats = (*stats, ("importance", importance))
        stats = (*stats, ("asked", float(asked)))
        if not asked:
            kept.append(token)
            yield request.emit([token], drafted=1, stats=stats)
            return
        received = yield Transmit(Hop.UPLINK, draft_layout(GatedDraft(kept, token, prepared.body)))
        kept = []
        logits = yield request.forward(Location.EDGE, "target")
        p, q = request.sampling.row(logits[0]), received.row
        position_rng = rng.at("verify", position)
        accepted = position_rng.bernoulli(p.prob(token) / q.prob(token)) if q.prob(token) > 0 else True
        verdict = token if accepted else position_rng.categorical(residual(p, q))
        (received_verdict,) = yield Transmit(Hop.DOWNLINK, token_layout([verdict]))
        rows = (("overlap", overlap(p, q)), ("tail_mass", prepared.tail_mass), ("draft_entropy_bits", q.entropy_bits))
        figures = (*rows, *target_stats([target_figures(p, received_verdict)]), *stats)
        ahead = ahead if received_verdict == token else None
        yield request.emit([received_verdict], drafted=1, tested=1, accepted=int(accepted), stats=figures)

    yield from speculative_rounds(request, Controls.chain(1), one_round, rng)


def read_token(request: Request, token: int) -> Generator[Step, Any, tuple[Logits, float]]:
    """Have the draft read the token that it has just drafted: its row after that, and how important the token is."""
    work = request.forward(Location.DEVICE, "draft", [token], first_row=1)
    (row,) = yield replace(work, work=replace(work.work, with_importance=True))
    return row[:-1], float(row[-1])


def uncertainty(request: Request, logits: Logits, token: int, samples: int, position_rng: RandomSource) -> float:
    """Share of samples, drawn at temperatures spread over (0, 2], that differ from the drafted token."""
    return (
        sum(position_rng.categorical(row) != token for row in perturbed_rows(request.draft_sampling, logits, samples))
        / samples
    )


def perturbed_rows(sampling: Sampling, logits: Logits, samples: int) -> list[Row]:
    """The rows that the samples are drawn from."""
    temperatures: Sequence[float] = np.linspace(0, WIDEST_TEMPERATURE, samples + 1)[1:].tolist()
    return [replace(sampling, temperature=temperature).row(logits) for temperature in temperatures]


@dataclass(frozen=True, slots=True, eq=False)
class GatedDraft:
    """An uncertain token with its row, after the tokens that were kept since the target was last asked."""

    kept: list[int]
    token: int
    row: Any


class GatedDraftLayout(Layout):
    """Number and ids of kept tokens that the edge has not heard of, id of the uncertain one, its row.

    Args:
        vocab_size: Width of the vocabulary.
        max_kept: Most tokens that can be kept before the edge hears of them.
        row_layout: Writes the row.
    """

    kind = "draft"

    def __init__(self, vocab_size: int, max_kept: int, row_layout: Layout) -> None:
        self.id_bits = bits_for(vocab_size)
        self.count_bits = bits_for(max_kept + 1)
        self.row_layout = row_layout

    @override
    def write(self, writer: BitWriter, body: GatedDraft) -> None:
        writer.write(len(body.kept), self.count_bits)
        for token in [*body.kept, body.token]:
            writer.write(token, self.id_bits)
        self.row_layout.write(writer, body.row)

    @override
    def read(self, reader: BitReader) -> GatedDraft:
        count = reader.read(self.count_bits)
        kept = [reader.read(self.id_bits) for _ in range(count)]
        return GatedDraft(kept, reader.read(self.id_bits), self.row_layout.read(reader))

    def bits(self, num_kept: int, row_bits: int) -> int:
        """Closed form of the encoded length before padding to bytes."""
        return self.count_bits + (num_kept + 1) * self.id_bits + row_bits

    @override
    def extra_bits(self, body: GatedDraft, wire_vocab_size: int) -> int:
        ids = (len(body.kept) + 1) * (bits_for(wire_vocab_size) - self.id_bits)
        return ids + self.row_layout.extra_bits(body.row, wire_vocab_size)


class WholeRowLayout(RowLayout):
    """A coded row; what is read is the row alone."""

    @override
    def read(self, reader: BitReader) -> Row:
        row: Row = super().read(reader).row
        return row
