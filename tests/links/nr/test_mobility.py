"""Devices that move and lose their cell: event A3, interruption, flushed HARQ, radio link failure, outages."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, LinkFailureError, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.rrc.counters import LinkCounters
from sim.links.nr.rrc.handover import EventA3, filter_weight
from sim.links.nr.rrc.radio_link_monitor import RadioLinkMonitor
from tests.links.nr.crossings import edge_crossings_per_minute, handovers_per_minute

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
_MS = 1_000_000


def test_the_filter_keeps_its_time_constant_at_any_period():
    """TS 38.331 5.5.3.2: a = 1/2^(k/4) every 200 ms."""
    assert filter_weight(0, 0.2) == 1.0
    assert filter_weight(4, 0.2) == pytest.approx(0.5)
    assert (1 - filter_weight(4, 0.05)) ** 4 == pytest.approx(0.5)


def triggers(neighbour_db, time_to_trigger_s=0.2, weight=1.0):
    """Times [0.1 s] at which a device at 0 dB is handed over to a neighbour of these gains; offset 2, hysteresis 1."""
    event = EventA3(1, 2, 2.0, 1.0, time_to_trigger_s, weight)
    event.restart(np.array([[0.0, -20.0]]))
    serving = np.array([0])
    found = []
    for step, gain_db in enumerate(neighbour_db):
        for device, cell in event.measure(np.array([[0.0, gain_db]]), serving, step * 0.1):
            assert (device, cell) == (0, 1)
            found.append(step)
    return found


def test_event_a3():
    """TS 38.331 5.5.4.1: every measurement of the time to trigger meets the entry condition, here above 3 dB."""
    assert triggers([2.9, 2.9, 2.9, 2.9]) == []
    assert triggers([3.1, 3.1, 3.1, 3.1]) == [2, 3]
    # Between 1 and 3 dB it has not been left, but is not entered either.
    assert triggers([3.1, 1.1, 1.1, 1.1]) == []
    assert triggers([3.1, 2.9, 3.1, 3.1, 3.1]) == triggers([3.1, 0.9, 3.1, 3.1, 3.1]) == [4]
    assert triggers([3.1], time_to_trigger_s=0.0) == [0]
    # A filter of weight one half takes two measurements to see 6 dB as more than 3.
    assert triggers([6.0, 26.0, 26.0], time_to_trigger_s=0.0, weight=0.5) == [1, 2]


def test_each_neighbour_has_its_own_time_to_trigger():
    """Two neighbours that take turns never make it together; one that holds is taken, though not the strongest."""
    event = EventA3(1, 3, 2.0, 1.0, 0.2, 1.0)
    event.restart(np.array([[0.0, -20.0, -20.0]]))
    serving = np.array([0])
    found = [
        event.measure(np.array([[0.0, *row]]), serving, step * 0.1)
        for step, row in enumerate([(9, 0), (0, 9), (9, 4), (0, 4), (9, 0)])
    ]
    assert found == [[], [], [], [(0, 2)], []]


def test_without_conditions_handovers_are_crossings_of_the_cells_edges():
    """v * perimeter / (pi * area) = 3.18 per device and minute, over 84 of these, within three standard errors.

    Straight lines cross edges more evenly than a Poisson process, whose standard error is an upper bound.
    """
    expected = edge_crossings_per_minute(30.0, 200.0)
    assert expected == pytest.approx(3.18, abs=0.01)
    assert handovers_per_minute(84, 60) == pytest.approx(expected, abs=3 * np.sqrt(expected / 84))


def test_radio_link_monitor():
    """Qout -8, Qin -6, N310 = 2, N311 = 2, T310 = 0.3 s, a measurement every 0.1 s."""

    def failures(sinr_db):
        monitor = RadioLinkMonitor(1, -8.0, -6.0, 2, 2, 0.3)
        return [n for n, value in enumerate(sinr_db) if len(monitor.measure(np.array([value]), n * 0.1))]

    # T310 starts with the second indication, at 0.1 s.
    assert failures([-9, -9, -9, -9, -9]) == [4]
    assert failures([-9, -7, -9, -7, -9, -7, -9]) == []
    # One measurement in synchronisation does not stop it, two do; in between does neither.
    assert failures([-9, -9, -5, -7, -7, -7]) == [4, 5]
    assert failures([-9, -9, -5, -5, -7, -7, -7]) == []


def test_ping_pong_is_a_way_back_within_a_second():
    counters = LinkCounters(2)
    for device, old, new, at_s in ((0, 1, 2, 1.0), (0, 2, 1, 1.9), (0, 1, 2, 3.5), (1, 4, 5, 3.6), (1, 5, 6, 3.7)):
        counters.handover(device, old, new, int(at_s * 1e9))
    figures = counters.figures(60 * 10**9)
    assert figures["handovers"] == 5
    assert figures["handovers_per_device_minute"] == 2.5
    assert figures["ping_pong_share"] == pytest.approx(1 / 5)


# A drive from one site to the next along a line, over channels without fading.
_DRIVE = {
    "num_sites": 7, "wrap_around": False, "shadowing": False, "los": "nlos", "fading": "none", "mobility": "linear",
    "speed_kmh": 300.0, "positions_m": [(20.0, 0.0)], "record_slots": True, "max_records": 10**6,
}  # fmt: skip


def drive(direction, size_bytes, monkeypatch, **keys):
    """One long message during a drive to the right; its delivery and the link."""
    monkeypatch.setattr("channels.mobility.random_headings_deg", lambda *_: np.zeros(1))
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(**{**_DRIVE, **keys}))
    event = link.send(Packet(0, direction, 8 * size_bytes))
    env.run()
    return event.value, link


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_an_interruption_of_forty_milliseconds_adds_just_that(direction, monkeypatch):
    keys = {"mcs": 4, "k2_slots": 4}
    at_once, link = drive(direction, 400_000 if direction == UP else 1_400_000, monkeypatch, **keys)
    assert link.summary()["handovers"] == 0
    size = 900_000 if direction == UP else 2_500_000
    smooth, link = drive(direction, size, monkeypatch, handover_interruption_s=0.0, **keys)
    num_handovers = link.summary()["handovers"]
    assert num_handovers >= 1
    delivery, link = drive(direction, size, monkeypatch, handover_interruption_s=0.04, **keys)
    assert link.summary()["handovers"] == num_handovers
    assert delivery.total_ns - smooth.total_ns == num_handovers * 40 * _MS
    assert delivery.notes["interruption"] == num_handovers * 40 * _MS
    assert sum(delivery.notes.values()) == delivery.total_ns
    assert at_once.total_ns < smooth.total_ns


def test_harq_is_flushed_and_no_byte_is_lost(monkeypatch):
    """What was in flight at the handover is sent again; every byte arrives once."""
    delivery, link = drive(UP, 2_000_000, monkeypatch, mcs=4, time_to_trigger_s=0.0, handover_hysteresis_db=0.0)
    assert link.summary()["handovers"] >= 1
    assert link.summary()["uplink_messages"] == 1
    assert delivery.total_ns > 0
    seen = Counter()
    for record in link.network.records.blocks:
        if record.received:
            for _, _, start, stop in record.carried:
                seen[(start, stop)] += 1
    assert sum(stop - start for start, stop in seen) == link.network.segmenter.stream_bytes(2_000_000)
    assert max(seen.values()) == 1
    for mac in (link.network.uplink, link.network.downlink):
        assert np.all(mac.num_free == 16)
        assert not any(mac._in_flight)


def test_handovers_at_walking_through_seven_cells():
    """30 km/h, 200 m between sites: geometry has 3.2 crossings per device and minute; at most 6.4, few of them back."""
    env = simpy.Environment()
    settings = NrLinkSettings(num_sites=7, mobility="random_waypoint", speed_kmh=30.0)
    link = NrLink(env, 16, 1, settings)
    for _ in range(60):
        for device in range(16):
            link.send(Packet(device, UP, 800))
        env.run(until=int(env.now) + 500 * _MS)
    figures = link.summary()
    # 8 device minutes.
    assert 2.0 < figures["handovers_per_device_minute"] <= 6.4
    assert figures["ping_pong_share"] <= 0.1
    assert sum(link.meter(device).handovers for device in range(16)) == figures["handovers"]


def fade_out(monkeypatch, from_s, to_s, **keys):
    """A cell whose device is 60 dB down between two times; the link and its environment."""
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(mobility="linear", speed_kmh=3.0, fading="none", shadowing=False, **keys))
    channel = link.network.channel
    renew = channel.renew_gains

    def faded(slot):
        renew(slot)
        if from_s <= slot * 0.5e-3 < to_s:
            channel.gain_db -= 60.0

    monkeypatch.setattr(channel, "renew_gains", faded)
    return link, env


def lost_for_three_seconds(monkeypatch, **keys):
    """A message every tenth of a second, and no air from 2 to 5 s: figures, the deliveries that waited, the link."""
    link, env = fade_out(monkeypatch, 2.0, 5.0, record_slots=True, max_records=10**6, **keys)
    arrived = []

    def source():
        for _ in range(60):
            delivery = yield link.send(Packet(0, UP, 800))
            arrived.append((int(env.now) / 1e9, delivery))
            yield env.timeout(100 * _MS)

    env.process(source())
    env.run()
    assert len(arrived) == 60
    return link.summary(), [(at_s, delivery) for at_s, delivery in arrived if "interruption" in delivery.notes], link


def test_radio_link_failure_and_re_establishment(monkeypatch):
    """T310 runs from the measurement at 2.0 to 3.0 s; the cell is found at 5.0 s, and taken up 0.1 s later: 2.1 s."""
    figures, waited, _ = lost_for_three_seconds(monkeypatch, max_rlc_retransmissions=1000)
    assert figures["radio_link_failures"] == 1
    assert figures["failed_messages"] == 0
    assert len(waited) == 1
    # A network that sleeps between retransmissions acts on the measurement at its next slot, some periods later.
    assert figures["interrupted_s"] == pytest.approx(2.1, abs=0.01)
    assert waited[0][1].notes["interruption"] == round(figures["interrupted_s"] * 1e9)
    # An idle message takes at most one period of scheduling requests, grant and air.
    assert 5.1 < waited[0][0] < 5.11


def test_the_rlc_may_find_out_first(monkeypatch):
    """33 times 5 attempts on the same bytes end before T310 does: lost from the last of them until 5.1 s."""
    figures, waited, link = lost_for_three_seconds(monkeypatch)
    failed = [block for block in link.network.records.blocks if not block.received]
    attempts = Counter(block.carried[0][2] for block in failed if block.carried)
    assert max(attempts.values()) == (1 + 4) * (1 + 32)
    assert figures["radio_link_failures"] == len(waited) == 1
    until_s = 5.1 - figures["interrupted_s"]
    last_s = max(block.slot for block in failed) * 0.5e-3
    assert last_s < until_s < last_s + 0.02 < 3.0


def test_an_outage_that_has_not_ended_counts_until_now(monkeypatch):
    """No air from 1 s on, T310 until 2.0 s: 2 s without a link by 4.0 s, and 1 s in a window from 5 to 6 s."""
    link, env = fade_out(monkeypatch, 1.0, 60.0, max_rlc_retransmissions=1000, outage_timeout_s=50.0)
    env.process(_messages(link, env))
    env.run(until=1_500 * _MS)
    assert link.summary()["interrupted_s"] == 0.0
    env.run(until=4_000 * _MS)
    assert link.summary()["radio_link_failures"] == 1 and not link.network.reachable[0]
    assert link.summary()["interrupted_s"] == pytest.approx(2.0, abs=0.01)
    env.run(until=5_000 * _MS)
    link.network.restart_kpis()
    env.run(until=6_000 * _MS)
    assert link.summary()["interrupted_s"] == pytest.approx(1.0, abs=1e-9)


def test_an_outage_before_the_window_does_not_count(monkeypatch):
    """Found again at 5.1 s, of which the window from 4 s has 1.1 s."""
    link, env = fade_out(monkeypatch, 1.0, 5.0, max_rlc_retransmissions=1000)
    env.process(_messages(link, env))
    env.run(until=4_000 * _MS)
    link.network.restart_kpis()
    env.run(until=6_000 * _MS)
    assert link.network.reachable[0]
    assert link.summary()["interrupted_s"] == pytest.approx(1.1, abs=0.01)


def _messages(link, env):
    """One after the other, a tenth of a second between them."""
    while True:
        yield link.send(Packet(0, UP, 800))
        yield env.timeout(100 * _MS)


def test_a_message_fails_after_waiting_for_coverage(monkeypatch):
    link, env = fade_out(monkeypatch, 1.0, 60.0, outage_timeout_s=2.0)
    failed_s = []

    def source():
        for _ in range(8):
            try:
                yield link.send(Packet(0, DOWN, 800))
            except LinkFailureError as failure:
                assert failure.direction == DOWN
                failed_s.append(int(env.now) / 1e9)
            yield env.timeout(500 * _MS)

    env.process(source())
    env.run()
    figures = link.summary()
    assert figures["failed_messages"] == len(failed_s) >= 3
    # The first one has been on its way when the link failed at 2 s; the others waited two seconds each.
    assert failed_s[0] == pytest.approx(4.0, abs=0.11)
    assert np.diff(failed_s) == pytest.approx(np.full(len(failed_s) - 1, 2.5), abs=0.01)
    assert figures["outage_messages"] == len(failed_s) - 1
    assert link.network.downlink.queues[0].stream_bytes == 0


def test_a_device_that_has_left_for_good_does_not_keep_the_network_awake():
    """300 km/h straight on, out of the only cell: the message fails, and then nothing is left to happen."""
    env = simpy.Environment()
    settings = {"mobility": "linear", "speed_kmh": 300.0, "positions_m": [(20.0, 0.0)], "outage_timeout_s": 1.0}
    link = NrLink(env, 1, 1, NrLinkSettings(**settings, scenario="uma", inter_site_distance_m=500.0, gnb_power_dbm=0.0))
    env.run(until=60 * 1000 * _MS)
    with pytest.raises(LinkFailureError):
        env.run(until=link.send(Packet(0, UP, 8000)))
    env.run()
    assert int(env.now) < 70 * 1000 * _MS


def test_out_of_coverage_from_the_start():
    env = simpy.Environment()
    link = NrLink(env, 2, 1, NrLinkSettings(snr_db=[-25.0, 20.0], fading="none"))
    lost, fine = (link.send(Packet(device, UP, 8000)) for device in (0, 1))
    with pytest.raises(LinkFailureError, match="device 0 is out of coverage: uplink message waited 10"):
        env.run(until=lost)
    assert fine.value.total_ns < 20 * _MS
    env.run()


def test_a_link_that_carries_nothing_fails_by_its_retransmissions():
    """An MCS far above what the channel takes: the RLC gives up, three re-establishments change nothing."""
    keys = {"snr_db": 5.0, "fading": "none", "mcs": 27, "max_rlc_retransmissions": 2, "max_harq_retransmissions": 1}
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(outage_timeout_s=1.0, **keys))
    with pytest.raises(LinkFailureError):
        env.run(until=link.send(Packet(0, UP, 8000)))
    env.run()
    assert link.summary()["radio_link_failures"] == 4


def test_time_never_runs_back_though_a_device_is_out_of_reach_from_the_start():
    """Its messages are due to fail after a second; the first message of all comes after five."""
    place = {"positions_m": [(50.0, 0.0), (90_000.0, 0.0)], "wrap_around": False, "num_sites": 7}
    env = simpy.Environment()
    link = NrLink(env, 2, 1, NrLinkSettings(outage_timeout_s=1.0, **place))
    assert not link.network.links.is_covered(1)
    sent_ns = 5_000_000_000
    env.timeout(sent_ns).callbacks.append(lambda _: link.send(Packet(0, UP, 800)))
    times = []
    while env.peek() < 2 * sent_ns:
        env.step()
        times.append(env.now)
    assert times == sorted(times) and times[-1] > sent_ns
