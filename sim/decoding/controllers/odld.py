"""Optimal draft length by Lambert's W, and speculation off where it cannot pay (ODLD and AS2, arXiv 2509.04576)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.measure import Meter
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.steps import Observation, Observe, Step


class OdldSettings(Settings):
    """Keys of ``odld``."""

    max_draft_length: int = Field(default=16, ge=1, le=64)
    """Longest draft that it may choose."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate (alpha) assumed before the first round, worth four tested positions."""
    prior_load: float = Field(default=0.1, gt=0)
    """Load (L = b + c) assumed while clock or channel have nothing to report."""
    standalone_tokens: int = Field(default=8, ge=1, le=1024)
    """Tokens that the target decodes alone before the device looks again."""


@CONTROLLERS.register("odld", OdldSettings, adaptive=True)
class Odld(Controller):
    """The draft length that is best at the measured acceptance and load, none where the target alone is faster.

    The load L = b + c is the running mean of (uplink time + draft time of one level) over one forward of the target
    (eq. 5); as published, it knows no fixed delay. Once off, speculation comes back when the channel does.

    Args:
        settings: Bounds and priors.
        row_bits: Bits of one level on the uplink; by default measured from past rounds.
    """

    adjusts = ("draft_length", "speculation")

    def __init__(self, settings: OdldSettings, row_bits: int | None = None) -> None:
        super().__init__(settings)
        self._row_bits = row_bits
        self._meter = Meter(settings.prior_acceptance)
        self._sum_of_loads = 0.0
        self._num_loads = 0

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return controls.with_draft_length(self.settings.max_draft_length)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        seen = yield Observe()
        self._meter.look(request, seen)
        self._learn(seen)
        best = self.draft_length()
        self._meter.plan(best)
        return (
            controls.with_draft_length(best) if best else controls.without_speculation(self.settings.standalone_tokens)
        )

    def _learn(self, seen: Observation) -> None:
        """Take one look at b = T_V / T_LLM and c = T_SLM / T_LLM; incomplete ones teach nothing."""
        bits = self._row_bits if self._row_bits is not None else self._meter.bits_per_level
        if bits is not None and seen.uplink_bps and seen.target_forward_s and seen.draft_token_s is not None:
            self._sum_of_loads += (bits / seen.uplink_bps + seen.draft_token_s) / seen.target_forward_s
            self._num_loads += 1

    @property
    def load(self) -> float:
        """L = b + c, a running mean."""
        return self._sum_of_loads / self._num_loads if self._num_loads else self.settings.prior_load

    def draft_length(self) -> int:
        """Algorithms 1 and 2: the optimal draft length, 0 to leave it to the target."""
        from sim.decoding.theory import tk_slt_optimal_draft_length

        best = tk_slt_optimal_draft_length(self._meter.acceptance_rate, self.load)
        return min(best, int(self.settings.max_draft_length))
