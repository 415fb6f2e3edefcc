"""What a device measures of its own rounds: acceptance, tokens, seconds, uplink bits and joules, as ratios of sums."""

from __future__ import annotations

from dataclasses import dataclass

from sim.decoding.core.controller import RequestState
from sim.decoding.core.steps import Observation


@dataclass(frozen=True, slots=True)
class Spent:
    """What happened between two looks of a device at its clock: as a rule, one round.

    Attributes:
        seconds: Time that passed.
        tokens: Tokens emitted.
        levels: Levels drafted.
        cut_short: Whether the text's limit left less to draft than was planned.
        uplink_bits: Payload bits sent, None where it is not counted.
        joules: Energy of the device, likewise.
    """

    seconds: float
    tokens: int
    levels: int
    cut_short: bool
    uplink_bits: int | None
    joules: float | None


class Meter:
    """Keeps account of one device over all of its requests.

    Args:
        prior_acceptance: Acceptance rate (alpha) assumed before the first round.
        prior_positions: Tested positions that it weighs as much as.
    """

    def __init__(self, prior_acceptance: float, prior_positions: float = 4.0) -> None:
        self._accepted = prior_positions * prior_acceptance
        self._tested = prior_positions
        self._bits = 0
        self._joules = 0.0
        self._levels_with_bits = 0
        self._levels_with_joules = 0
        self._request: RequestState | None = None
        self._counted = 0
        self._last: Observation | None = None
        self._planned = 0

    @property
    def acceptance_rate(self) -> float:
        """alpha, accepted over tested positions, the prior among them: always between 0 and 1."""
        return self._accepted / self._tested

    @property
    def bits_per_level(self) -> float | None:
        """Uplink bits per drafted level, None before the first."""
        return self._bits / self._levels_with_bits if self._levels_with_bits else None

    @property
    def joules_per_level(self) -> float | None:
        """The device's energy per drafted level, radio included, None before the first."""
        return self._joules / self._levels_with_joules if self._levels_with_joules else None

    def look(self, request: RequestState, seen: Observation) -> Spent | None:
        """Book what has happened since the last look; None at the first look of a request.

        Args:
            request: The one that goes on.
            seen: What the device can know now.
        """
        if request is not self._request:
            self._count()
            self._request, self._counted, self._last = request, len(request.rounds), seen
            return None
        tokens = sum(len(round_.tokens) for round_ in request.rounds[self._counted :])
        drafted = sum(round_.drafted for round_ in request.rounds[self._counted :])
        self._count()
        before, self._last = self._last, seen
        assert before is not None
        room = request.remaining + tokens - 1
        levels = min(self._planned, drafted)
        bits = None
        if seen.uplink_bits is not None and before.uplink_bits is not None:
            bits = seen.uplink_bits - before.uplink_bits
        joules = None
        if seen.device_energy_j is not None and before.device_energy_j is not None:
            joules = seen.device_energy_j - before.device_energy_j
        if levels and bits is not None:
            self._bits += bits
            self._levels_with_bits += levels
        if levels and joules is not None:
            self._joules += joules
            self._levels_with_joules += levels
        return Spent(seen.now_s - before.now_s, tokens, levels, room < self._planned, bits, joules)

    def plan(self, levels: int) -> None:
        """Note how many levels the round that begins now is to draft."""
        self._planned = levels

    def _count(self) -> None:
        if self._request is not None:
            for round_ in self._request.rounds[self._counted :]:
                self._accepted += round_.accepted
                self._tested += round_.tested
            self._counted = len(self._request.rounds)


def round_s(levels: int, seen: Observation, bits_per_level: float | None) -> float | None:
    """Expected seconds of a round that drafts so many levels, None while something it takes is unknown.

    Drafting, the uplink at its reported rate, the fixed delays both ways, and the edge with its queue: the T_step of
    FlexSpec (arXiv 2601.00644).

    Args:
        levels: Draft length.
        seen: Measured times, reported rate and delays.
        bits_per_level: Uplink bits per drafted level.
    """
    if seen.draft_token_s is None or seen.target_forward_s is None or seen.round_trip_s is None:
        return None
    if not seen.uplink_bps or bits_per_level is None:
        return None
    per_level_s = seen.draft_token_s + bits_per_level / seen.uplink_bps
    return levels * per_level_s + seen.round_trip_s + seen.target_forward_s
