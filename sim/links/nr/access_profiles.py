"""Profiles of access: what a link takes for the timing keys that a scenario leaves out."""

from __future__ import annotations

from typing import Literal, NamedTuple

ProfileName = Literal["lab", "commercial"]


class AccessProfile(NamedTuple):
    """Timing of access and sleep.

    Attributes:
        k2_slots, k1_slots: None is the smallest that processing allows.
        sr_period_slots, gnb_decision_slots: As the keys of these names.
        drx_cycle_s: 0 without discontinuous reception.
    """

    k2_slots: int | None
    k1_slots: int | None
    sr_period_slots: int
    gnb_decision_slots: int
    drx_cycle_s: float


PROFILES: dict[ProfileName, AccessProfile] = {
    # The least that the standard allows, as in private cells that are set up for latency.
    "lab": AccessProfile(None, None, 1, 1, 0.0),
    # Idle uplink latency of 15 ms, as measured in public networks; the K1 and K2 that srsRAN starts with.
    "commercial": AccessProfile(4, 4, 40, 2, 0.16),
}
