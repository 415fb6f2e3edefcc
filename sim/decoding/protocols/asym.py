"""Asymmetric split speculation: ids and scalars up, the target's row down in stages until it settles the correction.

AsymSpec (arXiv 2608.04974). The stage values are half-precision numbers rounded down, so that what the device knows
of p is a lower bound with everything unknown in its tail: r = norm(max(0, p - q)) is at least
known / (known + tail) everywhere, and its distance from the known part alone is at most tail / (known + tail), the
certificate.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator
from typing_extensions import override

from sim.decoding.core.messages import Layout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Ids, Probabilities, Row, residual
from sim.decoding.core.rows_down import LogitsLayout
from sim.decoding.core.steps import Hop, Protocol, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for
from sim.decoding.protocols.dssd import Resample, SendHint, device_corrects
from sim.decoding.protocols.registry import protocol
from sim.decoding.verification.split import MoreLayout, ScalarSettings
from sim.models.interface import Logits

HALF_BITS = 16


class StageSettings(ScalarSettings):
    """Keys of both ``asym`` protocols."""

    stages: list[int] = Field(default=[16, 256], max_length=16)
    """Entries of the target's row that the device knows after each stage, ascending; the whole row comes last."""

    @field_validator("stages")
    @classmethod
    def _ascending(cls, stages: list[int]) -> list[int]:
        if any(later <= earlier for earlier, later in zip([0, *stages], stages, strict=False)):
            raise ValueError(f"stages must be positive and ascending, got {stages}")
        return stages


class AsymSettings(StageSettings):
    """Keys of ``asym``."""

    correction: Literal["full", "lazy"] = "full"
    """Correct from the whole row, or draw lazily: each stage settles the part of it that it bounds from below."""


@protocol("asym", AsymSettings, lossless=True, controls=("draft_length", "speculation"), source="arXiv 2608.04974")
def asym(request: Request, settings: AsymSettings, rng: RandomSource) -> Protocol:
    """Progressive correction over the downlink, carried to the whole row or drawn lazily; exact either way."""
    settle = draw_lazily if settings.correction == "lazy" else certified(budget=0.0)
    yield from staged_correction(request, settings, rng, settle)


@dataclass(slots=True)
class Known:
    """What a device knows of the target's row so far, and how much of the correction's distribution it has drawn from.

    Attributes:
        p: Lower bound of the target's row, [vocab_size].
        spent: Part of the correction's distribution that has been drawn from in vain, [vocab_size].
    """

    p: Probabilities
    spent: Probabilities = field(init=False)

    def __post_init__(self) -> None:
        self.spent = np.zeros_like(self.p)

    @property
    def tail(self) -> float:
        """Target probability that is still unknown."""
        return max(0.0, 1.0 - float(self.p.sum()))


def certified(budget: float) -> Any:
    """Settle when the known part of the correction's distribution is provably within ``budget`` of all of it (TV)."""

    def settle(known: Known, q: Row, rng: RandomSource) -> int | None:
        part = np.maximum(known.p - q.dense(), 0.0)
        mass = float(part.sum())
        if mass == 0 or known.tail / (mass + known.tail) > budget:
            return None
        return rng.categorical(Row(q.vocab_size, part / mass))

    return settle


def draw_lazily(known: Known, q: Row, rng: RandomSource) -> int | None:
    """Draw from what this stage adds to the correction's lower bound, with the chance that it has."""
    part = np.maximum(known.p - q.dense(), 0.0)
    bound = part / (float(part.sum()) + known.tail)
    gain = np.maximum(bound - known.spent, 0.0)
    total = float(gain.sum())
    chance = total / (1.0 - float(known.spent.sum()))
    known.spent = np.maximum(bound, known.spent)
    return rng.categorical(Row(q.vocab_size, gain / total)) if rng.bernoulli(chance) else None


def staged_correction(request: Request, settings: StageSettings, rng: RandomSource, settle: Any) -> Protocol:
    """Rounds whose rejections are answered stage by stage until ``settle`` finds a token or the whole row is there."""
    whole_row = LogitsLayout(request.vocab_size, request.sampling)
    correction_layout = StageLayout(request.vocab_size, whole_row)

    def resample(send_hint: SendHint, logits: Logits, q: Row, position: int) -> Generator[Step, Any, int]:
        p = request.sampling.row(logits).dense()
        order = np.argsort(-p, kind="stable")
        known = Known(np.zeros(request.vocab_size))
        position_rng = rng.at("correct", position)  # not the number of the accept test, which is spent
        for start, end in zip([0, *settings.stages], settings.stages, strict=False):
            if end >= request.vocab_size:
                break
            ids = np.sort(order[start:end])
            received_verdict = yield send_hint(Stage(ids, round_down(p[ids])))
            known.p[received_verdict.correction_info.ids] = received_verdict.correction_info.probs
            token = settle(known, q, position_rng)
            if token is not None:
                return int(token)
            yield Transmit(Hop.UPLINK, MoreLayout()(None))
        received_verdict = yield send_hint(logits)
        rest = np.maximum(residual(received_verdict.correction_info, q).dense() - known.spent, 0.0)
        return position_rng.categorical(Row.dense_row(rest))

    correction: Resample = resample
    yield from device_corrects(request, settings, rng, correction_layout, correction)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Further entries of the target's row: ascending ids, and probabilities rounded down to half precision."""

    ids: Ids
    probs: Probabilities


def round_down(probs: Probabilities) -> Probabilities:
    """Largest half-precision numbers that are not above these."""
    halves = probs.astype(np.float16)
    return np.where(halves > probs, np.nextafter(halves, np.float16(0)), halves).astype(np.float64)


class StageLayout(Layout):
    """Entries of the target's row as fixed-width ids and 16-bit values after their number, or the whole row.

    Args:
        vocab_size: Width of the vocabulary.
        whole_row: Writes the last stage.
    """

    kind = "stage"

    def __init__(self, vocab_size: int, whole_row: LogitsLayout) -> None:
        self.id_bits = bits_for(vocab_size)
        self.whole_row = whole_row

    @override
    def write(self, writer: BitWriter, body: Stage | Logits) -> None:
        writer.write(not isinstance(body, Stage), 1)
        if not isinstance(body, Stage):
            self.whole_row.write(writer, body)
            return
        writer.write(len(body.ids), self.id_bits)
        writer.write_array(body.ids, self.id_bits)
        writer.write_array(body.probs.astype(np.float16).view(np.uint16), HALF_BITS)

    @override
    def read(self, reader: BitReader) -> Stage | Row:
        if reader.read(1):
            return self.whole_row.read(reader)
        count = reader.read(self.id_bits)
        ids = reader.read_array(count, self.id_bits)
        codes = reader.read_array(count, HALF_BITS)
        return Stage(ids, codes.astype(np.uint16).view(np.float16).astype(np.float64))

    def bits(self, k: int) -> int:
        """Closed form of what ``write`` writes for a stage of k entries."""
        return 1 + self.id_bits + k * (self.id_bits + HALF_BITS)

    @override
    def extra_bits(self, body: Stage | Logits, wire_vocab_size: int) -> int:
        if not isinstance(body, Stage):
            return self.whole_row.extra_bits(body, wire_vocab_size)
        return (1 + len(body.ids)) * (bits_for(wire_vocab_size) - self.id_bits)
