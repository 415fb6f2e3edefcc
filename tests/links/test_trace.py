"""The trace link: against an emulator that plays every opportunity, and against a fluid summed by hand."""

from __future__ import annotations

import itertools
from collections import deque
from fractions import Fraction

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.core.errors import InputError
from sim.links.base import Direction, Packet
from sim.links.trace import TraceLink, TraceLinkSettings

MS = 1_000_000


def link(env, uplink_trace, **keys):
    keys = {"downlink_mbps": 10, "one_way_delay_s": 0, "header_bits": 0, "start": "beginning"} | keys
    return TraceLink(env, 3, 1, TraceLinkSettings(uplink_trace=uplink_trace, **keys))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


def play_every_opportunity(times_ms, messages, opportunity_bits=12_000):
    """Brute force: walk through the opportunities one by one with a queue of what waits, as Mahimahi does."""
    arrivals = deque(sorted(messages))
    queue: deque[int] = deque()
    left: list[int] = []
    base_ms = 0
    while len(left) < len(messages):
        for time_ms in times_ms:
            now = (base_ms + time_ms) * MS
            while arrivals and arrivals[0][0] <= now:
                queue.append(arrivals.popleft()[2])
            room = opportunity_bits
            while queue and room > 0:
                sent = min(room, queue[0])
                room -= sent
                queue[0] -= sent
                if queue[0] == 0:
                    queue.popleft()
                    left.append(now)
        base_ms += times_ms[-1]
    return left


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12).map(sorted).filter(lambda times: times[-1] > 0),
    st.lists(
        st.tuples(
            st.integers(0, 90 * MS) | st.integers(0, 90).map(lambda ms: ms * MS), st.just(0), st.integers(1, 40_000)
        ),
        min_size=1,
        max_size=15,
    ),
    st.sampled_from([1.0, 0.5]),
)
@settings(max_examples=150, deadline=None)
def test_mahimahi_delivers_as_an_emulator_of_every_opportunity_does(drive, folder, times_ms, messages, scale):
    path = folder / "oracle.up"
    path.write_text("".join(f"{time}\n" for time in times_ms))
    outcomes = drive(lambda env: link(env, path, uplink_scale=scale), messages)
    assert [outcome.arrived_ns for outcome in outcomes] == play_every_opportunity(times_ms, messages, 12_000 * scale)
    for earlier, later in itertools.pairwise(outcomes):
        assert later.started_ns == max(later.sent_ns, earlier.left_ns)


def integral_bits(steps, period_ns, start_ns, end_ns):
    """Bits that a looping piecewise-constant rate offers between two times, walked step by step in fractions."""
    total, loop = Fraction(0), start_ns // period_ns
    while loop * period_ns < end_ns:
        for begin, end, bps in steps:
            low, high = max(start_ns, loop * period_ns + begin), min(end_ns, loop * period_ns + end)
            total += Fraction(bps * max(0, high - low), 10**9)
        loop += 1
    return total


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 40)), min_size=2, max_size=6).filter(
        lambda steps: any(rate for _, rate in steps)
    ),
    st.lists(st.tuples(st.integers(0, 10**9), st.just(0), st.integers(1, 200_000)), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_csv_carries_exactly_the_bits_between_start_and_end(drive, folder, steps, messages):
    # [ms, tenths of Mbit/s] per step; the format repeats the length of the last but one for the last.
    lengths = [ms for ms, _ in steps[:-1]] + [steps[-2][0]]
    starts = [sum(lengths[:index]) for index in range(len(steps))]
    rates = [tenths for _, tenths in steps]
    path = folder / "steps.csv"
    path.write_text("".join(f"{ms / 1000},{tenths / 10}\n" for ms, tenths in zip(starts, rates, strict=True)))
    spans = [
        (begin * MS, (begin + length) * MS, tenths * 100_000)
        for begin, length, tenths in zip(starts, lengths, rates, strict=True)
    ]
    period_ns = sum(lengths) * MS
    outcomes = drive(lambda env: link(env, path), messages)
    opened, carried, free_ns = 0, 0, -1
    for outcome in outcomes:
        if outcome.sent_ns >= free_ns:
            opened, carried = outcome.sent_ns, 0
        carried += outcome.delivery.bits_on_air
        free_ns = outcome.left_ns
        assert integral_bits(spans, period_ns, opened, free_ns) >= carried
        assert integral_bits(spans, period_ns, opened, free_ns - 1) < carried


@given(
    st.lists(st.tuples(st.integers(0, 2 * 10**9), st.integers(0, 2), st.integers(0, 90_000)), min_size=1, max_size=12)
)
@settings(max_examples=40, deadline=None)
def test_less_uplink_never_delivers_earlier_and_parts_add_up(drive, folder, messages):
    csv, mahimahi = folder / "drive.csv", folder / "lte.up"
    csv.write_text("0,3\n0.2,0\n0.5,8\n")
    mahimahi.write_text("0\n2\n2\n9\n30\n")
    for path in (csv, mahimahi):
        full, half = (
            drive(lambda env, p=path, s=scale: link(env, p, uplink_scale=s, one_way_delay_s=0.002), messages)
            for scale in (1.0, 0.5)
        )
        for fast, slow in zip(full, half, strict=True):
            assert fast.arrived_ns <= slow.arrived_ns
            assert fast.arrived_ns - fast.sent_ns == fast.delivery.total_ns
            assert fast.delivery.total_ns >= 2_000_000


def test_a_fluid_is_not_the_rate_at_the_start(drive, folder):
    path = folder / "cliff.csv"
    path.write_text("0,10\n0.1,1\n10,1\n")
    (outcome,) = drive(lambda env: link(env, path), [(90 * MS, 0, 200_000)])
    # 10 ms at 10 Mbit/s carry 100 kbit, the rest goes at 1 Mbit/s; the rate at the start would have given 20 ms.
    assert outcome.delivery.air_ns == 110 * MS


def test_downlink_plays_its_own_trace(folder):
    up, down = folder / "up.csv", folder / "down.csv"
    up.write_text("0,1\n")
    down.write_text("0,4\n")
    env = simpy.Environment()
    settings_ = TraceLinkSettings(
        uplink_trace=up, downlink_trace=down, downlink_scale=0.5, header_bits=0, start="beginning"
    )
    cell = TraceLink(env, 1, 1, settings_)
    sent = cell.send(Packet(0, Direction.DOWNLINK, 2000))
    env.run(sent)
    assert sent.value is not None
    assert sent.value.air_ns == MS


def test_report_measures_the_past(folder):
    path = folder / "report.csv"
    path.write_text("0,8\n1,2\n2,0\n4,0\n")
    env = simpy.Environment()
    cell = link(env, path)
    measured = []
    for now_ms in (500, 1050, 1500, 2050, 3000):
        env.run(until=now_ms * MS)
        measured.append(cell.report(0).uplink_bps)
    # Third: half of the window's 100 ms at each rate. Last: 100 ... 800 ms hold nothing, of the last 1.6 s 0.6 s do.
    assert measured == pytest.approx([8e6, 5e6, 2e6, 1e6, 2e6 * 0.6 / 1.6])


def test_utilisation_is_what_was_carried_over_what_was_offered(folder):
    path = folder / "lost.up"
    path.write_text("1\n2\n3\n4\n")
    env = simpy.Environment()
    cell = link(env, path)
    cell.send(Packet(0, Direction.UPLINK, 18_000))
    env.run(until=1_500_000)
    assert cell.summary()["uplink_utilisation"] == 1
    env.run(until=4_500_000)
    assert cell.summary()["uplink_utilisation"] == pytest.approx(18 / 48)


def test_wrong_input_is_refused_with_one_message(folder):
    env = simpy.Environment()
    with pytest.raises(InputError, match="no such trace file"):
        link(env, folder / "absent.csv")
    broken = folder / "broken.csv"
    broken.write_text("time_s,mbps\n0,5\n1,five\n")
    with pytest.raises(InputError, match=r"broken\.csv:3: expected two numbers"):
        link(env, broken)
    with pytest.raises(InputError, match=r"broken\.csv:3"):
        TraceLink(env, 1, 1, TraceLinkSettings(uplink_trace=folder / "drive.csv", downlink_trace=broken))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"uplink_trace": "a.csv"},
        {"uplink_trace": "a.csv", "downlink_trace": "b.csv", "downlink_mbps": 5},
        {"uplink_trace": "a.csv", "downlink_mbps": -5},
        {"uplink_trace": "a.csv", "downlink_mbps": 5, "uplink_scale": 0},
        {"uplink_trace": ["a.csv", "b.csv"], "downlink_mbps": 5},
        {"uplink_trace": [], "downlink_mbps": 5, "sharing": "dedicated"},
    ],
)
def test_wrong_settings_are_refused(keys):
    with pytest.raises(ValidationError):
        TraceLinkSettings(**keys)


def arrivals(uplink_trace, seed, **keys):
    """Arrival of a message of each of three devices, all sent at once."""
    env = simpy.Environment()
    settings_ = {"uplink_trace": uplink_trace, "downlink_mbps": 10, "one_way_delay_s": 0, "header_bits": 0} | keys
    cell = TraceLink(env, 3, seed, TraceLinkSettings(**settings_))
    sent = [cell.send(Packet(device, Direction.UPLINK, 10_000)) for device in range(3)]
    env.run()
    return [event.value.access_ns + event.value.air_ns for event in sent]


def test_replications_meet_the_trace_at_moments_of_their_own(folder):
    """One long ramp: the air of a message tells where in the trace it was sent; uniform over seeds, fixed for each."""
    path = folder / "ramp.csv"
    path.write_text("".join(f"{n},{n + 1}\n" for n in range(100)))
    first = [arrivals(path, seed)[0] for seed in range(60)]
    assert arrivals(path, 7)[0] == first[7]
    rates_mbps = [10_000 / air_ns * 1e3 for air_ns in first]
    assert len({round(rate) for rate in rates_mbps}) > 35
    # Uniform over 1 ... 100: mean 50.5, deviation 29; four standard errors.
    assert sum(rates_mbps) / 60 == pytest.approx(50.5, abs=4 * 29 / 60**0.5)
    assert arrivals(path, 1, start="beginning") == arrivals(path, 2, start="beginning") == [10 * MS, 20 * MS, 30 * MS]


def test_dedicated_traces_have_a_queue_for_each_device(folder):
    fast, slow = folder / "fast.csv", folder / "slow.csv"
    fast.write_text("0,10\n")
    slow.write_text("0,1\n")
    own = {"sharing": "dedicated", "start": "beginning"}
    assert arrivals([fast, slow], 1, **own) == [MS, 10 * MS, MS]
    assert arrivals(fast, 1, **own) == [MS, MS, MS]
    assert arrivals(fast, 1, start="beginning") == [MS, 2 * MS, 3 * MS]
    ramp = folder / "steps.csv"
    ramp.write_text("".join(f"{n},{n + 1}\n" for n in range(100)))
    assert len(set(arrivals(ramp, 1, sharing="dedicated"))) == 3
