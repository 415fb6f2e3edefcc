"""The fixed link: hand-worked delays, first come first served, M/D/1, conservation, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.links.base import Direction, Packet
from sim.links.fixed import FixedLink, FixedLinkSettings

NS = 1_000_000_000
MESSAGES = st.lists(
    st.tuples(st.integers(0, 50_000_000), st.integers(0, 2), st.integers(0, 60_000)), min_size=1, max_size=25
)


def link(env, num_devices=3, **keys):
    return FixedLink(env, num_devices, 1, FixedLinkSettings(**keys))


def test_delays_worked_out_by_hand(drive):
    keys = {"uplink_mbps": 2, "one_way_delay_s": 0.003, "header_bits": 320}
    first, second, third = drive(lambda env: link(env, **keys), [(0, 0, 19_680), (4_000_000, 1, 1_680), (NS, 2, 0)])
    assert (first.delivery.access_ns, first.delivery.air_ns) == (0, 10_000_000)
    assert (second.delivery.access_ns, second.delivery.air_ns) == (6_000_000, 1_000_000)
    assert (third.delivery.access_ns, third.delivery.air_ns) == (0, 160_000)
    assert first.arrived_ns == 13_000_000
    assert second.arrived_ns == 14_000_000
    assert first.delivery.bits_on_air == 20_000
    assert first.delivery.airtime_ns == first.delivery.air_ns


def test_dedicated_devices_do_not_wait_for_each_other(drive):
    messages = [(0, 0, 19_680), (0, 1, 19_680), (0, 1, 19_680)]
    outcomes = drive(lambda env: link(env, uplink_mbps=2, sharing="dedicated"), messages)
    assert [outcome.delivery.access_ns for outcome in outcomes] == [0, 0, 10_000_000]


def test_directions_do_not_touch_and_have_their_own_rate():
    env = simpy.Environment()
    cell = link(env, uplink_mbps=1, downlink_mbps=4, one_way_delay_s=0, header_bits=0)
    up = cell.send(Packet(0, Direction.UPLINK, 1000))
    down = cell.send(Packet(0, Direction.DOWNLINK, 1000))
    env.run()
    assert up.value.total_ns == 1_000_000
    assert down.value.total_ns == 250_000


@given(MESSAGES, st.sampled_from(["fifo", "dedicated"]), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_parts_add_up_order_is_kept_and_bits_are_conserved(drive, messages, sharing, header_bits):
    keys = {"uplink_mbps": 1.7, "sharing": sharing, "header_bits": header_bits, "one_way_delay_s": 0.001}
    outcomes = drive(lambda env: link(env, **keys), messages)
    for outcome, (sent_ns, device, bits) in zip(outcomes, sorted(messages), strict=True):
        assert (outcome.sent_ns, outcome.device) == (sent_ns, device)
        assert outcome.arrived_ns - outcome.sent_ns == outcome.delivery.total_ns
        assert outcome.delivery.total_ns >= 1_000_000
        assert outcome.delivery.bits_on_air == bits + header_bits
    queues = [outcomes] if sharing == "fifo" else [[o for o in outcomes if o.device == d] for d in range(3)]
    for queue in queues:
        for earlier, later in itertools.pairwise(queue):
            assert later.started_ns == max(later.sent_ns, earlier.left_ns)
        # A busy period of the server carries its bits to within the last message's nanosecond.
        opened, carried = 0, 0
        for outcome in queue:
            if outcome.delivery.access_ns == 0:
                opened, carried = outcome.started_ns, 0
            carried += outcome.delivery.bits_on_air
            assert 0 <= (outcome.left_ns - opened) * 1_700_000 - carried * NS < 1_700_000


@given(MESSAGES, st.integers(1, 400), st.integers(0, 400), st.sampled_from(["fifo", "dedicated"]))
@settings(max_examples=60, deadline=None)
def test_a_slower_uplink_never_delivers_anything_earlier(drive, messages, slow, faster_by, sharing):
    def arrivals(tenths_mbps):
        outcomes = drive(lambda env: link(env, uplink_mbps=tenths_mbps / 10, sharing=sharing), messages)
        return np.array([outcome.arrived_ns for outcome in outcomes])

    assert np.all(arrivals(slow) >= arrivals(slow + faster_by))


@pytest.mark.parametrize("utilisation", [0.5, 0.8])
def test_mean_wait_of_poisson_arrivals_is_that_of_m_d_1(utilisation):
    num_arrivals = 100_000
    service_ns = 1_000_000  # 1000 bits at 1 Mbit/s
    env = simpy.Environment()
    cell = link(env, num_devices=1, uplink_mbps=1, header_bits=0, one_way_delay_s=0)
    gaps = np.random.Generator(np.random.Philox(11)).exponential(service_ns / utilisation, num_arrivals)
    waits = []

    def source():
        for gap in gaps.astype(np.int64).tolist():
            yield env.timeout(gap)
            cell.send(Packet(0, Direction.UPLINK, 1000)).callbacks.append(lambda event: waits.append(event.value))

    env.process(source())
    env.run()
    measured = np.mean([delivery.access_ns for delivery in waits]) / service_ns
    expected = utilisation / (2 * (1 - utilisation))
    # Relative standard error of a mean wait over n arrivals: sqrt(2 (ca^2 + cs^2) / n) / (1 - rho), Whitt, Management
    # Science 35(11), 1989, with ca = 1 and cs = 0; four of them.
    assert measured == pytest.approx(expected, rel=4 * math.sqrt(2 / num_arrivals) / (1 - utilisation))
    assert cell.summary()["uplink_utilisation"] == pytest.approx(utilisation, rel=0.02)


def test_report_and_summary():
    env = simpy.Environment()
    cell = link(env, uplink_mbps=2, downlink_mbps=30, one_way_delay_s=0.004)
    report = cell.report(1)
    assert (report.uplink_bps, report.downlink_bps, report.round_trip_s) == (2e6, 30e6, 0.008)
    assert cell.summary()["uplink_utilisation"] == 0
    cell.send(Packet(0, Direction.UPLINK, 1_680))
    env.run(until=500_000)
    assert cell.summary()["uplink_utilisation"] == 1  # half of the message has left, none of it ahead of time
    env.run(until=4_000_000)
    summary = cell.summary()
    assert summary["uplink_utilisation"] == 0.25
    assert summary["uplink_messages"] == 1
    assert summary["uplink_mean_bits_on_air"] == 2000
    assert summary["downlink_messages"] == summary["downlink_mean_bits_on_air"] == 0
    # Three devices of 2 Mbit/s each: one of them busy for a quarter of the time.
    env = simpy.Environment()
    dedicated = link(env, uplink_mbps=2, sharing="dedicated")
    dedicated.send(Packet(0, Direction.UPLINK, 1_680))
    env.run(until=4_000_000)
    assert dedicated.summary()["uplink_utilisation"] == pytest.approx(0.25 / 3)


def test_memory_does_not_grow_with_messages():
    env = simpy.Environment()
    cell = link(env, uplink_mbps=1)
    for index in range(100):
        env.run(until=(index + 1) * NS)
        cell.send(Packet(index % 3, Direction.UPLINK, 1000))
    env.run()
    assert len(env._queue) == 0
    assert all(not isinstance(value, list | dict) for value in vars(cell.uplink).values())


@pytest.mark.parametrize(
    "keys",
    [
        {"uplink_mbps": -1},
        {"downlink_mbps": 0},
        {"one_way_delay_s": -0.1},
        {"header_bits": -1},
        {"sharing": "none"},
        {"uplink_mbps": math.nan},
        {"uplink_mpbs": 3},
    ],
)
def test_wrong_settings_are_refused(keys):
    with pytest.raises(ValidationError, match=next(iter(keys))):
        FixedLinkSettings(**keys)


def test_wrong_packets_are_refused():
    cell = link(simpy.Environment())
    with pytest.raises(ValueError, match="device: got 3; valid: 0 to 2"):
        cell.send(Packet(3, Direction.UPLINK, 1))
    with pytest.raises(ValueError, match="payload_bits"):
        cell.send(Packet(0, Direction.UPLINK, -1))
    with pytest.raises(ValueError, match="device"):
        cell.report(-1)
