"""HARQ round trips to the slot, the mean delay law, combining, and what happens when HARQ gives up."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from channels.harq import incremental_combine, incremental_equivalent_sinr
from channels.theory import harq_mean_delay
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.receiver import Receiver
from tests.links.nr.traffic import run

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


class FailsFirst(Receiver):
    """Receives what has been tried often enough."""

    def __init__(self, num_failures):
        self.num_failures = num_failures

    def receive(self, direction, slot, blocks):
        for block in blocks:
            block.received = block.attempt >= self.num_failures


def retransmission_slots(pattern, scs_khz, num_failures=1, direction=UP, start_slot=0, **keys):
    """Slots that failures add to one short message."""
    env = simpy.Environment()
    width = 20 if scs_khz < 120 else 50
    settings = NrLinkSettings(
        channel="ideal", mcs=10, tdd_pattern=pattern, scs_khz=scs_khz, bandwidth_mhz=width, **keys
    )
    link = NrLink(env, 1, 1, settings, decoder=FailsFirst(num_failures))
    slot_ns = link.network.carrier.slot_ns
    env.run(until=env.timeout(start_slot * slot_ns))
    event = link.send(Packet(0, direction, 800))
    env.run()
    return event.value.retransmission_ns / slot_ns


@pytest.mark.parametrize(
    ("pattern", "scs_khz", "keys", "slots"),
    [
        ("F", 15, {}, 3),
        ("F", 30, {}, 3),
        ("F", 60, {}, 4),
        ("F", 120, {}, 5),
        ("DDDSU", 30, {"k2_slots": 1}, 5),
        ("DDDSU", 30, {"k2_slots": 2}, 5),
        ("DDDSU", 30, {"k2_slots": 3}, 5),
        ("DDDSU", 30, {"k2_slots": 4}, 10),
        ("DDSU", 30, {}, 4),
        ("DDSU", 30, {"k2_slots": 4}, 8),
        ("DDSU", 120, {}, 8),
    ],
)
def test_uplink_round_trip(pattern, scs_khz, keys, slots):
    assert retransmission_slots(pattern, scs_khz, **keys) == slots
    assert retransmission_slots(pattern, scs_khz, num_failures=3, **keys) == 3 * slots


def test_round_trips_of_two_uplink_slots_in_a_row():
    # DDDDDDDSUU: the first uplink slot's block comes again ten slots later, the second's nine (both in the first).
    found = {retransmission_slots("DDDDDDDSUU", 30, start_slot=slot, configured_grant=True) for slot in (8, 9)}
    assert found == {10, 9}


def test_downlink_round_trip():
    # FDD, K1 = 1: sent in n, acknowledged in n + 1, known after it and a slot of decision: again in n + 3.
    assert retransmission_slots("F", 30, direction=DOWN) == 3
    # DDDSU: block in slot 2, acknowledged in 4, known for 6.
    assert retransmission_slots("DDDSU", 30, direction=DOWN) == 4


@pytest.mark.parametrize(("pattern", "round_trip_ms"), [("F", 1.5), ("DDDSU", 2.5)])
@pytest.mark.parametrize("error", [0.1, 0.3])
def test_mean_delay_law(pattern, round_trip_ms, error):
    num = 1500
    ran = run(
        10, num // 10, mean_bytes=60, fixed_size=True, gap_s=0.05, directions=(UP,), channel="ideal", mcs=20,
        block_error_rate=error, max_harq_retransmissions=31, tdd_pattern=pattern,
    )  # fmt: skip
    measured = np.mean([one.delivery.retransmission_ns for one in ran.sent]) / 1e6
    # Geometric number of retransmissions: standard deviation sqrt(p) / (1 - p); four standard errors.
    tolerance = 4 * round_trip_ms * np.sqrt(error) / (1 - error) / np.sqrt(num)
    assert measured == pytest.approx(float(harq_mean_delay(round_trip_ms, error)), abs=tolerance)


def test_rounds_follow_the_error_rate():
    ran = run(4, 100, channel="ideal", mcs=10, block_error_rate=0.25, max_harq_retransmissions=31)
    for direction in ("uplink", "downlink"):
        summary = ran.link.summary()
        num = summary[f"{direction}_messages"]
        assert summary[f"{direction}_first_transmission_bler"] == pytest.approx(0.25, abs=4 * 0.433 / np.sqrt(num))
        assert summary[f"{direction}_harq_rounds_mean"] == pytest.approx(1 / 0.75, abs=4 * 0.667 / np.sqrt(num))


def test_after_the_last_retransmission_the_rlc_sends_again():
    # Two transmissions of each block: three failures are one lost block and one failure more.
    keys = {"max_harq_retransmissions": 1, "rlc_status_delay_s": 0.004}
    slots = retransmission_slots("F", 30, num_failures=1, **keys)
    assert slots == 3
    env = simpy.Environment()
    attempts = []

    class FailsThrice(Receiver):
        def receive(self, direction, slot, blocks):
            for block in blocks:
                attempts.append((slot, block.attempt))
                block.received = len(attempts) > 3

    link = NrLink(env, 1, 1, NrLinkSettings(channel="ideal", mcs=10, tdd_pattern="F", **keys), decoder=FailsThrice())
    event = link.send(Packet(0, UP, 800))
    env.run()
    # PUSCH in 3 and 6; lost, known in 8; 8 slots of status delay: request in 16, DCI 18, PUSCH 19, again 22.
    assert attempts == [(3, 0), (6, 1), (19, 0), (22, 1)]
    assert event.value.retransmission_ns == (22 - 3) * 500_000
    assert link.network.uplink.kpis.num_lost == 1


def snr_of_error(mcs, num_prb, error_rate):
    """SNR [dB] at which the first transmission of a block fails so often."""
    errors = BlockErrors(Carrier(NrLinkSettings()), "specran", 0.1)
    grid = np.arange(-8.0, 25.0, 0.01)
    rates = np.vectorize(errors.error_rate)(mcs, num_prb, 14, grid)
    return float(grid[np.argmin(np.abs(rates - error_rate))])


@pytest.mark.parametrize("combining", ["chase", "incremental"])
def test_combining_follows_the_error_curves(combining):
    """Share of blocks lost after two transmissions at a fixed SNR, against the curve at the combined SINR."""
    mcs, num_prb = 16, 12  # the grant of 512 bytes that answers a request
    snr_db = snr_of_error(mcs, num_prb, 0.4)
    keys = {"mcs": mcs, "snr_db": snr_db, "fading": "none", "harq_combining": combining, "max_harq_retransmissions": 1}
    ran = run(1, 400, mean_bytes=100, fixed_size=True, gap_s=0.02, directions=(UP,), record_slots=True, **keys)
    carrier = Carrier(NrLinkSettings(**keys))
    errors = BlockErrors(carrier, "specran", 0.1)
    records = ran.link.network.records.blocks
    first, again = ([r for r in records if r.attempt == n] for n in (0, 1))
    assert first[0].sinr_db == pytest.approx(snr_db)
    assert {record.num_prb for record in first} == {num_prb}
    expected = errors.error_rate(mcs, num_prb, 14, snr_db)
    assert first[0].error_rate == pytest.approx(expected)
    assert expected == pytest.approx(0.4, abs=0.05)
    failed = np.mean([not r.received for r in first])
    assert failed == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(first)))
    linear = 10 ** (snr_db / 10)
    combined = 2 * linear
    if combining == "incremental":
        table = carrier.mcs_table
        union = incremental_combine(linear, 1.0, linear, 1.0, 6.5)
        combined = float(incremental_equivalent_sinr(union, table.modulation_order[mcs], table.code_rate[mcs], 2))
    assert again[0].sinr_db == pytest.approx(10 * np.log10(combined))
    assert all(r.received for r in again)


def test_combining_helps():
    lost = {}
    for combining in ("none", "chase", "incremental"):
        keys = {"mcs": 16, "snr_db": snr_of_error(16, 12, 0.6), "fading": "none", "harq_combining": combining}
        ran = run(1, 40, mean_bytes=100, fixed_size=True, gap_s=0.02, directions=(UP,), **keys)
        lost[combining] = ran.link.summary()["uplink_harq_rounds_mean"]
    assert lost["none"] > lost["chase"] + 0.5
    assert lost["incremental"] == pytest.approx(lost["chase"], abs=0.1)
