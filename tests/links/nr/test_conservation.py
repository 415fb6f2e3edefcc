"""Invariants of every delivery: nothing lost, parts that add up, the same random numbers for the same key."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import simpy

from sim.links.base import Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from tests.links.nr.traffic import BOTH, run

UP, DOWN = BOTH

CASES = {
    "default": {},
    "cell edge": {"snr_db": -2.0, "target_bler": 0.3},
    "losses": {"channel": "ideal", "mcs": 15, "block_error_rate": 0.5, "max_harq_retransmissions": 1},
    "losses, configured grants": {
        "channel": "ideal",
        "mcs": 15,
        "block_error_rate": 0.4,
        "max_harq_retransmissions": 0,
        "configured_grant": True,
    },
    "tdma": {"multiplexing": "tdma", "snr_db": 5.0},
    "configured grants": {"configured_grant": True},
    "configured grants in turns": {"configured_grant": True, "configured_grant_prb": 40},
    "fdd": {"tdd_pattern": "F", "bandwidth_mhz": 5},
    "two uplink slots": {"tdd_pattern": "DDDDDDDSUU", "sr_period_slots": 20, "bsr_format": "short"},
    "one process": {"harq_processes": 1, "snr_db": 2.0},
    "fr2": {"scs_khz": 120, "bandwidth_mhz": 100, "carrier_ghz": 28.0, "gnb_antenna_dbi": 25.0},
    "sionna tables": {"bler_table": "sionna", "mcs_table": 2},
    "low rates": {"mcs_table": 3, "snr_db": -6.0},
    "seven cells": {"num_sites": 7, "interference": "explicit", "num_devices": 14, "per_device": 5},
    "moving": {
        "num_sites": 7,
        "mobility": "linear",
        "speed_kmh": 500.0,
        "large_scale_period_s": 0.01,
        "num_devices": 8,
    },
    "special slot carries PUSCH": {"special_symbols": (4, 2, 8), "special_carries_pusch": True},
}


@pytest.mark.parametrize("name", CASES)
def test_everything_arrives_and_the_parts_add_up(name):
    keys = dict(CASES[name])
    num_devices, per_device = keys.pop("num_devices", 4), keys.pop("per_device", 10)
    ran = run(num_devices, per_device, **keys)
    assert len(ran.sent) == 2 * num_devices * per_device
    for one in ran.sent:
        delivery = one.delivery
        assert delivery.total_ns == one.arrived_ns - one.sent_ns == sum(delivery.notes.values())
        assert min(delivery.access_ns, delivery.air_ns - 1, delivery.retransmission_ns, delivery.transport_ns) >= 0
        assert min(delivery.notes.values()) >= 0
        assert delivery.bits_on_air >= one.payload_bits + 32 * 8
        assert delivery.airtime_ns <= delivery.air_ns + delivery.retransmission_ns
    for device, direction in itertools.product(range(num_devices), BOTH):
        mine = [one for one in ran.sent if (one.device, one.direction) == (device, direction)]
        # In order of delivery here: in-order delivery of the PDCP, TS 38.323 5.2.2.1.
        assert [one.sent_ns for one in mine] == sorted(one.sent_ns for one in mine)
    network = ran.link.network
    for mac in (network.uplink, network.downlink):
        assert all(queue.stream_bytes == 0 and len(queue) == 0 for queue in mac.queues)
        assert not any(mac.resend)
        assert np.all(mac.num_free == network.settings.harq_processes)
        total = sum(one.payload_bits for one in ran.sent if one.direction == mac.direction)
        assert mac.kpis.payload_bits.sum() == total
        mine = [one.delivery.total_ns for one in ran.sent if one.direction == mac.direction]
        assert sum(mac.kpis.delay_ns.values()) == sum(mine)
        figures = ran.link.summary()
        parts_s = [figures[f"{mac.direction}_{part}_per_message_s"] for part in mac.delay_parts]
        assert sum(parts_s) == pytest.approx(np.mean(mine) / 1e9, rel=1e-12)
        # DecodeResult blocks carry all payload and its headers, and some padding.
        assert mac.kpis.received_bits.sum() >= total
    assert len(ran.env._queue) == 0
    if "losses" in name:
        assert network.uplink.kpis.num_lost > 5
        assert network.downlink.kpis.num_lost > 5


def test_a_complete_message_waits_for_an_earlier_one():
    """TS 38.323 5.2.2.1: what a lost block holds up is delivered with it, and the wait has a name."""
    keys = {"channel": "ideal", "mcs": 15, "block_error_rate": 0.4, "max_harq_retransmissions": 1}
    ran = run(2, 40, mean_bytes=300, gap_s=0.002, **keys)
    held = [one for one in ran.sent if "reordering" in one.delivery.notes]
    assert len(held) > 5
    for one in held:
        assert 0 < one.delivery.notes["reordering"] <= one.delivery.retransmission_ns
        together = [
            other
            for other in ran.sent
            if (other.device, other.direction, other.arrived_ns) == (one.device, one.direction, one.arrived_ns)
        ]
        assert any(other.sent_ns < one.sent_ns for other in together)


def test_the_same_seed_gives_the_same_deliveries():
    first, second, other = (run(seed=seed, snr_db=4.0) for seed in (3, 3, 4))
    assert first.sent == second.sent
    assert first.sent != other.sent
    assert first.link.summary() == pytest.approx(second.link.summary(), nan_ok=True)


@pytest.mark.parametrize("pattern", ["F", "DDDSU"])
def test_directions_share_nothing_but_the_control_channel(pattern):
    keys = {"tdd_pattern": pattern, "snr_db": 3.0, "pdcch_symbols": 0}
    both = run(**keys)
    for direction in BOTH:
        alone = run(**keys, directions=(direction,))
        assert alone.sent == [one for one in both.sent if one.direction == direction]


def test_adding_a_device_changes_nobody_elses_place_or_fading():
    settings = NrLinkSettings(fading="tdl_c", speed_kmh=30)
    carrier = Carrier(settings)
    few, many = (RadioChannel(carrier, settings, count, 5) for count in (3, 11))
    rows = np.arange(3)
    assert np.array_equal(few.positions_m(0), many.positions_m(0)[:3])
    assert np.array_equal(few.gain_db, many.gain_db[:3])
    for slot, direction in itertools.product((0, 1, 77, 4000), BOTH):
        assert np.array_equal(few.power_gains(direction, slot, rows), many.power_gains(direction, slot, rows))


def test_an_idle_cell_costs_nothing():
    env = simpy.Environment()
    link = NrLink(env, 1000, 1, NrLinkSettings(fading="none"))
    env.run(until=10**12)
    assert link.network.num_slots_run == 0
    link.send(Packet(17, UP, 800))
    env.run(until=2 * 10**12)
    # A handful of slots out of two million.
    assert 3 <= link.network.num_slots_run <= 12
    assert len(env._queue) == 1  # the run's own end alone


def test_many_messages_of_one_device_stay_in_order_and_share_blocks():
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(channel="ideal", mcs=20, transport_delay_s=0))
    events = [link.send(Packet(0, UP, 800)) for _ in range(20)]
    env.run()
    ends = [event.value.total_ns for event in events]
    assert ends == sorted(ends)
    # 20 messages of 136 bytes: 512 with the first grant, the rest in one block of the next uplink slot but one.
    assert link.network.uplink.kpis.num_first == 2
    assert len(set(ends)) == 2
    assert sum(event.value.bits_on_air for event in events) >= 20 * 136 * 8


def test_the_lowest_mcs_and_the_smallest_grants_get_through():
    keys = {"channel": "ideal", "mcs": 0, "mean_bytes": 40, "sr_grant_bytes": 1, "bandwidth_mhz": 5, "mcs_table": 3}
    for extra in ({}, {"configured_grant": True}, {"special_symbols": (8, 2, 4), "special_carries_pusch": True}):
        assert len(run(5, 8, **keys, **extra).sent) == 80
    with pytest.raises(ValueError, match=r"configured_grant_prb\n  got 1; valid: 23 or more"):
        run(2, 1, channel="ideal", mcs=0, mcs_table=3, configured_grant=True, configured_grant_prb=1)


def test_a_report_older_than_a_request_does_not_undo_it():
    # Two hundred short messages at gaps around the grant cycle, with blocks that fail and come late.
    keys = {"channel": "ideal", "mcs": 20, "block_error_rate": 0.5, "harq_processes": 4}
    ran = run(2, 200, mean_bytes=60, gap_s=0.004, directions=(UP,), **keys)
    assert len(ran.sent) == 400


@pytest.mark.parametrize("direction", BOTH)
def test_a_better_channel_is_not_slower(direction):
    means = [run(3, 12, snr_db=snr, directions=(direction,)).mean_ms(direction) for snr in (0.0, 6.0, 14.0, 24.0)]
    assert means == sorted(means, reverse=True)


def test_a_wider_carrier_is_not_slower():
    keys = {"snr_db": 15.0, "fading": "none", "mean_bytes": 20_000, "directions": (UP,)}
    means = [run(3, 8, bandwidth_mhz=width, **keys).mean_ms() for width in (10, 20, 40, 100)]
    assert means == sorted(means, reverse=True)


def test_configured_grants_save_the_request_of_short_messages():
    keys = {"channel": "ideal", "mcs": 20, "mean_bytes": 60, "directions": (UP,)}
    with_request, without = run(4, 15, **keys), run(4, 15, configured_grant=True, **keys)
    assert without.mean_ms() < with_request.mean_ms() - 1.0
    assert all("sr_wait" not in one.delivery.notes for one in without.sent)


def test_what_a_device_is_told():
    env = simpy.Environment()
    link = NrLink(env, 2, 1, NrLinkSettings(snr_db=[30.0, 0.0], fading="none"))
    near, far = link.report(0), link.report(1)
    # Top MCS of table 1 on 51 PRBs, one slot in five: 5122 bytes per 2.5 ms.
    assert near.uplink_bps == pytest.approx(5122 * 8 / 2.5e-3)
    assert far.uplink_bps < near.uplink_bps / 5
    assert near.downlink_bps > 3 * near.uplink_bps
    # Idle round trip of a small message: 5.5 ms up, 1.5 ms down, transport, waiting for the slot start.
    assert near.round_trip_s == pytest.approx(5.7e-3 + 2.0e-3)
