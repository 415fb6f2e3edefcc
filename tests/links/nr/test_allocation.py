"""Where PRBs lie and how many: by the device's report, away from neighbours and from what failed, within its power."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.full_buffer import run_full_buffer
from sim.links.nr.mac.allocation import ResourceGrid, allocate_prbs, rotated_groups
from sim.links.nr.mac.grant_width import GrantWidths
from sim.links.nr.mac.power_sharing import gain_rows, share_by_gain, share_evenly, share_in_order, spread_gains
from sim.links.nr.mac.schedulers.registry import SCHEDULERS
from tests.links.nr.test_schedulers import grants
from tests.links.nr.traffic import run

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def test_the_order_of_groups():
    """By preference, ties from the cell's own start on, groups of a failed attempt last."""
    assert [rotated_groups(13, cell)[0] for cell in range(8)] == [0, 1, 3, 5, 7, 9, 11, 0]
    grid = ResourceGrid([4, 4, 4, 4, 3], rotated_groups(5, 3))
    assert grid.order(np.zeros(5)) == [2, 3, 4, 0, 1]
    assert grid.order(np.array([1.0, 0, 0, 1, 2])) == [4, 3, 0, 2, 1]
    assert grid.order(np.array([1.0, 0, 0, 1, 2]), avoid=[0, 0, 0, 2, 3]) == [0, 2, 1, 4, 3]
    assert grid.take(6, [4, 3, 0]) == [0, 0, 0, 3, 3]
    assert (grid.free, grid.num_free) == ([4, 4, 4, 1, 0], 13)
    assert grid.take(14, [0]) is None


def test_a_blind_scheduler_places_each_queue_on_its_best_groups():
    preference = np.array([[1.0, 5, 3], [1, 5, 3]])
    given = allocate_prbs(ResourceGrid([4, 4, 4]), np.array([[1.0], [2.0]]), [6, 3], grants(16), False, preference)
    assert given == {1: [0, 3, 0], 0: [1, 1, 4]}


def test_of_the_groups_that_a_queue_wins_it_takes_those_that_it_prefers():
    priority = np.array([[9.0, 8, 7], [1, 1, 1]])
    given = allocate_prbs(
        ResourceGrid([4, 4, 4]), priority, [3, 12], grants(16), False, np.array([[0.0, 0, 1], [0, 0, 0]])
    )
    assert given == {0: [0, 0, 3], 1: [4, 4, 1]}


@pytest.mark.parametrize(("spread_ns", "gain_db"), [(100, 3.6), (300, 4.1)])
def test_a_lone_device_gets_its_best_group(spread_ns, gain_db):
    """Best of 13 groups against their mean, over the slots of 60-byte messages: +3.6 and +4.1 dB."""
    ran = run(
        20, 30, mean_bytes=60, fixed_size=True, gap_s=0.05, directions=(DOWN,), snr_db=25.0, record_slots=True,
        delay_spread_ns=spread_ns,
    )  # fmt: skip
    network = ran.link.network
    used, mean = [], []
    for record in network.records.blocks:
        if not record.attempt:
            gains = network.channel.power_gains(DOWN, record.slot, np.array([record.device]))[0]
            used.append(10 * np.log10(np.average(gains, weights=record.prbs_per_group)))
            mean.append(10 * np.log10(gains.mean()))
    assert len(used) > 500
    # 600 blocks of 20 devices at 3 km/h over a second and a half: a standard error of 0.1 dB; reports are 4 slots old.
    assert np.mean(used) - np.mean(mean) == pytest.approx(gain_db, abs=0.3)


def answers(num_at_once, **keys):
    """Error rate of first transmissions when so many devices of each of seven cells are answered in one slot."""
    env = simpy.Environment()
    link = NrLink(env, 56, 1, NrLinkSettings(num_sites=7, interference="explicit", **keys))
    for turn in range(0, 8 * 12, num_at_once):
        for device in range(56):
            if (device // 7 - turn) % 8 < num_at_once:
                link.send(Packet(device, DOWN, 336))
        env.run(until=int(env.now) + 40_000_000)
    env.run()
    return link.summary()["downlink_first_transmission_bler"]


def test_lightly_loaded_cells_keep_out_of_each_others_way(monkeypatch):
    """At most 10 % of first transmissions fail; from group 0 on in every cell it is several times as many.

    With answers to all devices in one slot, only cells that keep to their own parts of the carrier stay clear.
    """
    placed, crowded, apart = answers(1), answers(8), answers(8, prb_placement="reuse")
    assert placed < 0.1
    assert apart < 0.15 < crowded
    monkeypatch.setattr(ResourceGrid, "order", lambda grid, *_: list(range(len(grid.free))))
    assert answers(1) > 2 * placed + 0.1


def test_retransmissions_avoid_the_groups_that_failed():
    ran = run(
        6, 40, mean_bytes=60, fixed_size=True, directions=(DOWN,), gap_s=0.05, snr_db=14.0, target_bler=0.4,
        record_slots=True, speed_kmh=30,
    )  # fmt: skip
    last, overlaps = {}, []
    for record in ran.link.network.records.blocks:
        if record.attempt:
            overlaps.append(
                any(new and old for new, old in zip(record.prbs_per_group, last[record.device], strict=True))
            )
        last[record.device] = record.prbs_per_group
    assert len(overlaps) > 50
    # Two blocks of one device may be under way at once, and then `last` is the other one's.
    assert np.mean(overlaps) < 0.05


@pytest.mark.parametrize("scheduler", ["round_robin", "earliest_deadline", "proportional_fair"])
def test_power_limited_devices_share_the_uplink_slot(scheduler):
    """Eight devices at 300 m UMi NLoS, flat, FDD: 53 Mbit/s on 6 PRBs each, 23.6 where one has all 51."""
    keys = {"distances_m": [300.0] * 8, "los": "nlos", "shadowing": False, "fading": "none", "tdd_pattern": "F"}
    shared = run_full_buffer(NrLinkSettings(scheduler=scheduler, **keys), 8, 200).link.summary()
    assert shared["uplink_mac_throughput_bps"] > 50e6
    assert shared["uplink_jain_index"] > 0.97
    assert shared["uplink_prb_utilisation"] > 0.98
    alone = run_full_buffer(NrLinkSettings(scheduler=scheduler, multiplexing="tdma", **keys), 8, 200).link.summary()
    assert alone["uplink_mac_throughput_bps"] < 30e6


@pytest.mark.parametrize("scheduler", SCHEDULERS.names())
@pytest.mark.parametrize("fading", ["none", "tdl_a"])
def test_few_grants_fill_the_carrier_although_many_power_limited_devices_wait(scheduler, fading):
    """32 devices at 300 m UMi NLoS with power for few PRBs each, of which a slot can announce two or three."""
    keys = {"distances_m": [300.0] * 32, "los": "nlos", "shadowing": False, "fading": fading, "tdd_pattern": "DDDSU"}
    ran = run_full_buffer(NrLinkSettings(scheduler=scheduler, **keys), 32, 400).link.summary()
    assert ran["uplink_prb_utilisation"] > 0.95


def test_where_power_ends_an_order_goes_up_to_an_even_share():
    def shared(needed, limit, num_prb):
        return share_in_order(np.array(needed), np.array(limit), num_prb).tolist()

    # All 51 go round: six each, and one more to the first three.
    assert shared([51] * 8, [1] * 8, 51) == [7, 7, 7, 6, 6, 6, 6, 6]
    # Who needs little leaves the rest to the others; who has power for all may have all, when its turn comes.
    assert shared([2, 51, 51], [1, 1, 51], 51) == [2, 25, 51]
    assert shared([51, 51], [1, 1], 51) == [26, 25]
    assert shared([3, 4], [50, 50], 51) == [3, 4]
    assert share_evenly(np.array([51, 51, 2]), 51).tolist() == [25, 24, 2]


def test_prbs_go_where_they_are_worth_most():
    """Proportional fairness in one slot: bits of two devices as closed forms, the product of both by trying all."""
    sinr, headroom, num_prb = 31.0, 2, 51

    def bits(width):
        spread = np.maximum(width / headroom, 1.0)
        return width * np.log2(1 + sinr / spread)

    widths = np.arange(1, num_prb)
    best = int(widths[np.argmax(np.log(bits(widths)) + np.log((num_prb - widths) * np.log2(1 + sinr)))])
    # At the optimum the worth of a PRB, its rate over the average one, is the same for both.
    value = np.log2(1 + sinr) / np.array([bits(np.array(best)), (num_prb - best) * np.log2(1 + sinr)])
    gains = spread_gains(9.0)[gain_rows(np.full(2, np.log2(1 + sinr)))]
    found = share_by_gain(np.array([51, 51]), np.array([headroom, 51]), value, gains, num_prb)
    assert found.sum() == num_prb
    assert found[0] == pytest.approx(best, rel=0.34)  # to a step of the widths


@pytest.mark.parametrize("scheduler", ["round_robin", "proportional_fair", "earliest_deadline"])
def test_a_device_far_away_is_not_left_out_beside_near_ones(scheduler):
    """One at 300 m without line of sight beside one at 50 m, whose power reaches for the whole carrier."""
    keys = {"distances_m": [50.0, 300.0], "los": "nlos", "shadowing": False, "fading": "none", "tdd_pattern": "F"}
    both = run_full_buffer(NrLinkSettings(scheduler=scheduler, **keys), 2, 600).link.network.uplink.kpis
    alone = run_full_buffer(
        NrLinkSettings(scheduler=scheduler, multiplexing="tdma", **keys), 2, 600
    ).link.network.uplink.kpis
    near, far = both.received_bits.tolist()
    near_alone, far_alone = alone.received_bits.tolist()
    # The far one has two thirds of what it has where it gets every other slot for itself, and together they carry more.
    assert far > 0.65 * far_alone and near + far > 1.1 * (near_alone + far_alone)


def test_widths_beyond_the_headroom_follow_the_thinner_power():
    ran = run_full_buffer(
        NrLinkSettings(distances_m=[300.0], los="nlos", shadowing=False, fading="none", tdd_pattern="F"), 1, 5
    )
    widths: GrantWidths = ran.link.network.uplink.adaptation.widths
    rows = np.array([0])
    assert widths.headroom_prb[0] == 1
    assert widths.full_bytes(rows)[0] > 10 * widths.headroom_bytes[0]
    needed = [int(widths.needed(rows, np.array([want]), 14)[0]) for want in (24, 90, 200, 512, 1000, 10**6)]
    assert needed == sorted(needed)
    assert needed[0] == 1
    assert needed[3] < 15
    assert needed[-1] == widths.max_prb[0]
