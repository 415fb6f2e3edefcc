"""The Shannon link: exact fluid integration, processor sharing, ergodic rate, keyed random numbers, refusals."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import deque

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import special

from channels.block_fading import BlockFading
from sim.core.errors import InputError
from sim.links.base import Direction, Packet
from sim.links.shannon import ShannonLink, ShannonLinkSettings

MS = 1_000_000
SEED = 4
KEYS = {"uplink_bandwidth_mhz": 1.0, "block_s": 0.002, "doppler_hz": 60.0, "one_way_delay_s": 0.0, "header_bits": 0}
MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 40 * MS) | st.integers(0, 20).map(lambda k: 2 * k * MS),
        st.integers(0, 3),
        st.integers(0, 60_000),
    ),
    min_size=1,
    max_size=20,
)


def link(env, num_devices=4, seed=SEED, **keys):
    return ShannonLink(env, num_devices, seed, ShannonLinkSettings(**(KEYS | keys)))


class Rates:
    """Whole-band rate of a device in a block [bit/ns], one scalar at a time."""

    def __init__(self, snr_db=10.0, bandwidth_mhz=1.0, efficiency=0.75, doppler_hz=60.0, block_s=0.002):
        self.fading = [BlockFading(SEED, d, "uplink", doppler_hz=doppler_hz, block_s=block_s) for d in range(4)]
        self.snr, self.factor = 10 ** (snr_db / 10), efficiency * bandwidth_mhz * 1e-3
        self.block_ns = round(block_s * 1e9)
        self.known = {}

    def at(self, device, time_ns):
        key = device, time_ns // self.block_ns
        if key not in self.known:
            gain = abs(complex(self.fading[device].at(key[1]))) ** 2
            self.known[key] = self.factor * math.log2(1 + self.snr * gain)
        return self.known[key]

    def integral(self, device, start_ns, end_ns):
        """Bits over the whole band."""
        total, now = 0.0, start_ns
        while now < end_ns:
            until = min(end_ns, (now // self.block_ns + 1) * self.block_ns)
            total += self.at(device, now) * (until - now)
            now = until
        return total


def share_step_by_step(messages, rates):
    """Slow oracle: remaining bits of every device's first message, advanced to the next arrival, end or block."""
    arrivals = deque(enumerate(sorted(messages)))
    queues: list[deque[list]] = [deque() for _ in range(4)]
    left: dict[int, int] = {}
    now = 0
    while len(left) < len(messages):
        while arrivals and arrivals[0][1][0] <= now:
            index, (_, device, bits) = arrivals.popleft()
            queues[device].append([index, float(bits)])
        active = [device for device in range(4) if queues[device]]
        steps = [arrivals[0][1][0] - now] if arrivals else []
        if active:
            steps.append(rates.block_ns - now % rates.block_ns)
            ends = [math.ceil(queues[d][0][1] * len(active) / rates.at(d, now) - 1e-6) for d in active]
            steps.append(max(0, min(ends)))
        step = min(steps)
        for device in active:
            head = queues[device][0]
            head[1] -= rates.at(device, now) * step / len(active)
            if head[1] <= 1e-6:
                left[head[0]] = now + step
                queues[device].popleft()
        now += step
    return [left[index] for index in range(len(messages))]


@given(MESSAGES)
@settings(max_examples=80, deadline=None)
def test_messages_leave_when_a_scalar_integration_says_so(drive, messages):
    outcomes = drive(link, messages)
    expected = share_step_by_step(messages, Rates())
    # Both round up to whole nanoseconds; the order of floating-point sums may decide on which side of one.
    assert np.max(np.abs(np.array([outcome.left_ns for outcome in outcomes]) - expected)) <= 1


@given(MESSAGES)
@settings(max_examples=60, deadline=None)
def test_bits_are_conserved_to_the_nanosecond(drive, messages):
    rates = Rates()
    outcomes = drive(link, messages)
    edges = sorted({edge for outcome in outcomes for edge in (outcome.started_ns, outcome.left_ns)})

    def carried(outcome, until_ns):
        total = 0.0
        for low, high in itertools.pairwise(edges):
            active = sum(other.started_ns <= low and other.left_ns >= high for other in outcomes)
            if outcome.started_ns <= low < until_ns:
                total += rates.integral(outcome.device, low, min(high, until_ns)) / active
        return total

    for outcome in outcomes:
        bits = outcome.delivery.bits_on_air
        assert carried(outcome, outcome.left_ns) >= bits - 1e-4
        assert bits == 0 or carried(outcome, outcome.left_ns - 1) < bits


@given(MESSAGES, st.sampled_from(["none", "rayleigh", "rician"]))
@settings(max_examples=40, deadline=None)
def test_parts_add_up_and_a_device_s_messages_keep_their_order(drive, messages, fading):
    outcomes = drive(lambda env: link(env, fading=fading, one_way_delay_s=0.003, header_bits=320), messages)
    for outcome, (sent_ns, device, bits) in zip(outcomes, sorted(messages), strict=True):
        assert (outcome.sent_ns, outcome.device, outcome.delivery.bits_on_air) == (sent_ns, device, bits + 320)
        assert outcome.arrived_ns - outcome.sent_ns == outcome.delivery.total_ns > 3 * MS
    for device in range(4):
        own = [outcome for outcome in outcomes if outcome.device == device]
        for earlier, later in itertools.pairwise(own):
            assert later.started_ns == max(later.sent_ns, earlier.left_ns)


@given(MESSAGES, st.integers(1, 100), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_less_bandwidth_never_delivers_a_lone_device_s_messages_earlier(drive, messages, narrow, wider_by):
    alone = [(sent_ns, 0, bits) for sent_ns, _, bits in messages]

    def arrivals(tenths_mhz):
        outcomes = drive(lambda env: link(env, 1, uplink_bandwidth_mhz=tenths_mhz / 10), alone)
        return np.array([outcome.arrived_ns for outcome in outcomes])

    assert np.all(arrivals(narrow) >= arrivals(narrow + wider_by))


def test_without_fading_sharing_is_worked_out_by_hand(drive):
    keys = {"fading": "none", "snr_db": 10 * math.log10(3), "efficiency": 0.5}  # 1 Mbit/s over the whole band
    outcomes = drive(lambda env: link(env, **keys), [(0, 0, 10_000), (4 * MS, 1, 3_000), (5 * MS, 1, 1_000)])
    # Alone until 4 ms (4 kbit); then halves: device 1 leaves at 10 and 12 ms, device 0 has 2 kbit left for itself.
    assert [outcome.left_ns for outcome in outcomes] == [14 * MS, 10 * MS, 12 * MS]
    assert [outcome.delivery.access_ns for outcome in outcomes] == [0, 0, 5 * MS]
    assert [outcome.delivery.airtime_ns for outcome in outcomes] == [14 * MS, 6 * MS, 2 * MS]


def test_a_fluid_is_not_the_rate_at_the_start(drive):
    bits = 300_000
    (outcome,) = drive(link, [(0, 0, bits)])
    at_start_ns = bits / Rates().at(0, 0)
    assert abs(outcome.delivery.air_ns / at_start_ns - 1) > 0.05
    assert outcome.left_ns == share_step_by_step([(0, 0, bits)], Rates())[0]


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_ergodic_rate_of_long_rayleigh_messages(drive, snr_db):
    # 12 000 blocks half a Doppler period apart and more: nearly independent.
    keys = {"snr_db": snr_db, "efficiency": 1.0, "block_s": 0.01, "doppler_hz": 170.0}
    g = 10 ** (snr_db / 10)
    expected_bps = 1e6 * math.exp(1 / g) * float(special.exp1(1 / g)) / math.log(2)
    bits = int(expected_bps * 20)
    outcomes = drive(lambda env: link(env, 6, **keys), [(d * 10**11, d, bits) for d in range(6)])
    measured_bps = bits * 6 / sum(outcome.delivery.air_ns / 1e9 for outcome in outcomes)
    # The rate's standard deviation is below its mean: 1/sqrt(12 000) = 0.9 % at 0 dB, 64 waves add 0.3 %.
    assert measured_bps == pytest.approx(expected_bps, rel=0.02)


def test_rate_is_linear_in_bandwidth_and_efficiency_and_rises_with_snr(drive):
    def air_ns(**keys):
        return drive(lambda env: link(env, doppler_hz=0, **keys), [(0, 0, 100_000)])[0].delivery.air_ns

    base = air_ns()
    assert air_ns(uplink_bandwidth_mhz=2.0) == pytest.approx(base / 2, abs=1)
    assert air_ns(efficiency=0.375) == pytest.approx(base * 2, abs=2)
    assert air_ns(snr_db=13.0) < base
    assert air_ns(fading="rician", k_factor_db=50.0) == pytest.approx(air_ns(fading="none"), rel=0.02)
    assert air_ns(snr_db=[10.0, 1.0, 1.0, 1.0]) == base


def test_same_seed_same_deliveries_and_other_seed_others(drive):
    messages = [(k * MS, k % 4, 20_000) for k in range(30)]
    first, again, other = (drive(lambda env, s=seed: link(env, seed=s), messages) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_another_device_leaves_all_others_luck_alone(drive):
    keys = {"snr_spread_db": 6.0, "snr_db": 12.0}
    env = simpy.Environment()
    few, many = link(env, 3, **keys), link(env, 40, **keys)
    assert few.snr_db == many.snr_db[:3]
    assert len({round(value, 9) for value in many.snr_db}) == 40
    assert all(6 <= value <= 18 for value in many.snr_db)
    messages = [(k * 5 * MS, k % 3, 20_000) for k in range(30)]
    assert drive(lambda env: link(env, 3, **keys), messages) == drive(lambda env: link(env, 40, **keys), messages)


def test_report_is_the_last_complete_block_at_the_present_share():
    env = simpy.Environment()
    cell = link(env, one_way_delay_s=0.004)
    rates = Rates()
    env.run(until=7 * MS)
    assert cell.report(1).uplink_bps == pytest.approx(rates.at(1, 5 * MS) * 1e9)
    for device in (0, 0, 2):
        cell.send(Packet(device, Direction.UPLINK, 10**6))
    assert cell.report(1).uplink_bps == pytest.approx(rates.at(1, 5 * MS) * 1e9 / 3)  # it would be the third
    assert cell.report(0).uplink_bps == pytest.approx(rates.at(0, 5 * MS) * 1e9 / 2)
    assert cell.report(0).round_trip_s == 0.008
    assert cell.report(1).downlink_bps != cell.report(1).uplink_bps
    assert link(simpy.Environment()).report(0).uplink_bps > 0  # the channel was there before time zero


def test_asking_for_reports_changes_nothing(drive):
    messages = [(k * MS, k % 4, 20_000) for k in range(60)]

    def curious(env):
        cell = link(env)

        def ask():
            for _ in range(200):
                yield env.timeout(MS)
                cell.report(1)

        env.process(ask())
        return cell

    assert drive(curious, messages) == drive(link, messages)


def test_summary_counts_busy_time():
    env = simpy.Environment()
    cell = link(env, fading="none", snr_db=10 * math.log10(3), efficiency=0.5)
    cell.send(Packet(0, Direction.UPLINK, 1000))
    cell.send(Packet(1, Direction.UPLINK, 1000))
    env.run(until=MS)
    assert cell.summary()["uplink_utilisation"] == 1
    env.run(until=8 * MS)
    summary = cell.summary()
    assert summary["uplink_utilisation"] == 0.25
    assert summary["uplink_messages"] == 2
    assert summary["uplink_mean_bits_on_air"] == 1000
    assert summary["downlink_utilisation"] == 0


def test_memory_does_not_grow_with_simulated_time():
    env = simpy.Environment()
    cell = link(env)

    def source():
        for index in range(6000):
            yield env.timeout(5 * MS)
            cell.send(Packet(index % 4, Direction.UPLINK, 3000))

    env.process(source())
    env.run(until=3_000 * MS)
    tracemalloc.start()
    env.run(until=6_000 * MS)
    early = tracemalloc.get_traced_memory()[0]
    env.run(until=29_000 * MS)
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert late < early + 20_000


@pytest.mark.parametrize(
    "keys",
    [
        {"uplink_bandwidth_mhz": -1},
        {"downlink_bandwidth_mhz": 0},
        {"snr_db": 500},
        {"snr_db": [10, "loud"]},
        {"efficiency": 1.5},
        {"fading": "nakagami"},
        {"doppler_hz": -3},
        {"block_s": 0},
        {"uplink_mbps": 5},
    ],
)
def test_wrong_settings_are_refused(keys):
    with pytest.raises(ValidationError, match=next(iter(keys))):
        ShannonLinkSettings(**keys)


def test_a_list_of_snrs_must_fit_the_devices():
    with pytest.raises(InputError, match="snr_db: got 2 values for 4 devices"):
        link(simpy.Environment(), snr_db=[1.0, 2.0])
