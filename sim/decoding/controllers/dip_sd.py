"""DiP-SD: a cohort split into verify batches that follow one another, and a draft length for each device."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from typing_extensions import override

from sim.decoding.cohorts import CohortUser, dip_sd
from sim.decoding.controllers.cohort import CohortController, CohortSettings, Member, Place
from sim.decoding.controllers.registry import CONTROLLERS


class DipSdSettings(CohortSettings):
    """Keys of ``dip_sd``."""

    verify_fixed_s: float = Field(default=0.03, gt=0)
    """Seconds of a verify batch before any position is counted, as profiled at the edge."""
    verify_token_s: float = Field(default=0.0002, gt=0)
    """Seconds of a verify batch per position, likewise."""


@CONTROLLERS.register("dip_sd", DipSdSettings, adaptive=True, plans_batches=True)
class DipSd(CohortController):
    """Verify batches and draft lengths of a cohort in one plan (DiP-SD, arXiv 2604.20919).

    While one batch is verified, the others draft. The plan has the most tokens per cycle; it is exact for few devices
    and a local optimum for many. The edge's server holds a batch until it is whole: `edge.policy` must be `cohort`.
    """

    @override
    def plan(self, members: Sequence[Member]) -> Sequence[Place]:
        users = [
            CohortUser(member.alpha, _away_s(member), member.token_bits or 0.0, member.uplink_bps or 1.0)
            for member in members
        ]
        keys = self.settings
        round_trips_s = [member.round_trip_s for member in members]
        best = dip_sd(users, round_trips_s, keys.verify_fixed_s, keys.verify_token_s, keys.max_draft_length)
        batch_of = {user: batch for batch, inside in enumerate(best.batches) for user in inside}
        return [Place(length, None, batch_of[user]) for user, length in enumerate(best.lengths)]


def _away_s(member: Member) -> float:
    """Seconds to draft and upload one token."""
    return (member.draft_token_s or 0.0) + (member.token_bits or 0.0) / (member.uplink_bps or 1.0)
