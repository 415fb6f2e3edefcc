"""A cohort that is planned together: what the base station knows of each device, and the plan for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.decoding.controllers.grants import GrantedController
from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.steps import Assign, Observation, Observe, Step

PRIOR_POSITIONS = 4
"""Tested positions that the prior acceptance of a device is worth."""


class CohortSettings(Settings):
    """Keys of controllers that plan for a cohort."""

    max_draft_length: int = Field(default=8, ge=1, le=64)
    """Longest draft of a device."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate (alpha) assumed before the first round, worth four tested positions."""
    replan_rounds: int = Field(default=50, ge=1)
    """Rounds of all devices after which the plan is made anew; it also is when a device is first known."""


@dataclass(frozen=True, slots=True)
class Place:
    """One device's part of a plan.

    Attributes:
        length: Its draft length.
        uplink_share: Its share of the uplink; None if the plan divides none.
        verify_batch: The batch in which its drafts are verified.
    """

    length: int
    uplink_share: float | None
    verify_batch: int


@dataclass(slots=True)
class Member:
    """What the base station knows of a device.

    Attributes:
        accepted: Positions at which its drafts were accepted, the prior's among them.
        tested: Positions at which they were tested.
        draft_token_s: Seconds to draft a token, None before it has drafted; likewise the following.
        token_bits: Bits on the uplink per drafted token.
        uplink_bps: Rate that it may expect beside the others.
        uplink_whole_bps: Rate that it would have alone.
        round_trip_s: Fixed delay of a small message both ways.
    """

    accepted: float
    tested: float
    draft_token_s: float | None = None
    token_bits: float | None = None
    uplink_bps: float | None = None
    uplink_whole_bps: float | None = None
    round_trip_s: float = 0.0

    @property
    def alpha(self) -> float:
        """Acceptance rate."""
        return self.accepted / self.tested

    @property
    def is_known(self) -> bool:
        """Whether enough is known of it to plan for it."""
        return None not in (self.draft_token_s, self.token_bits, self.uplink_bps, self.uplink_whole_bps)


class Cohort:
    """The members of a cohort, and the plan as it was made last.

    Args:
        prior_acceptance: Alpha of a device that is new.
        replan_rounds: Rounds between plans.
    """

    def __init__(self, prior_acceptance: float, replan_rounds: int) -> None:
        self.members: list[Member] = []
        self.places: dict[int, Place] = {}
        self._prior = prior_acceptance
        self._replan_rounds = replan_rounds
        self._rounds = 0

    def add_device(self) -> int:
        """Add a device; returns its number."""
        self.members.append(Member(PRIOR_POSITIONS * self._prior, PRIOR_POSITIONS))
        return len(self.members) - 1

    def learn(self, device: int, tested: int, accepted: int) -> None:
        """Take in a round that has ended."""
        self.members[device].tested += tested
        self.members[device].accepted += accepted
        self._rounds += 1

    @property
    def known(self) -> list[int]:
        """Devices that can be planned for."""
        return [device for device, member in enumerate(self.members) if member.is_known]

    @property
    def is_stale(self) -> bool:
        """Whether it is time to plan."""
        return self._rounds >= self._replan_rounds or len(self.known) > len(self.places)

    def take(self, places: Sequence[Place]) -> None:
        """Take a plan for the devices that are known."""
        self._rounds = 0
        self.places = dict(zip(self.known, places, strict=True))


class CohortController(GrantedController):
    """Drafts as long, sends at the share and is verified in the batch that one plan for all devices gives it.

    The plan is the base station's: draft lengths ride on verdicts, shares become grants, and batches are the order of
    the edge's server. It rests on what has been measured: acceptance, drafting time, bits per token, reported rates.
    Before a device has been measured, in its first round, it drafts the scenario's length and waits for nobody.

    Args:
        settings: Its keys.
        cohort: The base station's, shared by all devices of a run; by default a new one.
    """

    def __init__(self, settings: Any, cohort: Cohort | None = None) -> None:
        super().__init__(settings)
        self.cohort = cohort if cohort is not None else Cohort(settings.prior_acceptance, settings.replan_rounds)
        self._device = self.cohort.add_device()
        self._request: RequestState | None = None
        self._counted = 0
        self._bits_before = 0
        self._scenario_length = 1

    @abstractmethod
    def plan(self, members: Sequence[Member]) -> Sequence[Place]:
        """A place for each of these devices."""

    @override
    def for_device(self) -> Controller:
        return self._sharing(self.cohort)

    def _sharing(self, cohort: Cohort) -> Self:
        return type(self)(self.settings, cohort)

    @override
    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:
        self._scenario_length = min(controls.draft_length, self.settings.max_draft_length)
        self._measure(request, (yield Observe()))
        self._learn(request)
        place = self._place()
        if place is not None:
            yield Assign(place.uplink_share, place.verify_batch)
        return self.as_granted(request, controls)

    @override
    def grant(self, request: RequestState) -> int:
        self._learn(request)
        place = self._place()
        return self._scenario_length if place is None else place.length

    def _place(self) -> Place | None:
        cohort = self.cohort
        if cohort.is_stale:
            cohort.take(self.plan([cohort.members[device] for device in cohort.known]))
        return cohort.places.get(self._device)

    def _measure(self, request: RequestState, seen: Observation) -> None:
        """Note what a round has shown of the device and its channel."""
        member, bits = self.cohort.members[self._device], seen.uplink_bits or 0
        if request is self._request and request.rounds and request.rounds[-1].drafted and bits > self._bits_before:
            member.token_bits = (bits - self._bits_before) / request.rounds[-1].drafted
        self._bits_before = bits
        member.draft_token_s = seen.draft_token_s if seen.draft_token_s is not None else member.draft_token_s
        member.uplink_bps = seen.uplink_bps
        member.uplink_whole_bps = seen.uplink_whole_bps
        member.round_trip_s = seen.round_trip_s or 0.0

    def _learn(self, request: RequestState) -> None:
        if request is not self._request:
            self._request, self._counted = request, 0
        for round_ in request.rounds[self._counted :]:
            self.cohort.learn(self._device, round_.tested, round_.accepted)
        self._counted = len(request.rounds)
