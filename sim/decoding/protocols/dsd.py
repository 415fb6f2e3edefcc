"""Distributed speculative decoding with full rows on the uplink: the scheme that truncation is measured against."""

from __future__ import annotations

from pydantic import Field

from sim.core.settings import Settings
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol
from sim.decoding.core.wire.row_codec import Values
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.tslt import TsltSettings, tslt


class DsdSettings(Settings):
    """Keys of ``dsd``."""

    draft_length: int = Field(default=4, ge=1, le=64)
    """Tokens drafted per round (gamma)."""
    values: Values = "fp16"
    """Value format of the rows."""
    lattice_levels: int = Field(default=1023, ge=1, le=65535)
    """Sum of the integer counts when values is lattice."""


@protocol(
    "dsd", DsdSettings, lossless=True, controls=("draft_length", "speculation"), source="arXiv 2507.12000, section 2"
)
def dsd(request: Request, settings: DsdSettings, rng: RandomSource) -> Protocol:
    """Distributed speculative decoding with full rows: truncation to the whole vocabulary."""
    yield from tslt(
        request,
        TsltSettings(
            draft_length=settings.draft_length, values=settings.values, lattice_levels=settings.lattice_levels
        ),
        rng,
    )
