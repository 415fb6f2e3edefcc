"""Drafting stops where the first rejection is predicted, from what the device has learned of its own confidence."""

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

PRIOR_POSITIONS = 4
"""Tested positions that the prior acceptance of a class is worth."""


class WispSettings(Settings):
    """Keys of ``wisp``."""

    survival: float = Field(default=0.4, gt=0, le=1)
    """Drafting stops once the chance that all of the draft is accepted is predicted to be below this."""
    classes: int = Field(default=8, ge=1, le=64)
    """Classes of equal width of the draft's probability of the drawn token, each with an acceptance of its own."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate assumed of a class that was never tested, worth four tested positions."""
    max_draft_length: int = Field(default=16, ge=1, le=64)
    """Longest draft."""


@CONTROLLERS.register("wisp", WispSettings, adaptive=True)
class Wisp(Controller):
    """Stop a chain where its first rejection is predicted (WISP's drafting, arXiv 2601.11652).

    Tokens fall into classes by the probability that the draft drew them with; each class has the acceptance rate that
    the device has seen in it. The product over the draft is the chance that nothing is rejected so far. The batching of
    the paper's server is not part of this. It learns from request to request, so no recording can stand in for it. The
    token that ends a draft is sent and tested like the others: dropping it would bias the text.
    """

    adjusts = ("draft_length",)

    def __init__(self, settings: WispSettings) -> None:
        super().__init__(settings)
        self._tested = [0] * settings.classes
        self._accepted = [0] * settings.classes
        self._drafted: list[int] = []  # classes of the draft under way, or of the last one

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return controls.with_draft_length(self.settings.max_draft_length)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        if request.rounds and self._drafted:
            last = request.rounds[-1]
            for place, own_class in enumerate(self._drafted[: last.tested]):
                self._tested[own_class] += 1
                self._accepted[own_class] += place < last.accepted
        self._drafted = []
        return self.upper_bound(controls)
        yield

    @override
    def keep_drafting(self, rows: Sequence[Row], tokens: Sequence[int]) -> bool:
        self._drafted = [self._class_of(row.prob(token)) for row, token in zip(rows, tokens, strict=True)]
        survival = 1.0
        for own_class in self._drafted:
            survival *= self.acceptance(own_class)
        return bool(survival >= self.settings.survival)

    def _class_of(self, prob: float) -> int:
        classes: int = self.settings.classes
        return min(int(prob * classes), classes - 1)

    def acceptance(self, own_class: int) -> float:
        """Acceptance rate of a class so far, from the prior on."""
        prior: float = self.settings.prior_acceptance
        return (self._accepted[own_class] + PRIOR_POSITIONS * prior) / (self._tested[own_class] + PRIOR_POSITIONS)
