"""Uncertainty-gated hybrid inference with compressed rows (CU-HLM, arXiv 2505.11788).

Lossy twice over: by the gate of U-HLM, and because the token is drawn before its row is cut.
"""

from __future__ import annotations

from pydantic import Field

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Protocol
from sim.decoding.core.wire.refilled import ClosestCutCodec, RefilledRowLayout
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.u_hlm import Gate, GateSettings, Prepared, gated


class CuHlmSettings(GateSettings):
    """Keys of ``cu_hlm``."""

    max_deviation: float = Field(default=0.1, ge=0, lt=1)
    """Total variation allowed between a row and what the edge rebuilds of it; the smallest set within it is sent."""


@protocol("cu_hlm", CuHlmSettings, lossless=False, source="arXiv 2505.11788")
def cu_hlm(request: Request, settings: CuHlmSettings, rng: RandomSource) -> Protocol:
    """Uncertainty-gated hybrid inference with truncated rows (lossy: unverified tokens, rows cut after drawing)."""
    yield from gated(request, gate_of_cut_rows(request.vocab_size, settings), rng)


def gate_of_cut_rows(vocab_size: int, settings: CuHlmSettings) -> Gate:
    """The token is drawn from the whole row, and the row is cut and refilled for the edge."""
    codec = ClosestCutCodec(vocab_size, settings.max_deviation)

    def prepare(q: Row) -> Prepared:
        coded = codec.code(q)
        return Prepared(q, coded, coded.tail_mass)

    return Gate(settings, RefilledRowLayout(codec), prepare)
