"""The draft length with the most expected tokens per expected second at the reported channel (arXiv 2601.00644)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.measure import Meter, round_s
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.steps import Observation, Observe, Step


class FlexSpecSettings(Settings):
    """Keys of ``flexspec``."""

    max_draft_length: int = Field(default=16, ge=1, le=64)
    """Longest draft that it may choose."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate (alpha) assumed before the first round, worth four tested positions."""


@CONTROLLERS.register("flexspec", FlexSpecSettings, adaptive=True)
class FlexSpec(Controller):
    """argmax over k of E[tokens | k] / T_step(k), from the reported uplink rate and delays and measured compute times.

    It keeps the scenario's draft length until it has seen all that a round takes.
    """

    adjusts = ("draft_length",)

    def __init__(self, settings: FlexSpecSettings) -> None:
        super().__init__(settings)
        self._meter = Meter(settings.prior_acceptance)

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return controls.with_draft_length(self.settings.max_draft_length)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        seen = yield Observe()
        self._meter.look(request, seen)
        best = self.best_length(seen) or min(controls.draft_length, self.settings.max_draft_length)
        self._meter.plan(best)
        return controls.with_draft_length(best)

    def best_length(self, seen: Observation) -> int | None:
        """The best draft length now, None while something is unknown."""
        from sim.decoding.theory import expected_tokens

        best, max_per_second = None, 0.0
        for length in range(1, self.settings.max_draft_length + 1):
            seconds = round_s(length, seen, self._meter.bits_per_level)
            if seconds is None:
                return None
            per_second = expected_tokens(self._meter.acceptance_rate, length) / seconds
            if per_second > max_per_second:
                best, max_per_second = length, per_second
        return best
