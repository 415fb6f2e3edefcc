"""Quantise, sample, verify: full rows on an integer lattice, sampled after quantising (QSV, arXiv 2507.00605)."""

from __future__ import annotations

from pydantic import Field

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.tslt import TsltSettings, tslt


class QsvSettings(ChainSettings):
    """Keys of ``qsv``."""

    lattice_levels: int = Field(default=240, ge=1, le=65535)
    """Sum of the integer counts that a row becomes (ell); the paper's controller moves it between 4 and 720."""


@protocol("qsv", QsvSettings, lossless=True, controls=("draft_length", "speculation"), source="arXiv 2507.00605")
def qsv(request: Request, settings: QsvSettings, rng: RandomSource) -> Protocol:
    """Quantise-sample-and-verify: each full row becomes a point of a lattice, and drafts are drawn from that point."""
    whole = TsltSettings(draft_length=settings.draft_length, values="lattice", lattice_levels=settings.lattice_levels)
    yield from tslt(request, whole, rng)
