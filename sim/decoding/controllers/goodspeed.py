"""The edge shares its verify budget among devices, proportionally fair in goodput (GoodSpeed, arXiv 2512.09963)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.grants import GrantedController
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.steps import Step

PRIOR_POSITIONS = 4.0


class GoodSpeedSettings(Settings):
    """Keys of ``goodspeed``."""

    verify_budget: int = Field(default=16, ge=1)
    """Drafted tokens that the edge verifies per round over all devices that are being served."""
    max_draft_length: int = Field(default=16, ge=1, le=64)
    """Longest draft of one device."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate (alpha) assumed before the first round, worth four tested positions."""
    smoothing: float = Field(default=0.1, gt=0, le=1)
    """Weight of the last round in a device's goodput estimate."""


class GoodputEstimates:
    """What the edge knows of every device: its acceptance rate, its goodput, and whether it is being served.

    Args:
        settings: Budget, bounds, priors.
    """

    def __init__(self, settings: GoodSpeedSettings) -> None:
        self._settings = settings
        self._accepted: list[float] = []
        self._tested: list[float] = []
        self._goodput: list[float] = []
        self._serving: list[RequestState | None] = []

    def add_device(self) -> int:
        """Add a device; returns its number."""
        self._accepted.append(PRIOR_POSITIONS * self._settings.prior_acceptance)
        self._tested.append(PRIOR_POSITIONS)
        self._goodput.append(1.0)
        self._serving.append(None)
        return len(self._goodput) - 1

    def learn(self, device: int, tokens: int, tested: int, accepted: int) -> None:
        """Take in a round that has ended."""
        self._accepted[device] += accepted
        self._tested[device] += tested
        self._goodput[device] += self._settings.smoothing * (tokens - self._goodput[device])

    def serve(self, device: int, request: RequestState) -> None:
        """Note which request of a device is being served, until it is finished."""
        self._serving[device] = request

    def acceptance_rate(self, device: int) -> float:
        """Alpha of a device, accepted over tested positions with the prior among them."""
        return self._accepted[device] / self._tested[device]

    def grants(self) -> dict[int, int]:
        """Draft lengths of the devices being served: the gradient step of sum log goodput under the budget.

        One more token for device i is worth alpha_i^(k + 1) / goodput_i; values fall with k, so that giving token by
        token to whom it is worth most is optimal. Ties go to the lower number.
        """
        served = [device for device, request in enumerate(self._serving) if request and not request.finished]
        lengths = dict.fromkeys(served, 0)
        worth = {device: self.acceptance_rate(device) / self._goodput[device] for device in served}
        for _ in range(self._settings.verify_budget):
            open_ones = [device for device in served if lengths[device] < self._settings.max_draft_length]
            if not open_ones:
                break
            winner = max(open_ones, key=lambda device: worth[device])
            lengths[winner] += 1
            worth[winner] *= self.acceptance_rate(winner)
        return lengths


@CONTROLLERS.register("goodspeed", GoodSpeedSettings, adaptive=True)
class GoodSpeed(GrantedController):
    """Each device drafts as much as the edge granted it with the last verdict; the grant's bits are on the air.

    The edge computes grants from rounds that have ended, of all devices. Until its first verdict a device drafts the
    scenario's length; one that was granted nothing gets one token of the target. Where the edge drafts by itself
    there is no message to wait for.

    Args:
        settings: Budget, bounds, priors.
        estimates: The edge's, shared by all devices of a run; by default a new one.
    """

    def __init__(self, settings: GoodSpeedSettings, estimates: GoodputEstimates | None = None) -> None:
        super().__init__(settings)
        self._estimates = estimates if estimates is not None else GoodputEstimates(settings)
        self._device = self._estimates.add_device()
        self._request: RequestState | None = None
        self._counted = 0

    @override
    def for_device(self) -> Controller:
        return GoodSpeed(self.settings, self._estimates)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        self._estimates.serve(self._device, request)
        return self.as_granted(request, controls)
        yield

    @override
    def grant(self, request: RequestState) -> int:
        if request is not self._request:
            self._learn()
            self._request, self._counted = request, 0
        self._learn()
        return self._estimates.grants().get(self._device, 0)

    def _learn(self) -> None:
        if self._request is not None:
            for round_ in self._request.rounds[self._counted :]:
                self._estimates.learn(self._device, len(round_.tokens), round_.tested, round_.accepted)
            self._counted = len(self._request.rounds)
