"""Uncertainty-gated hybrid inference that asks for important tokens only (arXiv 2508.12590).

An uncertain token goes to the target only if it matters: if it gets more than its share of the draft's attention. The
device reads the drafted token, which the next draft needs anyway, and looks at the last layer. The threshold follows
the attention of that very step: it is a multiple of the mean weight on the text's tokens, without the first one, which
collects attention that means nothing. The publication's formula is not at hand; this is a reading of its abstract.

Lossy as U-HLM is, and more so: uncertain tokens that do not matter follow the draft, too.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.u_hlm import GateSettings, gate_of_whole_rows, gated


class ImportanceSettings(GateSettings):
    """Keys of ``u_hlm_importance``."""

    min_importance: float = Field(default=1.0, ge=0, le=1000)
    """Ask the target about an uncertain token whose weight in its own attention exceeds so many times the mean weight
    of the text's tokens; 0 asks about each of them, as `u_hlm` does."""


@protocol("u_hlm_importance", ImportanceSettings, lossless=False, source="arXiv 2508.12590")
def u_hlm_importance(request: Request, settings: ImportanceSettings, rng: RandomSource) -> Protocol:
    """U-HLM that asks about important tokens only, read off the abstract alone (lossy: all others go unverified)."""
    gate = gate_of_whole_rows(request.vocab_size, settings)
    yield from gated(request, replace(gate, min_importance=settings.min_importance), rng)
