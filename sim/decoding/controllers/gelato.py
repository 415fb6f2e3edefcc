"""Drafts that keep an energy budget, and end early when the draft grows unsure (GELATO, arXiv 2605.10124)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.measure import Meter, round_s
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Observation, Observe, Step


class GelatoSettings(Settings):
    """Keys of ``gelato``."""

    energy_per_round_j: float = Field(default=0.1, gt=0)
    """Energy that the device may spend per round on average, compute and radio, in joules."""
    weight: float = Field(default=5.0, gt=0)
    """Weight of throughput against the energy queue (V): larger is faster, and slower to come back to the budget."""
    max_draft_length: int = Field(default=16, ge=1, le=64)
    """Longest draft that it may choose."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate (alpha) assumed before the first round, worth four tested positions."""
    entropy_leak_bits: float = Field(default=3.0, ge=0)
    """Entropy of a draft row that leaks out of the bucket per token, in bits."""
    entropy_bucket_bits: float = Field(default=6.0, gt=0)
    """Drafting stops when the bucket holds more than this, in bits."""


@CONTROLLERS.register("gelato", GelatoSettings, adaptive=True)
class Gelato(Controller):
    """Lyapunov drift plus penalty: the length k that maximises V throughput(k) - Q energy(k), by exhaustive search.

    Q is the energy queue, Q <- max(0, Q + spent - budget) after each round, so that the mean energy per round tends to
    the budget or less wherever drafting one token a round costs less. Energies count in budgets and throughput in the
    largest one that any length has now, so V has no unit. Within a chain an entropy leaky bucket, B <- max(0, B + H -
    leak), stops drafting above its brim.
    """

    adjusts = ("draft_length",)

    def __init__(self, settings: GelatoSettings) -> None:
        super().__init__(settings)
        self._meter = Meter(settings.prior_acceptance)
        self._queue = 0.0

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return controls.with_draft_length(self.settings.max_draft_length)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        seen = yield Observe()
        spent = self._meter.look(request, seen)
        if spent is not None and spent.joules is not None:
            self._queue = max(0.0, self._queue + spent.joules / self.settings.energy_per_round_j - 1.0)
        best = self.best_length(seen) or min(controls.draft_length, self.settings.max_draft_length)
        self._meter.plan(best)
        return controls.with_draft_length(best)

    def best_length(self, seen: Observation) -> int | None:
        """The draft budget of the next round, None while something that it depends on is unknown."""
        from sim.decoding.theory import expected_tokens

        joules = self._meter.joules_per_level
        if joules is None:
            return None
        rates: dict[int, float] = {}
        for length in range(1, self.settings.max_draft_length + 1):
            seconds = round_s(length, seen, self._meter.bits_per_level)
            if seconds is None:
                return None
            rates[length] = expected_tokens(self._meter.acceptance_rate, length) / seconds
        fastest = max(rates.values())
        level_cost = self._queue * joules / self.settings.energy_per_round_j
        return max(rates, key=lambda length: self.settings.weight * rates[length] / fastest - level_cost * length)

    @override
    def keep_drafting(self, rows: Sequence[Row], tokens: Sequence[int]) -> bool:
        bucket = 0.0
        for row in rows:
            bucket = max(0.0, bucket + row.entropy_bits - self.settings.entropy_leak_bits)
        return bool(bucket <= self.settings.entropy_bucket_bits)
