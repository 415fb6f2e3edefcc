"""Connection states and four-step random access: slot charts by hand, collisions, paging, release, energy."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from channels.theory import preamble_collision
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
_IDEAL = {"channel": "ideal", "mcs": 20, "rrc_inactivity_s": 1.0}
_SLOT_NS = 500_000


def sent_at(times_s, direction=UP, num_devices=1, seed=1, **keys):
    """One small message per device and time; deliveries in order of sending, and the link."""
    env = simpy.Environment()
    link = NrLink(env, num_devices, seed, NrLinkSettings(**{**_IDEAL, **keys}))
    events = []

    def source(device):
        for at_s in times_s:
            yield env.timeout(round(at_s * 1e9) - int(env.now))
            events.append(link.send(Packet(device, direction, 480)))

    for device in range(num_devices):
        env.process(source(device))
    env.run()
    return [event.value for event in events], link


@pytest.mark.parametrize(
    ("pattern", "connected_slot"),
    [
        # Preamble 20, response 22, message 3 in 22 + K2 1 + 3, message 4 in 28, 20 slots of resuming.
        ("F", 48),
        # Occasions are in slot 4 of 20: preamble 24, response 26, message 3 in 34, message 4 in 36.
        ("DDDSU", 56),
    ],
)
def test_slot_chart_of_access(pattern, connected_slot):
    """A message of slot 12 of an inactive device, every slot of its access counted by hand."""
    (found,), link = sent_at([12 * _SLOT_NS / 1e9 - 1e-6], tdd_pattern=pattern)
    start_ns = 12 * _SLOT_NS - 1000
    assert found.notes["connection"] == connected_slot * _SLOT_NS - start_ns
    # The message that completes the connection has told of the buffer: a grant at once, K2 1 later.
    rest = found.access_ns - found.notes["connection"]
    assert rest == (1 if pattern == "F" else 3) * _SLOT_NS
    figures = link.summary()
    assert figures["rrc_setups"] == figures["preambles"] == 1
    assert figures["uplink_connection_per_message_s"] == pytest.approx(found.notes["connection"] / 1e9)


def test_a_connected_device_does_not_ask_again():
    found, link = sent_at([0.1, 0.6, 1.1, 3.0], tdd_pattern="F")
    assert ["connection" in one.notes for one in found] == [True, False, False, True]
    assert link.summary()["rrc_setups"] == 2


def test_release_is_one_inactivity_time_after_the_last_block():
    """In slots: the block of a message that is delivered before the timer is its start."""
    _, link = sent_at([0.1], tdd_pattern="F", rrc_inactivity_s=0.5)
    last = int(link.network.states.active_slot[0])
    assert link.env.now == (last + 1000) * _SLOT_NS
    assert link.network.states.released[0]


@pytest.mark.parametrize(("release_to", "activation_ms"), [("inactive", 10), ("idle", 25 + 20)])
def test_idle_takes_longer(release_to, activation_ms):
    """TS 38.331 Table 12.1-1: resume 10 ms; setup, security, reconfiguration 25 ms, and the core network."""
    (found,), _ = sent_at([0.1], rrc_release_to=release_to, tdd_pattern="F")
    (fast,), _ = sent_at([0.1], rrc_release_to=release_to, rrc_activation_s=0.0, core_network_s=0.0, tdd_pattern="F")
    assert found.notes["connection"] - fast.notes["connection"] == activation_ms * 1_000_000


@pytest.mark.parametrize("num_devices", [2, 10, 20])
def test_collision_probability(num_devices):
    """1 - (53/54)^(n-1) of n devices in one occasion, over 4000 to 12000 preambles; false alarms 1 in 10,000.

    Preambles of one occasion are dependent: the spread of its mean is taken from the occasions themselves.
    """
    num_occasions = 600 if num_devices > 2 else 2000
    env = simpy.Environment()
    link = NrLink(env, num_devices, 3, NrLinkSettings(**_IDEAL, tdd_pattern="F"))
    access = link.network.access
    shares = []
    for occasion in range(num_occasions):
        access._waiting[occasion] = devices = list(range(num_devices))
        before = int(access.collided.sum())
        access._preambles(devices, occasion)
        shares.append((int(access.collided.sum()) - before) / num_devices)
    expected = preamble_collision(num_devices)
    assert expected == pytest.approx({2: 0.0185, 10: 0.1548, 20: 0.2989}[num_devices], abs=5e-5)
    assert abs(np.mean(shares) - expected) < 3.9 * np.std(shares) / np.sqrt(num_occasions)


def test_collisions_are_resolved():
    """Of forty devices in one occasion with eight preambles, all are connected in the end, after several attempts."""
    found, link = sent_at([0.1], num_devices=40, num_preambles=8, tdd_pattern="F")
    figures = link.summary()
    assert len(found) == figures["rrc_setups"] == 40
    assert figures["preamble_collision_share"] > 0.3
    times = sorted(one.notes["connection"] for one in found)
    # Who collides waits for the contention timer of 64 ms.
    assert times[0] < 40e6
    assert times[-1] > 64e6


def test_a_lone_preamble_collides_with_background_users():
    """With 54 preambles and a Poisson number of others of mean m, a preamble is hit with 1 - exp(-m / 54)."""
    found, link = sent_at(np.arange(1, 400) * 3.0, background_preambles_per_s=1000.0, tdd_pattern="F")
    share = link.summary()["preamble_collision_share"]
    expected = 1 - np.exp(-10 / 54)
    num = link.summary()["preambles"]
    assert len(found) == 399
    # False alarms: 1 in 10,000.
    assert abs(share - expected) < 3.9 * np.sqrt(expected * (1 - expected) / num)


def test_access_fails_after_too_many_preambles():
    """With one preamble and others in every occasion, no attempt succeeds; each failure is one of the radio link."""
    keys = {"num_preambles": 1, "background_preambles_per_s": 1e4, "max_preamble_transmissions": 3}
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(**_IDEAL, **keys))
    link.send(Packet(0, UP, 480))
    env.run(until=2_000_000_000)
    figures = link.summary()
    assert figures["rrc_setups"] == 0
    assert figures["random_access_failures"] == figures["preambles"] // 3 > 3
    assert figures["radio_link_failures"] == figures["random_access_failures"]


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("mobility", ["fixed", "linear"])
def test_a_device_without_access_gives_its_message_up(direction, mobility):
    """Two devices with one preamble and no backoff collide for ever: after the outage timeout, their messages fail."""
    keys = {
        "num_preambles": 1, "ra_backoff_s": 0.0, "rrc_inactivity_s": 1.0, "max_preamble_transmissions": 3,
        "outage_timeout_s": 2.0, "snr_db": 20.0, "mobility": mobility, "paging_cycle_frames": 32, "seed": 1,
    }  # fmt: skip
    env, seed = simpy.Environment(), keys.pop("seed")
    link = NrLink(env, 2, seed, NrLinkSettings(**keys))
    for device in range(2):
        # Paging occasions of the two are not the same: background preambles take the place of the other device.
        link.network.access._per_occasion = 1e4 if direction == DOWN else 0.0
        link.send(Packet(device, direction, 480)).defused = True
    env.run(until=20_000_000_000)
    figures = link.summary()
    assert figures["failed_messages"] == 2
    assert figures["rrc_setups"] == 0
    # An attempt takes three contention timers of 64 ms, occasions and 0.1 s of re-establishment: about 0.35 s.
    assert 2 * 5 <= figures["random_access_failures"] <= 2 * 8
    assert not any(mac.has_messages(device) for mac in link.network.links._macs for device in range(2))


def test_a_released_device_out_of_coverage_gives_its_message_up():
    """Moving, it is measured out of coverage again and again; its message fails after the outage timeout once."""
    env = simpy.Environment()
    keys = {"rrc_inactivity_s": 1.0, "mobility": "linear", "distances_m": [20_000.0], "los": "nlos"}
    link = NrLink(env, 1, 1, NrLinkSettings(**keys, outage_timeout_s=3.0))
    event = link.send(Packet(0, UP, 480))
    event.defused = True
    env.run(until=4_000_000_000)
    assert not event.ok and link.summary()["failed_messages"] == 1


def test_a_device_comes_back_after_a_failed_access():
    """The others' preambles end: the message that has waited meanwhile arrives, a re-establishment later at least."""
    env = simpy.Environment()
    keys = {"num_preambles": 1, "max_preamble_transmissions": 3, "reestablishment_s": 0.5, "tdd_pattern": "F"}
    link = NrLink(env, 1, 1, NrLinkSettings(**_IDEAL, **keys))
    link.network.access._per_occasion = 1e4
    event = link.send(Packet(0, UP, 480))
    while not link.network.access.failed[0]:
        env.step()
    failed_ns = env.now
    link.network.access._per_occasion = 0.0
    env.run()
    figures = link.summary()
    assert figures["rrc_setups"] == figures["random_access_failures"] == 1
    assert 0.5e9 < event.value.notes["connection"] - failed_ns < 0.54e9


def test_downlink_waits_for_the_paging_occasion():
    """Messages at times that are spread evenly over the cycle of 320 ms wait for half of it, and for the access."""
    cycle_s, num = 0.32, 64
    times = [(n + 1) * 3.2 + n / num * cycle_s for n in range(num)]
    keys = {"paging_cycle_frames": 32, "tdd_pattern": "F", "transport_delay_s": 0.0}
    found, link = sent_at(times, DOWN, **keys)
    waits = np.array([one.notes["connection"] for one in found]) / 1e9
    assert link.summary()["rrc_setups"] == num
    # From the occasion: half of the preamble's period in the mean, 8 slots to message 4, 20 of resuming.
    least = 1e-3 + 28 * 0.5e-3
    assert waits.min() >= least - 1e-3
    assert waits.max() - waits.min() == pytest.approx(cycle_s, rel=0.05)
    assert waits.mean() == pytest.approx(cycle_s / 2 + 5e-3 + 28 * 0.5e-3, rel=0.03)


def test_uplink_does_not_wait_for_paging():
    (found,), _ = sent_at([0.1], UP, paging_cycle_frames=256)
    assert found.total_ns < 40e6


def test_energy_out_of_connection():
    """Of each paging cycle a slot of SSB and one of paging at 100 units, else deep sleep, 450 unit ms in and out."""
    env = simpy.Environment()
    keys = {"bandwidth_mhz": 100, "num_rx": 4, "mcs": 5, "channel": "ideal", "rrc_inactivity_s": 1.0}
    link = NrLink(env, 1, 1, NrLinkSettings(**keys))
    env.run(until=12_800_000_000)
    # Ten cycles of 1.28 s.
    expected = 10 * (1e-3 * 0.1 + 1.279 * 1e-3 + 0.45e-3)
    assert link.meter(0).radio_joules == pytest.approx(expected, rel=1e-6)
    assert link.summary()["radio_sleep_energy_j"] == pytest.approx(expected, rel=1e-6)


def test_energy_of_a_connection():
    """Connected, the device listens at 100 mW from its request to its release: 1 s and the access."""
    env = simpy.Environment()
    keys = {"bandwidth_mhz": 100, "num_rx": 4, "mcs": 5, "channel": "ideal", "rrc_inactivity_s": 1.0}
    link = NrLink(env, 1, 1, NrLinkSettings(**keys, tdd_pattern="F"))
    event = link.send(Packet(0, UP, 480))
    env.run()
    listened = link.summary()["radio_listen_energy_j"]
    active_s = int(link.network.states.active_slot[0]) * 0.5e-3
    assert event.value.notes["connection"] == 28 * _SLOT_NS
    assert listened == pytest.approx((active_s + 1.0) * 0.1, rel=2e-3)
    # A preamble, a message 3 and the message, 0.7 W for a slot each at 23 dBm.
    assert link.summary()["radio_transmit_energy_j"] == pytest.approx(3 * 0.35e-3, rel=1e-6)


def test_moving_devices_reselect_without_handover():
    """Released devices change their cell unnoticed; connected ones are handed over."""
    keys = {
        "channel": "radio", "mcs": None, "num_sites": 7, "mobility": "linear", "speed_kmh": 120.0,
        "inter_site_distance_m": 100, "shadowing": False, "fading": "none",
    }  # fmt: skip
    times = [0.05, 6.0, 12.0, 18.0]
    found, link = sent_at(times, num_devices=4, **keys)
    figures = link.summary()
    assert len(found) == figures["rrc_setups"] == 16
    always = {**keys, "rrc_inactivity_s": None}
    _, connected = sent_at(times, num_devices=4, **always)
    assert connected.summary()["handovers"] > 3 * max(4, figures["handovers"])


def test_seeds_repeat():
    runs = [[one.total_ns for one in sent_at([0.1, 2.0], num_devices=30, num_preambles=6)[0]] for _ in range(2)]
    assert runs[0] == runs[1]
    other = [one.total_ns for one in sent_at([0.1, 2.0], num_devices=30, num_preambles=6, seed=2)[0]]
    assert other != runs[0]


def test_refusals():
    with pytest.raises(ValueError, match="num_preambles means nothing while devices stay connected"):
        NrLinkSettings(num_preambles=10)
    with pytest.raises(ValueError, match="num_preambles"):
        NrLinkSettings(rrc_inactivity_s=1.0, num_preambles=0)
