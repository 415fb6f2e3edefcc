"""Multi-SPIN: bandwidths and draft lengths of a cohort in one plan, all verified together."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from typing_extensions import override

from sim.decoding.cohorts import CohortUser, multi_spin, multi_spin_rate
from sim.decoding.controllers.cohort import CohortController, CohortSettings, Member, Place
from sim.decoding.controllers.registry import CONTROLLERS

MIN_SHARE = 1e-6
"""Share of a device that has nothing to send in the plan."""


class MultiSpinSettings(CohortSettings):
    """Keys of ``multi_spin``."""

    verify_s: float = Field(default=0.05, gt=0)
    """Seconds to verify the batch, with the way back, as profiled at the edge."""
    equal_lengths: bool = False
    """Whether all devices draft alike, so that bandwidth alone evens them out."""


@CONTROLLERS.register("multi_spin", MultiSpinSettings, adaptive=True, plans_batches=True, sets_shares=True)
class MultiSpin(CohortController):
    """Uplink shares and draft lengths of a synchronous cohort in one plan (Multi-SPIN, arXiv 2606.04581).

    Drafts and uploads of all devices end together, and one batch verifies them: the shares are the closed form of that,
    and the lengths have the highest sum goodput under it. Shares are weights among those that send: what one leaves
    idle is used by the others. The edge's server holds the batch until it is whole: `edge.policy` must be `cohort`; the
    link must have shares, `shannon` or `nr` with the scheduler `qos`.
    """

    @override
    def plan(self, members: Sequence[Member]) -> Sequence[Place]:
        users = [
            CohortUser(
                member.alpha, member.draft_token_s or 0.0, member.token_bits or 1.0, member.uplink_whole_bps or 1.0
            )
            for member in members
        ]
        keys = self.settings
        lengths, _ = multi_spin(users, 1.0, keys.verify_s, keys.max_draft_length, keys.equal_lengths)
        _, shares = multi_spin_rate(users, lengths, 1.0, keys.verify_s)
        return [Place(length, max(share, MIN_SHARE), 0) for length, share in zip(lengths, shares, strict=True)]
