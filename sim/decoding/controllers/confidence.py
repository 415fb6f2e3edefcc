"""Drafting stops after a token that the draft model was not sure of."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Step


class ConfidenceSettings(Settings):
    """Keys of ``confidence``."""

    threshold: float = Field(default=0.4, gt=0, le=1)
    """Drafting stops after a token whose draft probability is below this."""
    max_draft_length: int | None = Field(default=None, ge=1, le=64)
    """Longest draft; without it, the scenario's draft length."""


@CONTROLLERS.register("confidence", ConfidenceSettings, adaptive=False)
class Confidence(Controller):
    """Stop a chain after a token drawn with little probability (assisted generation, arXiv 2405.04304).

    It looks at the draft alone, neither at clock nor at channel, so recordings can stand in for it. The token that
    stops the draft is sent and tested like the others: dropping it would bias the text.
    """

    adjusts = ("draft_length",)

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return controls.with_draft_length(self.settings.max_draft_length or controls.draft_length)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        return self.upper_bound(controls)
        yield

    @override
    def keep_drafting(self, rows: Sequence[Row], tokens: Sequence[int]) -> bool:
        return bool(rows[-1].prob(tokens[-1]) >= self.settings.threshold)
