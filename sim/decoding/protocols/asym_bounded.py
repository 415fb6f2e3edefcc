"""AsymSpec with a fidelity budget: progressive correction that stops when its certificate is good enough."""

from __future__ import annotations

from pydantic import Field

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol
from sim.decoding.protocols.asym import StageSettings, certified, staged_correction
from sim.decoding.protocols.registry import protocol


class AsymBoundedSettings(StageSettings):
    """Keys of ``asym_bounded``."""

    budget: float = Field(default=0.01, gt=0, lt=1)
    """Largest total variation distance between a correction and the exact one at which the device stops asking."""


@protocol(
    "asym_bounded",
    AsymBoundedSettings,
    lossless=False,
    controls=("draft_length", "speculation"),
    source="arXiv 2608.04974",
)
def asym_bounded(request: Request, settings: AsymBoundedSettings, rng: RandomSource) -> Protocol:
    """Progressive correction over the downlink until a TV certificate holds (lossy: each correction within budget)."""
    yield from staged_correction(request, settings, rng, certified(settings.budget))
