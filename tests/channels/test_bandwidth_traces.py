"""Bandwidth traces: cumulative capacity both ways, loops, reading files and refusing broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bandwidth_traces import (
    NANOBITS_PER_BIT,
    OPPORTUNITY_BITS,
    Capacity,
    ConstantRate,
    PacketOpportunities,
    PiecewiseRate,
    StartedLate,
    load_trace,
)

CAPACITIES = [
    ConstantRate(3.7),
    PiecewiseRate([0, 0.1, 0.35, 0.4], [5, 0, 0.3, 12.5]),
    PiecewiseRate([10.0], [2]),
    PacketOpportunities([0, 3, 3, 7, 10]),
    PacketOpportunities([4], scale=0.3),
    StartedLate(PiecewiseRate([0, 0.1, 0.35, 0.4], [5, 0, 0.3, 12.5]), 380_000_000),
]


@given(st.sampled_from(CAPACITIES), st.integers(1, 10**17))
@settings(max_examples=300, deadline=None)
def test_time_of_is_the_first_nanosecond_that_has_offered_enough(capacity: Capacity, nanobits: int) -> None:
    time_ns = capacity.time_of(nanobits)
    # What is offered by a time includes an opportunity at that very time: everything before the next nanosecond.
    by = capacity.offered(time_ns + 1) if isinstance(capacity, PacketOpportunities) else capacity.offered(time_ns)
    assert by >= nanobits
    assert capacity.offered(time_ns - (not isinstance(capacity, PacketOpportunities))) < nanobits


@given(st.sampled_from(CAPACITIES), st.integers(-(10**11), 10**13), st.integers(0, 10**12))
@settings(max_examples=300, deadline=None)
def test_offered_never_decreases(capacity: Capacity, time_ns: int, later_ns: int) -> None:
    assert capacity.offered(time_ns + later_ns) >= capacity.offered(time_ns)


def test_piecewise_offers_the_integral_of_its_rates_and_loops() -> None:
    rate = PiecewiseRate([100.0, 100.5, 102.0], [4, 0, 1])
    assert rate.period_ns == 3_500_000_000  # the last row holds for as long as the one before it
    per_loop = int(0.5 * 4e6 + 1.5 * 1e6)
    assert rate.offered(250_000_000) == 1_000_000 * NANOBITS_PER_BIT
    assert rate.offered(1_999_999_999) == 2_000_000 * NANOBITS_PER_BIT
    assert rate.offered(7 * rate.period_ns) == 7 * per_loop * NANOBITS_PER_BIT
    assert rate.offered(7 * rate.period_ns + 250_000_000) == (7 * per_loop + 1_000_000) * NANOBITS_PER_BIT
    assert PiecewiseRate([0, 1], [4, 2], scale=0.5).offered(10**9) == 2_000_000 * NANOBITS_PER_BIT


def test_opportunities_loop_with_the_last_instant_as_period() -> None:
    trace = PacketOpportunities([1, 1, 5])
    size = OPPORTUNITY_BITS * NANOBITS_PER_BIT
    instants = [trace.time_of(k * size) // 10**6 for k in range(1, 10)]
    assert instants == [1, 1, 5, 6, 6, 10, 11, 11, 15]
    assert trace.offered(1_000_000) == 0
    assert trace.offered(1_000_001) == 2 * size
    assert trace.offered(5_000_000) == 2 * size
    assert trace.offered(5_000_001) == 3 * size


def test_files_are_read(tmp_path: Path) -> None:
    csv = tmp_path / "drive.csv"
    csv.write_text("# measured\ntime_s, mbps\n\n0, 4\n0.5, 0\n2.0, 1\n")
    assert load_trace(csv).offered(3_500_000_000) == 3_500_000 * NANOBITS_PER_BIT
    headless = tmp_path / "headless.CSV"
    headless.write_text("0,4\n1,2\n")
    assert load_trace(headless, scale=2).offered(2_000_000_000) == 12_000_000 * NANOBITS_PER_BIT
    for header in ("Time_s, MBPS", '"time_s","mbps"', '"TIME_S", "Mbps"'):
        csv.write_text(f'{header}\n0,4\n"0.5",0\n2.0,1\n')
        assert load_trace(csv).offered(3_500_000_000) == 3_500_000 * NANOBITS_PER_BIT
    mahimahi = tmp_path / "lte.up"
    mahimahi.write_text("1\n1\n5\n")
    assert load_trace(mahimahi).time_of(3 * OPPORTUNITY_BITS * NANOBITS_PER_BIT) == 5_000_000


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "time_s,mbps\n0,1\n1,x\n", r"t\.csv:3: expected two numbers"),
        ("t.csv", "0,1\n1,2,3\n", r"t\.csv:2: expected two numbers"),
        ("t.csv", "0,1\n1,-2\n", r"t\.csv:2: .*rate >= 0"),
        ("t.csv", "0,1\n1,nan\n", r"t\.csv:2: expected two numbers"),
        ("t.csv", '0,1\n"1,5",2\n', r"t\.csv:2: expected two numbers"),
        ("t.csv", "0,1\n1,1_000\n", r"t\.csv:2: expected two numbers"),
        ("t.csv", "0,1\n1,\u0661\n", r"t\.csv:2: expected two numbers"),
        ("t.csv", "time,rate\n0,1\n", r"t\.csv:1: expected two numbers 'time_s, mbps', or these two names"),
        ("t.csv", "time_s;mbps\n0;1\n", r"t\.csv:1: .*separated by commas, not by ';'"),
        ("t.csv", "0;1,5\n1;2,5\n", r"t\.csv:1: .*separated by commas, not by ';'"),
        ("t.csv", "time_s\tmbps\n0\t1\n", r"t\.csv:1: .*separated by commas, not by tabs"),
        ("t.csv", "0,1\n1e300,2\n", r"t\.csv:2: expected a time of at most 1e\+09 s"),
        ("t.csv", "0,1\n1,2\n1,3\n", r"t\.csv:3: time must increase"),
        ("t.csv", "# nothing\n", r"t\.csv: the trace is empty"),
        ("t.csv", "0,0\n1,0\n", r"t\.csv: .*all rates are zero"),
        ("t.up", "", r"t\.up: the trace is empty"),
        ("t.up", "0\n0\n", r"t\.up: the trace must last longer"),
        ("t.up", "1\n-2\n", r"t\.up:2: expected a whole number of milliseconds, at most 2592000000 .*, got '-2'"),
        ("t.up", "1\n2.5\n", r"t\.up:2: expected a whole number"),
        ("t.up", "9" * 20, r"t\.up:1: expected .* at most 2592000000 \(30 days\), got '9{20}'$"),
        ("t.up", "0\n2592000001\n", r"t\.up:2: expected .* at most 2592000000 \(30 days\)"),
        ("t.up", "1\n9\n\n7\n", r"t\.up:4: time goes back from 9 to 7 ms"),
    ],
)
def test_broken_files_are_refused_with_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_trace(path)


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such trace file"):
        load_trace(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="cannot be read"):
        load_trace(tmp_path)
    (tmp_path / "binary.up").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        load_trace(tmp_path / "binary.up")


@pytest.mark.parametrize(
    "build",
    [
        lambda: ConstantRate(0),
        lambda: ConstantRate(-1),
        lambda: PiecewiseRate([], []),
        lambda: PiecewiseRate([0, 1], [1]),
        lambda: PiecewiseRate([0, 0], [1, 1]),
        lambda: PiecewiseRate([0, 1], [1, -1]),
        lambda: PiecewiseRate([0], [1], scale=0),
        lambda: PacketOpportunities([]),
        lambda: PacketOpportunities([0]),
        lambda: PacketOpportunities([2, 1]),
        lambda: PacketOpportunities([1], scale=-1),
    ],
)
def test_wrong_arguments_are_refused(build: object) -> None:
    with pytest.raises(ValueError, match="valid"):
        build()  # type: ignore[operator]
