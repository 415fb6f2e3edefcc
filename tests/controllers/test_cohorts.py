"""Controllers that plan for a cohort: plans are those of the closed forms, and they run in a world."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.decoding.cohorts import CohortUser, dip_sd, equal_finish, multi_spin
from sim.decoding.controllers.cohort import Member
from sim.decoding.controllers.dip_sd import DipSd, DipSdSettings
from sim.decoding.controllers.multi_spin import MultiSpin, MultiSpinSettings
from tests.worlds import controlled_scenario, simulate, small_scenario

MEMBERS = [
    Member(7, 10, 0.004, 1000, 4e5, 1e6, 0.01),
    Member(9, 10, 0.008, 1000, 2e5, 2e6, 0.02),
    Member(5, 10, 0.002, 2000, 8e5, 5e5, 0.01),
]


def test_a_plan_of_multi_spin_is_that_of_its_closed_form():
    places = MultiSpin(MultiSpinSettings(verify_s=0.06)).plan(MEMBERS)
    users = [CohortUser(m.alpha, m.draft_token_s, m.token_bits, m.uplink_whole_bps) for m in MEMBERS]
    lengths, _ = multi_spin(users, 1.0, 0.06, 8)
    assert [place.length for place in places] == lengths
    uploads = [length * m.token_bits for length, m in zip(lengths, MEMBERS, strict=True)]
    ready_s = [length * m.draft_token_s for length, m in zip(lengths, MEMBERS, strict=True)]
    shares, _ = equal_finish(uploads, [m.uplink_whole_bps for m in MEMBERS], 1.0, ready_s)
    assert [place.uplink_share for place in places] == pytest.approx(shares)
    assert sum(shares) == pytest.approx(1)
    assert {place.verify_batch for place in places} == {0}


def test_a_plan_of_dip_sd_is_that_of_its_program():
    places = DipSd(DipSdSettings(verify_fixed_s=0.02, verify_token_s=0.001)).plan(MEMBERS)
    users = [CohortUser(m.alpha, m.draft_token_s + m.token_bits / m.uplink_bps, m.token_bits, 1) for m in MEMBERS]
    best = dip_sd(users, [m.round_trip_s for m in MEMBERS], 0.02, 0.001, 8)
    assert [place.length for place in places] == list(best.lengths)
    for number, inside in enumerate(best.batches):
        assert [places[user].verify_batch for user in inside] == [number] * len(inside)


def test_refused_where_nobody_goes_by_the_plan():
    with pytest.raises(InputError, match=r"edge.policy: controller 'dip_sd' plans verify batches; valid: cohort"):
        small_scenario(controller="dip_sd")
    with pytest.raises(
        InputError, match=r"link.kind: controller 'multi_spin' divides the uplink, and link 'fixed' has"
    ):
        small_scenario(controller="multi_spin", edge={"policy": "cohort"})
    with pytest.raises(InputError, match=r"link.scheduler: controller 'multi_spin' sets weights; valid: qos"):
        small_scenario(controller="multi_spin", edge={"policy": "cohort"}, link={"kind": "nr"})
    small_scenario(controller="multi_spin", edge={"policy": "cohort"}, link={"kind": "nr", "scheduler": "qos"})


WORLD = {"devices": {"count": 4, "requests": 2, "think_time_s": 0}, "workload": {"max_new_tokens": 40}}


def test_all_drafts_of_a_synchronous_cohort_are_verified_together():
    """Four devices, one batch: most steps hold all four drafts; with DiP-SD's pipeline they hold fewer."""
    together = simulate(controlled_scenario("multi_spin", **WORLD))
    compute = {
        "device": {"kind": "fixed", "per_forward_s": 0.01},
        "edge": {"kind": "fixed", "per_forward_s": 0.01, "per_token_s": 0.004},
        "cloud": {"kind": "fixed"},
    }
    keys = {"name": "dip_sd", "verify_fixed_s": 0.01, "verify_token_s": 0.004}
    pipelined = simulate(controlled_scenario(keys, compute=compute, **WORLD))
    assert together.figures["edge_mean_batch"] > 3
    assert 1.2 < pipelined.figures["edge_mean_batch"] < 3


def test_the_pipeline_has_more_tokens_per_second_than_one_batch_of_all():
    """Verification takes as long as drafting: two batches that follow one another keep both ends busy."""
    compute = {
        "device": {"kind": "fixed", "per_forward_s": 0.01},
        "edge": {"kind": "fixed", "per_forward_s": 0.002, "per_token_s": 0.003},
        "cloud": {"kind": "fixed"},
    }
    link = {"kind": "shannon", "uplink_bandwidth_mhz": 20, "downlink_bandwidth_mhz": 20}
    shared = {"compute": compute, "link": link, **WORLD}
    pipelined = simulate(
        controlled_scenario({"name": "dip_sd", "verify_fixed_s": 0.002, "verify_token_s": 0.003}, **shared)
    )
    one_batch = simulate(controlled_scenario({"name": "multi_spin", "verify_s": 0.06}, **shared))
    assert pipelined.simulated_s < 0.95 * one_batch.simulated_s
