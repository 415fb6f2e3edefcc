"""A bandit over draft lengths that learns the cost of a token, whatever it consists of (arXiv 2606.20591)."""

from __future__ import annotations

from collections.abc import Generator
from itertools import product
from math import log, sqrt
from typing import Any

from pydantic import Field, field_validator
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.measure import Meter
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.steps import Observe, Step


class UcbSpecStopSettings(Settings):
    """Keys of ``ucb_specstop``."""

    draft_lengths: list[int] = Field(default=[1, 2, 3, 4, 5, 6, 8, 10], min_length=1, max_length=64)
    """Draft lengths to choose among."""
    top_k: list[int] | None = Field(default=None, max_length=64)
    """Entries per row to choose among, where the protocol truncates rows; every combination is an arm."""
    candidates: list[int] | None = Field(default=None, max_length=64)
    """Candidates at the first level to choose among, where the protocol drafts trees."""
    exploration: float = Field(default=0.6, ge=0)
    """Weight of the confidence term (beta), in mean rounds' times."""

    @field_validator("draft_lengths", "top_k", "candidates")
    @classmethod
    def _positive(cls, values: list[int] | None) -> list[int] | None:
        if values is not None and (not values or min(values) < 1 or len(set(values)) < len(values)):
            raise ValueError(f"expected different positive numbers, got {values}")
        return values

    @field_validator("draft_lengths")
    @classmethod
    def _not_too_long(cls, values: list[int]) -> list[int]:
        if max(values) > 64:
            raise ValueError(f"draft lengths are at most 64, got {max(values)}")
        return values


Arm = tuple[int, int | None, int | None]


@CONTROLLERS.register("ucb_specstop", UcbSpecStopSettings, adaptive=True)
class UcbSpecStop(Controller):
    """The arm with the lowest optimistic cost per token, (S_N - beta sqrt(T_k log t)) / S_A.

    S_N and S_A are the seconds and the tokens of all rounds with an arm, T_k their number: a ratio of sums, because the
    mean of ratios is another number. Each arm is tried once first. It needs a clock and no model of anything; without
    one it goes through its arms in turn. Rounds that the text's limit cut short teach nothing.
    """

    def __init__(self, settings: UcbSpecStopSettings) -> None:
        super().__init__(settings)
        chosen = {"draft_length": [0], "top_k": settings.top_k, "candidates": settings.candidates}
        self.adjusts = tuple(control for control, values in chosen.items() if values is not None)
        top_ks: list[int | None] = [*settings.top_k] if settings.top_k else [None]
        candidates: list[int | None] = [*settings.candidates] if settings.candidates else [None]
        self._arms: list[Arm] = list(product(settings.draft_lengths, top_ks, candidates))
        self._seconds = dict.fromkeys(self._arms, 0.0)
        self._tokens = dict.fromkeys(self._arms, 0)
        self._pulls = dict.fromkeys(self._arms, 0)
        self._meter = Meter(0.5)
        self._arm = self._arms[0]

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return _turned(
            controls,
            (
                max(self.settings.draft_lengths),
                max(self.settings.top_k) if self.settings.top_k else None,
                max(self.settings.candidates) if self.settings.candidates else None,
            ),
        )

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        seen = yield Observe()
        spent = self._meter.look(request, seen)
        if spent is not None and not spent.cut_short:
            self._seconds[self._arm] += spent.seconds
            self._tokens[self._arm] += spent.tokens
            self._pulls[self._arm] += 1
        self._arm = self.best_arm()
        self._meter.plan(self._arm[0])
        return _turned(controls, self._arm)

    def best_arm(self) -> Arm:
        """The arm of the next round."""
        untried = [arm for arm in self._arms if not self._pulls[arm]]
        return untried[0] if untried else min(self._arms, key=self._index)

    def _index(self, arm: Arm) -> float:
        rounds = sum(self._pulls.values())
        beta = self.settings.exploration * sum(self._seconds.values()) / rounds
        bonus = beta * sqrt(self._pulls[arm] * log(rounds))
        return float((self._seconds[arm] - bonus) / self._tokens[arm])


def _turned(controls: Controls, arm: Arm) -> Controls:
    draft_length, top_k, candidates = arm
    turned = controls.with_draft_length(draft_length)
    if top_k is not None:
        turned = turned.with_top_k(top_k)
    return turned if candidates is None else turned.with_candidates(candidates)
