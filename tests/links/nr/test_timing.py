"""Uplink timing of an idle cell, slot by slot, against latencies worked out by hand from the rules of the MAC.

Rules: the request goes in the last symbol of the first uplink slot s; DCI in the first downlink slot >= s + 2; PUSCH in
the first uplink slot >= DCI + K2; the first grant is of 512 bytes, then whole-carrier blocks in every uplink slot from
the next DCI (>= PUSCH + 2) + K2; delivery one slot after the last block's end.
"""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings, idle_delivery, idle_uplink_latency_s
from sim.links.nr.phy.carrier import Carrier

SYMBOL_MS = 0.5 / 14


def ms(*args, **keys):
    return idle_uplink_latency_s(*args, **keys) * 1e3


@pytest.mark.parametrize(
    ("scs_khz", "keys", "fdd_ms", "dddsu_ms"),
    [
        (15, {}, 5.0, 11.0),
        (30, {}, 2.5, 5.5),
        (30, {"k2": 4}, 4.0, 8.0),
        (30, {"configured_grant": True}, 1.0, 3.0),
        (60, {}, 1.5, 2.75),
        (120, {}, 0.875, 1.375),
        (120, {"configured_grant": True}, 0.25, 0.75),
        # Timing of 5G-LENA: two slots of control latency, K2 = 2, a grant that holds the report alone, 0.1 ms decoding.
        (30, {"gnb_decision_slots": 2, "k2": 2, "sr_grant_bytes": 12, "decode_latency_s": 1e-4}, 5.6, 7.6),
        (15, {"gnb_decision_slots": 2, "k2": 2, "sr_grant_bytes": 12, "decode_latency_s": 1e-4}, 11.1, None),
    ],
)
def test_a_hundred_bytes(scs_khz, keys, fdd_ms, dddsu_ms):
    assert ms("F", scs_khz, 100, **keys) == pytest.approx(fdd_ms, abs=1e-9)
    if dddsu_ms is not None:
        assert ms("DDDSU", scs_khz, 100, **keys) == pytest.approx(dddsu_ms, abs=1e-9)


# 65 536 bytes, 67 201 with headers: bandwidth, MCS -> FDD K2 = 1, DDDSU K2 = 1, FDD K2 = 4, DDDSU K2 = 4.
LONG_MS = {
    (20, 10): (31.0, 143.0, 34.0, 148.0),
    (20, 16): (18.0, 78.0, 21.0, 83.0),
    (20, 20): (14.5, 60.5, 17.5, 65.5),
    (20, 28): (10.5, 40.5, 13.5, 45.5),
    (100, 10): (9.0, 33.0, 12.0, 38.0),
    (100, 16): (6.5, 20.5, 9.5, 25.5),
    (100, 20): (6.0, 18.0, 9.0, 23.0),
    (100, 28): (5.0, 13.0, 8.0, 18.0),
}


@pytest.mark.parametrize(("bandwidth_mhz", "mcs"), LONG_MS)
def test_sixty_four_kilobytes(bandwidth_mhz, mcs):
    got = [
        ms(pattern, 30, 65_536, k2=k2, bandwidth_mhz=bandwidth_mhz, mcs=mcs)
        for k2 in (1, 4)
        for pattern in ("F", "DDDSU")
    ]
    assert got == pytest.approx(LONG_MS[bandwidth_mhz, mcs], abs=1e-9)


@pytest.mark.parametrize(
    ("scs_khz", "pattern", "mean", "least", "most"),
    [
        (30, "F", 2.286, 2.036, 2.536),
        (30, "DDDSU", 4.286, 3.036, 5.536),
        (15, "F", 4.571, 4.071, 5.071),
        (15, "DDDSU", 8.571, 6.072, 11.071),
        (120, "F", 0.821, 0.759, 0.884),
        (120, "DDDSU", 1.071, 0.759, 1.384),
    ],
)
def test_uniform_arrivals(scs_khz, pattern, mean, least, most):
    # A grid of arrivals over one period whose points straddle the request symbol; its mean is exact to half a step.
    slot_ms = 15 / scs_khz
    step_ms = slot_ms / 14
    arrivals_ms = (np.arange(14 * len(pattern)) + 0.5) * step_ms + 20 * slot_ms * len(pattern)
    got = np.array([ms(pattern, scs_khz, 100, arrival_s=arrival / 1e3) for arrival in arrivals_ms])
    assert got.mean() == pytest.approx(mean, abs=0.001)
    assert got.min() == pytest.approx(least + step_ms / 2, abs=0.001)
    assert got.max() == pytest.approx(most - step_ms / 2, abs=0.001)


@pytest.mark.parametrize("period", [1, 2, 10, 20, 40, 80])
def test_request_period_law(period):
    # Mean 2.036 + P T/2, worst 2.036 + P T: the wait for an opportunity is uniform over the period.
    step_ms = period * 0.5 / 40
    arrivals_ms = (np.arange(40) + 0.5) * step_ms + 40
    got = np.array([ms("F", 30, 100, sr_period_slots=period, arrival_s=a / 1e3) for a in arrivals_ms])
    least = 5 * 0.5 - 13 * SYMBOL_MS
    # A sawtooth sampled in steps: its mean and its peak are right to half a step and a whole one.
    assert got.mean() == pytest.approx(least + period * 0.25, abs=0.51 * step_ms)
    assert least + period * 0.5 - 1.01 * step_ms <= got.max() <= least + period * 0.5


@pytest.mark.parametrize(("pattern", "payload"), [("F", 100), ("DDDSU", 100), ("DDDSU", 65_536), ("DDDDDDDSUU", 3000)])
def test_the_parts_are_named_and_add_up(pattern, payload):
    settings = NrLinkSettings(channel="ideal", mcs=20, tdd_pattern=pattern)
    delivery = idle_delivery(settings, payload, arrival_s=0.0123)
    notes = delivery.notes
    assert delivery.total_ns == sum(notes.values())
    assert delivery.access_ns == notes["sr_wait"] + notes["grant"] + notes["k2"]
    assert delivery.transport_ns == notes["decode"] + notes["transport"]
    assert notes["decode"] == 500_000
    assert notes["transport"] == 200_000
    assert delivery.retransmission_ns == 0


def test_the_wait_for_a_request_and_for_its_grant_are_told_apart():
    """DDDSU from the start of a period: request in slot 4, DCI in slot 8 for PUSCH in slot 9; slots of 0.5 ms."""
    delivery = idle_delivery(NrLinkSettings(channel="ideal", mcs=20, tdd_pattern="DDDSU"), 100)
    assert [delivery.notes[part] for part in ("sr_wait", "grant", "k2")] == [2_500_000, 1_500_000, 500_000]


def test_slots_that_carry_a_message_and_those_between_them_are_told_apart():
    """The first grant, of 512 bytes, is in slot s; DCI of the next in s + 2 for s + 3, and from there without a gap."""
    fdd = idle_delivery(NrLinkSettings(channel="ideal", mcs=20, tdd_pattern="F"), 65_536)
    assert fdd.notes["gaps"] == 2 * 500_000
    assert fdd.air_ns == fdd.notes["air"] + fdd.notes["gaps"]
    # One uplink slot of five: four slots between any two that carry it.
    tdd = idle_delivery(NrLinkSettings(channel="ideal", mcs=20, tdd_pattern="DDDSU"), 65_536)
    assert tdd.notes["air"] == fdd.notes["air"] > 10 * 500_000
    assert tdd.notes["gaps"] == 4 * (tdd.notes["air"] - 500_000)


def test_each_request_takes_its_own_time_to_be_decided():
    """FDD, four slots to decide: a device that asks three slots after another is granted three slots after it."""
    env = simpy.Environment()
    keys = {"tdd_pattern": "F", "gnb_decision_slots": 4, "channel": "ideal", "mcs": 20}
    link = NrLink(env, 2, 1, NrLinkSettings(**keys))
    took = {}

    def source(device, delay_ns):
        yield env.timeout(delay_ns)
        took[device] = yield link.send(Packet(device, Direction.UPLINK, 800))

    for device in range(2):
        env.process(source(device, device * 3 * 500_000))
    env.run()
    # Each: request in the slot that it asks in, DCI five slots later, PUSCH in the next, and a slot of decoding.
    assert [took[device].total_ns for device in range(2)] == [8 * 500_000 + 200_000] * 2


# By slot of the period: offsets to the uplink slots that it grants (N2 = 2), and to its acknowledgement (N1 = 4).
LENA_MAPS = {
    "DSUUDDSUUD": ({0: [2], 1: [2], 5: [2], 6: [2]}, {0: 6, 1: 5, 4: 4, 5: 6, 6: 5, 9: 4}),
    "DSUDDDSUDD": ({0: [2], 5: [2]}, {0: 6, 1: 5, 3: 4, 4: 7, 5: 6, 6: 5, 8: 4, 9: 7}),
    "DSUUUDDDDD": ({0: [2], 1: [2, 3]}, {0: 4, 1: 10, 5: 6, 6: 5, 7: 4, 8: 4, 9: 4}),
}


@pytest.mark.parametrize("pattern", LENA_MAPS)
def test_slot_maps_of_5g_lena(pattern):
    """nr-lte-pattern-generation, N0 = 0, N2 = 2, N1 = 4: K2 and K1 of every slot (TS 38.214 6.1.2.1, TS 38.213 9.2.3).

    5G-LENA lets acknowledgements ride in the special slot.
    """
    carrier = Carrier(NrLinkSettings(tdd_pattern=pattern, k2_slots=2, k1_slots=4, special_carries_pucch=True))
    grants, acknowledgements = LENA_MAPS[pattern]
    period = range(20, 30)
    decided = {slot - 20: [target - slot for target in carrier.decided_at(slot)] for slot in period}
    assert {slot: offsets for slot, offsets in decided.items() if offsets} == grants
    assert {s - 20: carrier.acknowledged_at(s) - s for s in period if pattern[s - 20] in "DS"} == acknowledgements


def test_requests_in_the_special_slot():
    """DSDDDDDDDU: asked in slot 1 instead of 9, granted from 3 and sent in 9, not in 19; DDDSU gains nothing."""

    def slots(pattern, carries):
        settings = NrLinkSettings(channel="ideal", mcs=20, tdd_pattern=pattern, special_carries_pucch=carries)
        return (idle_delivery(settings, 100).total_ns - 200_000) / 500_000

    assert [slots("DSDDDDDDDU", carries) for carries in (False, True)] == [21, 11]
    assert slots("DDDSU", True) == 11


def test_downlink_of_an_idle_cell():
    # Transport 0.2 ms, next slot start, one slot of decision, one slot of air, one slot of decoding.
    settings = NrLinkSettings(channel="ideal", mcs=20, tdd_pattern="F")
    delivery = idle_delivery(settings, 100, "downlink")
    assert delivery.total_ns == 500_000 + 3 * 500_000
    assert delivery.notes["queue"] == 300_000 + 500_000
    # DDDSU, sent such that it could go in the uplink slot: it waits for the next period.
    later = idle_delivery(NrLinkSettings(channel="ideal", mcs=20), 100, "downlink", arrival_s=0.0012)
    assert later.total_ns == (5 + 1 + 1) * 500_000 - 1_200_000


@pytest.mark.parametrize("bandwidth_mhz", [20, 100])
def test_more_bandwidth_or_a_higher_mcs_is_never_slower(bandwidth_mhz):
    times = [ms("DDDSU", 30, 20_000, mcs=mcs, bandwidth_mhz=bandwidth_mhz) for mcs in range(0, 29, 4)]
    assert times == sorted(times, reverse=True)
    sizes = [ms("DDDSU", 30, size, bandwidth_mhz=bandwidth_mhz) for size in (0, 1, 50, 500, 5_000, 50_000)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("pattern", "scs_khz", "keys", "message"),
    [
        ("DDDSU", 45, {}, "scs_khz: Input should be 15, 30, 60 or 120, got 45"),
        ("XYZ", 30, {}, "tdd_pattern 'XYZ', letter: got 'X'; valid: D, S, U, F"),
        ("F", 30, {"k2": 0}, "k2_slots at 30 kHz: got 0; valid: 1 to 32"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(pattern, scs_khz, keys, message):
    with pytest.raises(ValueError) as wrong:
        idle_uplink_latency_s(pattern, scs_khz, 100, **keys)
    assert str(wrong.value) == message
