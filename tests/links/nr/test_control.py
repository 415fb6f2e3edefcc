"""What the control channels allow: grants by control channel elements, K2 behind the CORESET, reports, fixed MCS."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
import simpy

from channels.nr import bsr_reported_bytes
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings, idle_delivery
from sim.links.nr.full_buffer import run_full_buffer
from sim.links.nr.mac.pdcch import ControlChannel, aggregation_levels, level_thresholds_db, num_cce
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.receiver import Receiver
from tests.links.nr.traffic import run

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


@pytest.mark.parametrize(("num_prb", "symbols", "expected"), [(51, 1, 8), (106, 2, 34), (273, 1, 45), (51, 3, 24)])
def test_control_channel_elements(num_prb, symbols, expected):
    """TS 38.211 7.3.2.2: six resource element groups each, CORESETs in blocks of six PRBs."""
    assert num_cce(num_prb, symbols) == expected


def test_aggregation_levels_fall_with_the_snr():
    assert aggregation_levels(np.array([30.0, 4.0, 0.0, -4.0, -8.0, -30.0]), 45).tolist() == [1, 2, 4, 8, 16, 16]
    # A CORESET of eight elements has no level 16.
    assert aggregation_levels(np.array([-30.0]), 8).tolist() == [8]
    thresholds = level_thresholds_db()
    assert np.all(np.diff(thresholds) < -2.9)
    # Twice the elements gain at least 3 dB of energy, and something in code rate.
    assert thresholds[0] == pytest.approx(5.0, abs=0.1)


def test_levels_follow_a_sinr_once_a_period():
    """Of those asked about by their SINR when a period's first grant is due; of all anew after a move."""
    sinr_db = {0: [10.0, 10.0, 10.0], 3: [4.0, 0.0, -4.0], 12: [30.0, 30.0, -8.0]}
    asked = []

    def of(devices, slot):
        asked.append((devices.tolist(), slot))
        return np.array(sinr_db[slot])[devices]

    channel = ControlChannel(273, 1, 3, 1, max_grants=16)
    channel.set_snr(np.array([50.0, 50.0, 50.0]))
    channel.follow(of, 10)
    assert channel.costs == [1, 1, 1]
    channel.refresh(np.array([0, 1]), 3)
    channel.refresh(np.array([1, 2]), 3)
    assert channel.costs == channel.cost_row.tolist() == [2, 4, 8]
    channel.refresh(np.array([0, 2]), 9)
    channel.refresh(np.array([2]), 12)
    assert channel.costs == channel.cost_row.tolist() == [2, 4, 16]
    channel.set_snr(np.array([50.0, 50.0, 50.0]))
    channel.refresh(np.array([0, 1, 2]), 12)
    assert channel.costs == [1, 1, 16]
    assert asked == [([0, 1], 3), ([2], 3), ([2], 12), ([0, 1, 2], 12)]


def test_interference_raises_aggregation_levels():
    """Seven full cells: by SNR every device takes one CCE, by the SINR that interference leaves up to eight."""
    settings = NrLinkSettings(tdd_pattern="F", num_sites=7, interference="explicit")
    network = run_full_buffer(settings, 35, 200, (DOWN,), seed=2).link.network
    snr_db = network.channel.mean_snr_db(DOWN)
    over_noise = network.interference[DOWN].expected_over_noise(202, np.arange(35)).mean(axis=1)
    by_sinr = aggregation_levels(snr_db - 10 * np.log10(1 + over_noise), network.pdcch.num_cce)
    assert aggregation_levels(snr_db, network.pdcch.num_cce).tolist() == [1] * 35
    # A level is that of its last report, up to ten slots ago; few lie so near to an edge that it has changed since.
    used = np.array(network.pdcch.costs)
    assert set(used.tolist()) >= {1, 2, 4} and (used == by_sinr).mean() > 0.85
    # Without interference, or as a rise over thermal, the SNR decides.
    alone = run_full_buffer(NrLinkSettings(tdd_pattern="F", num_sites=7), 35, 50, (DOWN,), seed=2).link.network
    assert alone.pdcch.costs == [1] * 35


@pytest.mark.parametrize(("snr_db", "grants"), [(20.0, 8), (3.0, 4), (-1.0, 2), (-4.0, 1)])
def test_grants_of_a_slot(snr_db, grants):
    """12 devices with a small message each at once on 51 PRBs: 8 CCEs announce 8, 4, 2 or 1 of them per slot."""
    env = simpy.Environment()
    settings = NrLinkSettings(snr_db=snr_db, fading="none", record_slots=True, tdd_pattern="F", target_bler=0.01)
    link = NrLink(env, 12, 1, settings)
    for device in range(12):
        link.send(Packet(device, DOWN, 80))
    env.run()
    per_slot = Counter(record.slot for record in link.network.records.blocks)
    assert max(per_slot.values()) == grants
    free = NrLink(simpy.Environment(), 12, 1, settings.model_copy(update={"pdcch_symbols": 0}))
    assert free.network.pdcch.num_cce > 1000


def test_directions_share_the_elements_of_a_slot():
    channel = ControlChannel(51, 1, 4, 1, max_grants=16)
    channel.open(5, downlink_share=0.5)
    up = channel.budget(0, UP)
    assert up.cce_left == 4
    up.take(2)
    up.take(2)
    assert not up.fits(1)
    assert channel.budget(0, DOWN).cce_left == 4
    channel.open(6, downlink_share=0.0)
    assert channel.budget(0, UP).cce_left == 8
    single = ControlChannel(11, 1, 4, 1, max_grants=16)
    left = []
    for slot in range(4):
        single.open(slot, downlink_share=0.5)
        left.append(single.budget(0, UP).cce_left)
    assert left == [1, 0, 1, 0]


def test_k2_counts_the_coreset():
    """N2 is 12 symbols at 30 kHz: behind a CORESET of three symbols the next slot's start comes too early."""
    k2 = [Carrier(NrLinkSettings(pdcch_symbols=symbols)).k2 for symbols in range(4)]
    assert k2 == [1, 1, 1, 2]
    # Capability 2 prepares in 5.5 symbols, so that one slot is allowed.
    assert Carrier(NrLinkSettings(pdcch_symbols=3, k2_slots=1)).k2 == 1


@pytest.mark.parametrize("form", ["auto", "short", "long"])
def test_buffer_reports(form):
    """One logical channel group sends the short report: 5-bit levels, 2 bytes; the long one takes 4."""
    settings = NrLinkSettings(channel="ideal", mcs=20, bsr_format=form, sr_grant_bytes=64, tdd_pattern="F")
    env = simpy.Environment()
    link = NrLink(env, 1, 1, settings)
    sizes, reports = [], []
    uplink = link.network.uplink
    known = uplink.on_known

    def note(block):
        sizes.append(block.size_bytes - sum(segment.used_bytes for segment in block.segments))
        reports.append(block.reported_bytes)
        known(block)

    uplink.on_known = note
    link.send(Packet(0, UP, 8 * 4000))
    env.run()
    # The first block is full but for the report.
    assert sizes[0] == {"auto": 2, "short": 2, "long": 4}[form]
    left = 4000 + 3 * 32 - 53
    assert reports[0] >= left
    assert reports[0] == bsr_reported_bytes(reports[0], "long" if form == "long" else "short")


def test_a_report_asks_for_nothing_that_was_granted_since():
    """FDD: grants of three more slots are out when a report is decoded; a long message leaves none of them empty."""
    env = simpy.Environment()
    settings = NrLinkSettings(channel="ideal", mcs=10, tdd_pattern="F", record_slots=True)
    link = NrLink(env, 1, 1, settings)
    link.send(Packet(0, UP, 8 * 40_000))
    env.run()
    sent_bytes = [record.size_bytes for record in link.network.records.blocks]
    assert len(sent_bytes) > 30
    assert int(link.network.uplink.granted_bytes[0]) == sum(sent_bytes)


def test_a_report_that_was_retransmitted_does_not_replace_a_newer_one():
    """A block fails once, later ones pass it with reports that count a second message: the base station keeps those."""

    class FailsOneBlock(Receiver):
        def receive(self, direction, slot, blocks):
            for block in blocks:
                block.received = block.attempt > 0 or slot != 8

    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(channel="ideal", mcs=10, tdd_pattern="F"), decoder=FailsOneBlock())
    uplink = link.network.uplink
    known, kept, newest = uplink.on_known, [], [-1]

    def note(block):
        before = int(uplink.backlog[0])
        known(block)
        if block.first_slot < newest[0]:
            kept.append((block.attempt, before, int(uplink.backlog[0])))
        newest[0] = max(newest[0], block.first_slot)

    uplink.on_known = note
    link.send(Packet(0, UP, 8 * 12_000))
    env.run(until=env.timeout(8 * link.network.carrier.slot_ns + 1))
    link.send(Packet(0, UP, 8 * 12_000))
    env.run()
    ((attempt, before, after),) = kept
    assert attempt == 1
    assert before == after > 5_000


def test_configured_grants_keep_one_mcs():
    """Type 1 fixes mcsAndTBS (TS 38.331): one MCS per device for a whole run, at about the target error rate."""
    ran = run(6, 100, mean_bytes=100, directions=(UP,), configured_grant=True, record_slots=True)
    mcs = defaultdict(set)
    for record in ran.link.network.records.blocks:
        mcs[record.device].add(record.mcs)
    assert all(len(values) == 1 for values in mcs.values())
    assert len(set.union(*mcs.values())) > 2
    assert 0.01 < ran.link.summary()["uplink_first_transmission_bler"] < 0.15


def test_a_moving_device_is_configured_anew():
    """A drive away from the site at 120 km/h: the MCS falls in steps, not block by block."""
    ran = run(
        1, 150, mean_bytes=100, directions=(UP,), configured_grant=True, record_slots=True, shadowing=False, los="nlos",
        mobility="linear", speed_kmh=120, positions_m=[(20.0, 5.0)], inter_site_distance_m=1500, gap_s=0.04,
    )  # fmt: skip
    chosen = [record.mcs for record in ran.link.network.records.blocks if not record.attempt]
    changes = sum(a != b for a, b in pairwise(chosen))
    assert 2 <= changes <= 12
    assert chosen[-1] < chosen[0] - 3


def test_idle_latency_with_a_longer_coreset():
    """Three control symbols: the grant's PUSCH comes one slot later in FDD."""
    one, three = (
        idle_delivery(NrLinkSettings(channel="ideal", mcs=20, tdd_pattern="F", pdcch_symbols=n), 100).total_ns
        for n in (1, 3)
    )
    assert three - one == 500_000
