"""Schedulers: the order each promises, diversity gain in closed form, fairness, and that all of them deliver."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from channels.theory import jain_index, pf_gain
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.full_buffer import run_full_buffer
from sim.links.nr.mac.allocation import ResourceGrid, allocate_prbs
from sim.links.nr.mac.pdcch import ControlChannel
from sim.links.nr.mac.schedulers.base import QueueArrays
from sim.links.nr.mac.schedulers.registry import SCHEDULERS

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def grants(at_most):
    """Leave for so many grants in a slot, of any size."""
    channel = ControlChannel(51, 0, 1, 1, at_most)
    channel.open(0, downlink_share=0.0)
    return channel.budget(0, DOWN)


ALL = ["delay_weighted", "earliest_deadline", "max_ci", "proportional_fair", "qos", "round_robin"]


def view(num, rate=None, **arrays):
    """Queues that differ in what is given."""
    fields = {
        "device": np.arange(num),
        "backlog_bytes": np.full(num, 1000),
        "num_prb_needed": np.full(num, 10),
        "message_prb_needed": np.full(num, 10.0),
        "head_of_line_s": np.full(num, 0.01),
        "time_to_deadline_s": np.full(num, 0.09),
        "tokens_at_stake": np.ones(num),
        "weight": np.full(num, 10.0),
        "is_delay_critical": np.zeros(num, dtype=bool),
        "rate_bps": np.ones((num, 1)) if rate is None else np.asarray(rate, dtype=float),
        "average_rate_bps": np.ones(num),
        "slots_since_served": np.full(num, 5),
    }
    fields.update({name: np.asarray(values) for name, values in arrays.items()})
    return QueueArrays(**fields)


def order(name, queues):
    """Queues by priority in the first group."""
    return np.argsort(-SCHEDULERS.find(name).make(0.1).priority(queues)[:, 0], kind="stable").tolist()


@pytest.mark.parametrize("name", sorted(SCHEDULERS.names()))
def test_schedulers_that_do_not_see_messages_do_not_look_at_them(name):
    """First messages are not kept note of for them: what a view says of those would be wrong."""

    class Blind:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, array):
            assert array not in (
                "message_prb_needed", "head_of_line_s", "time_to_deadline_s", "tokens_at_stake", "is_delay_critical"
            ), array  # fmt: skip
            return getattr(self.inner, array)

    scheduler = SCHEDULERS.find(name).make()
    if scheduler.sees_messages:
        with pytest.raises(AssertionError):
            scheduler.priority(Blind(view(3)))
    else:
        scheduler.priority(Blind(view(3)))


def test_what_each_scheduler_prefers():
    assert order("round_robin", view(3, slots_since_served=[3, 9, 5])) == [1, 2, 0]
    assert order("max_ci", view(3, rate=[[2], [5], [3]])) == [1, 2, 0]
    assert order("proportional_fair", view(3, rate=[[2], [5], [3]], average_rate_bps=[1, 5, 2])) == [0, 2, 1]
    assert order("earliest_deadline", view(3, time_to_deadline_s=[0.05, -0.01, 0.02])) == [1, 2, 0]
    waited = view(3, head_of_line_s=[0.01, 0.05, 0.09], time_to_deadline_s=[0.09, 0.05, 0.01])
    assert order("delay_weighted", waited) == [2, 1, 0]


@pytest.mark.parametrize(("num", "published"), [(2, 1.3941), (4, 1.7765)])
def test_proportional_fair_gain_has_its_closed_form(num, published):
    """N devices, i.i.d. Rayleigh at 0 dB, Shannon rates: throughput of PF over that of any blind order."""
    assert pf_gain(num, 0.0) == pytest.approx(published, abs=5e-5)
    draw = np.random.Generator(np.random.Philox(8))
    scheduler = SCHEDULERS.find("proportional_fair").make(0.1)
    window, num_slots = 1000.0, 30_000
    average, total, blind = np.full(num, 0.5), 0.0, 0.0
    served = np.zeros(num)
    for rates in np.log2(1 + draw.exponential(size=(num_slots, num))):
        best = int(scheduler.priority(view(num, rate=rates[:, None], average_rate_bps=average)).argmax())
        average *= 1 - 1 / window
        average[best] += rates[best] / window
        total += rates[best]
        blind += rates.mean()
        served[best] += 1
    # Standard error of the ratio over 30 000 slots is 0.4 %.
    assert total / blind == pytest.approx(pf_gain(num, 0.0), rel=0.01)
    assert served / num_slots == pytest.approx(np.full(num, 1 / num), abs=0.01)


def test_groups_go_to_the_best_queue_until_it_needs_no_more():
    grid = ResourceGrid([4, 4, 3])
    priority = np.array([[9.0, 1.0, 9.0], [5.0, 5.0, 5.0], [1.0, 2.0, 3.0]])
    given = allocate_prbs(grid, priority, [6, 3, 9], grants(16), False)
    # Queue 0 takes group 0 and 2 of group 2; queue 1 three of group 1; queue 2 what is left.
    assert given == {0: [4, 0, 2], 1: [0, 3, 0], 2: [0, 1, 1]}
    assert grid.num_free == 0
    assert grid.free == [0, 0, 0]


def test_no_more_queues_are_started_than_can_be_announced():
    given = allocate_prbs(
        ResourceGrid([4, 4, 4]), np.array([[3.0, 3, 3], [2, 2, 2], [1, 1, 1]]), [2, 2, 9], grants(2), False
    )
    assert given == {0: [2, 0, 0], 1: [2, 0, 0]}
    assert allocate_prbs(ResourceGrid([4, 4]), np.ones((3, 2)), [1, 1, 1], grants(0), False) == {}


def test_tdma_gives_a_slot_to_one_queue():
    grid = ResourceGrid([4, 4, 3])
    given = allocate_prbs(grid, np.array([[1.0, 9.0, 1.0], [5.0, 5.0, 5.0]]), [20, 6], grants(16), True)
    assert given == {1: [4, 2, 0]}
    assert grid.num_free == 0


@pytest.mark.parametrize("multiplexing", ["ofdma", "tdma"])
@pytest.mark.parametrize("scheduler", ALL)
def test_a_burst_on_every_device_is_delivered_in_time(scheduler, multiplexing):
    """400 datagrams of 100 bytes per device at once, MCS 28: all there within 0.4 s (5G-LENA's scheduler suite)."""
    num_devices, num_packets = 4, 100
    settings = NrLinkSettings(channel="ideal", mcs=28, tdd_pattern="F", scheduler=scheduler, multiplexing=multiplexing)
    env = simpy.Environment()
    link = NrLink(env, num_devices, 1, settings)
    for device in range(num_devices):
        for direction in (UP, DOWN):
            for _ in range(num_packets):
                link.send(Packet(device, direction, 8 * 400))
    env.run(until=4 * 10**8)
    for mac in (link.network.uplink, link.network.downlink):
        assert mac.kpis.payload_bits.tolist() == [320_000] * num_devices


@pytest.mark.parametrize("multiplexing", ["ofdma", "tdma"])
@pytest.mark.parametrize("scheduler", ["round_robin", "proportional_fair", "delay_weighted"])
def test_equal_devices_get_equal_shares(scheduler, multiplexing):
    """24 devices alike, 10 MHz, full buffers for 0.6 s: each within 5 % of the mean."""
    settings = NrLinkSettings(
        snr_db=20.0, fading="none", bandwidth_mhz=10, scs_khz=15, tdd_pattern="F", scheduler=scheduler,
        multiplexing=multiplexing, average_window_slots=100, mcs=15,
    )  # fmt: skip
    ran = run_full_buffer(settings, 24, 600, (DOWN,), warm_up_slots=1, message_bits=8 * 100_000)
    received = ran.link.network.downlink.kpis.received_bits
    assert received / received.mean() == pytest.approx(np.ones(24), abs=0.05)
    assert jain_index(received) > 0.999


def test_max_ci_starves_the_weak_and_proportional_fair_does_not():
    jain, total = {}, {}
    for scheduler in ("max_ci", "proportional_fair", "round_robin"):
        settings = NrLinkSettings(
            snr_db=[2.0, 8.0, 14.0, 20.0], tdd_pattern="F", scheduler=scheduler, csi_period_slots=2
        )
        kpis = run_full_buffer(settings, 4, 500, (DOWN,)).link.network.downlink.kpis
        jain[scheduler], total[scheduler] = jain_index(kpis.received_bits), kpis.received_bits.sum()
    assert jain["max_ci"] < 0.5 < jain["proportional_fair"]
    assert total["max_ci"] > total["proportional_fair"] > total["round_robin"]
