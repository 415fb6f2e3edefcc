"""Profiles of access, discontinuous reception, and the modem's energy by state."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.mac.drx import DrxTimers

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
_IDEAL = {"channel": "ideal", "mcs": 20}


def deliveries(direction, num, gap_s, num_devices=1, **keys):
    """Small messages at random times, each a gap or more after the one before; deliveries and the link."""
    env = simpy.Environment()
    link = NrLink(env, num_devices, 1, NrLinkSettings(**keys))
    draw = np.random.default_rng(1)
    found = []

    def source(device):
        for _ in range(num):
            yield env.timeout(round((gap_s + draw.uniform(0, gap_s)) * 1e9))
            found.append((yield link.send(Packet(device, direction, 480))))

    for device in range(num_devices):
        env.process(source(device))
    env.run()
    return found, link


@pytest.mark.parametrize(("cycle_s", "wait_ms"), [(0.04, 11.25), (0.16, 70.31)])
def test_mean_wait_of_drx(cycle_s, wait_ms):
    """(T - D)^2 / 2T with D = 10 ms, in whole slots, by the messages of devices that have all fallen asleep."""
    keys = {"drx_cycle_s": cycle_s, "drx_on_s": 0.01, "drx_inactivity_s": 0.0, **_IDEAL, "tdd_pattern": "F"}
    # Times spread evenly over the cycle, one a slot, need few messages.
    num = round(cycle_s / 0.5e-3)
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(**keys))
    waits = []

    def source():
        for n in range(num):
            at_s = (n + 1) * 3 * cycle_s + n / num * cycle_s
            yield env.timeout(round(at_s * 1e9) - int(env.now))
            delivery = yield link.send(Packet(0, DOWN, 480))
            waits.append(delivery.notes.get("drx", 0) / 1e6)

    env.run(until=env.process(source()))
    asleep_ms = 1e3 * cycle_s - 10
    assert np.mean(waits) == pytest.approx(asleep_ms * (asleep_ms + 0.5) / (2e3 * cycle_s))
    assert np.mean(waits) == pytest.approx(wait_ms, abs=0.25)
    assert max(waits) == pytest.approx(asleep_ms)
    assert np.mean(np.array(waits) == 0) == pytest.approx(0.01 / cycle_s)
    assert link.summary()["downlink_drx_per_message_s"] == pytest.approx(np.mean(waits) / 1e3)


def test_the_inactivity_timer_keeps_a_device_listening():
    """A second message within the timer does not wait; after it, one may."""
    keys = {"drx_cycle_s": 0.32, "drx_on_s": 0.005, "drx_inactivity_s": 0.05, **_IDEAL, "tdd_pattern": "F"}
    for gap_s, sleeps in ((0.045, False), (0.06, True)):
        env = simpy.Environment()
        link = NrLink(env, 1, 1, NrLinkSettings(**keys))

        def source(env=env, link=link, gap_s=gap_s):
            yield link.send(Packet(0, DOWN, 480))
            yield env.timeout(round(gap_s * 1e9))
            return (yield link.send(Packet(0, DOWN, 480)))

        process = env.process(source())
        env.run(until=process)
        assert ("drx" in process.value.notes) is sleeps


def test_a_scheduling_request_wakes_a_device_up():
    """Uplink messages never wait for the cycle, and a reply right after one finds its device awake."""
    keys = {"drx_cycle_s": 0.32, "drx_on_s": 0.005, **_IDEAL, "tdd_pattern": "F"}
    with_drx, _ = deliveries(UP, 20, 0.5, **keys)
    without, _ = deliveries(UP, 20, 0.5, **{**keys, "drx_cycle_s": 0.0})
    assert [one.total_ns for one in with_drx] == [one.total_ns for one in without]


def test_timers_count_the_slots_awake():
    """Against a walk slot by slot."""
    timers = DrxTimers(3, 1, 40, 7, 11)
    draw = np.random.default_rng(0)
    events = {int(slot): kind for slot, kind in zip(draw.integers(0, 900, 30), draw.integers(0, 3, 30), strict=True)}
    awake = 0
    for slot in range(1000):
        kind = events.get(slot)
        if kind == 0:
            timers.granted(0, slot)
        elif kind == 1:
            timers.asks(0, slot + 3)
        elif kind == 2:
            timers.stops_asking(0, slot)
        expected = bool(timers.listening(slot)[0])
        assert (timers.listens_at(0, slot) == slot) == expected
        if slot % 17 == 0:
            assert timers.awake_slots(0, slot) == awake
        awake += expected
    assert 200 < awake == timers.awake_slots(0, 1000) < 900


def test_profiles():
    """60 bytes, eight devices in an idle cell: the 4.29 ms of the slot chart and .2 of transport in the lab; about
    15 up in public networks, half the SR period of 20 ms more."""
    means = {}
    for profile in ("lab", "commercial"):
        keys = {"profile": profile, "drx_cycle_s": 0.0, "fading": "none", "distances_m": [50.0] * 8}
        for direction in (UP, DOWN):
            found, _ = deliveries(direction, 40, 0.2, 8, **keys)
            means[profile, direction] = np.mean([one.total_ns for one in found]) / 1e6
    assert means["lab", UP] == pytest.approx(4.49, abs=0.1)
    assert means["lab", DOWN] == pytest.approx(2.14, abs=0.15)
    assert means["commercial", UP] == pytest.approx(15.3, abs=0.6)
    assert means["commercial", DOWN] == pytest.approx(2.7, abs=0.2)


def test_what_is_set_goes_before_the_profile():
    settings = NrLinkSettings(profile="commercial", k2_slots=2, drx_cycle_s=0.0)
    assert settings.access == (2, 4, 40, 2, 0.0)
    assert NrLinkSettings(profile="commercial").access == (4, 4, 40, 2, 0.16)
    assert NrLinkSettings().access == (None, None, 1, 1, 0.0)


def joules(seconds, messages=(), **keys):
    """Energy of one device's modem in so many seconds, in FDD, with messages at its start."""
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(**{**_IDEAL, "tdd_pattern": "F", "num_rx": 4, **keys}))
    for direction, size in messages:
        link.send(Packet(0, direction, 8 * size))
    env.run(until=round(seconds * 1e9))
    return link.meter(0).radio_joules, link


def test_energy_of_listening_and_sleeping():
    """TR 38.840: at 20 MHz, listening is .4 of 100 units, but 50 at least; deep sleep is 1, in and out 450 ms."""
    assert joules(2.0)[0] == pytest.approx(2.0 * 50e-3)
    assert joules(2.0, bandwidth_mhz=100, mcs=5)[0] == pytest.approx(2.0 * 100e-3)
    # 10 of 160 ms awake; 450 unit ms on each gap of 150 ms make 4 units.
    spent, link = joules(16.0, bandwidth_mhz=100, drx_cycle_s=0.16)
    assert spent == pytest.approx(1.0 * 0.1 + 15.0 * (1 + 3) * 1e-3)
    assert link.summary()["radio_sleep_energy_j"] == pytest.approx(0.06)
    # A gap of 10 ms is too short for deep sleep: light sleep is 20 units, and 100 unit ms on each gap are 10.
    assert joules(16.0, bandwidth_mhz=100, drx_cycle_s=0.02)[0] == pytest.approx(8 * 0.1 + 8 * 0.03)
    assert joules(2.0, modem_mw_per_unit=3.0)[0] == pytest.approx(6.0 * 50e-3)


def test_energy_of_sending_and_receiving():
    """64 kB at MCS 20 are 23 slots at 23 dBm: 8.05 mJ; 20 MHz of data reception are .12 W."""
    keys = {"segment_headers": False, "transport_delay_s": 0.0}
    _, link = joules(0.1, [(UP, 65536)], **keys)
    assert link.summary()["radio_transmit_energy_j"] == pytest.approx(23 * 0.35e-3, rel=1e-6)
    _, link = joules(0.1, [(DOWN, 65536)], **keys)
    num_slots = link.network.downlink.kpis.num_transmissions
    assert link.summary()["radio_receive_energy_j"] == pytest.approx(num_slots * 0.5e-3 * (0.12 - 0.05))


def test_power_control_saves_energy():
    """Nearby devices send below 0 dBm: 250 units, not 700."""
    spent = {}
    for distance_m in (15.0, 400.0):
        keys = {"channel": "radio", "mcs": None, "fading": "none", "shadowing": False, "los": "nlos"}
        _, link = joules(1.0, [(UP, 3000)], distances_m=[distance_m], **keys)
        sent = link.network.uplink.kpis.num_transmissions
        spent[distance_m] = link.summary()["radio_transmit_energy_j"] / (sent * 0.5e-3)
    assert spent[15.0] == pytest.approx(0.25, rel=0.35)
    assert spent[400.0] == pytest.approx(0.7, rel=0.02)


def test_refusals():
    with pytest.raises(ValueError, match=r"drx_on_s: got 0.02; valid: at most drx_cycle_s \(0.01\)"):
        NrLinkSettings(drx_cycle_s=0.01, drx_on_s=0.02)
