"""Published measurements as traces: columns, units, duplicates, gaps, and rates that the application has set."""

import math

import numpy as np
import pytest

from channels.bandwidth_traces import load_trace
from channels.trace_formats import trace_format
from channels.trace_import import import_trace

UCC_COLUMNS = (
    "Timestamp,Longitude,Latitude,Speed,Operatorname,CellID,NetworkMode,RSRP,RSRQ,SNR,CQI,RSSI,DL_bitrate,UL_bitrate,"
    "State,PINGAVG,PINGMIN,PINGMAX,PINGSTDEV,PINGLOSS,CELLHEX,NODEHEX,LACHEX,RAWCELLID,NRxRSRP,NRxRSRQ"
)


def ucc_row(second, downlink_kbps, uplink_kbps, state="D"):
    stamp = f"2020.02.14_09.{38 + second // 60:02d}.{second % 60:02d}"
    radio = "-8.4,51.8,0,B,11,5G,-99,-12,4.0,9,-80"
    return f"{stamp},{radio},{downlink_kbps},{uplink_kbps},{state},-,-,-,-,-,b,a,c,1,-,-"


def written(folder, name, lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def ucc_file(folder, rows):
    return written(folder, "ucc.csv", [UCC_COLUMNS, *rows])


def test_ucc_duplicates_of_a_second_are_merged(tmp_path):
    path = ucc_file(
        tmp_path,
        [ucc_row(22, 8000, 900), ucc_row(22, 12_000, 1100), ucc_row(23, 30_000, 2000), ucc_row(24, "-", "-"),
         ucc_row(25, 20_000, 1500), ucc_row(26, 25_000, 1500)],
    )  # fmt: skip
    trace = import_trace(path, trace_format("ucc5g"))
    assert trace.times_s.tolist() == [0, 1, 3, 4]
    assert trace.mbps.tolist() == [10, 30, 20, 25]
    assert (trace.num_rows, trace.num_merged, trace.num_reordered) == (5, 1, 0)
    uplink = import_trace(path, trace_format("ucc5g", "uplink"))
    assert uplink.mbps.tolist() == [1, 2, 1.5, 1.5]
    # 1.5 Mbit/s up beside 20 down is more than acknowledgements.
    assert uplink.limited == []


def test_uplink_of_a_download_is_told_to_be_acknowledgements(tmp_path):
    rows = [ucc_row(n, 60_000 + 1000 * (n % 7), 500 + n) for n in range(20)]
    rows += [ucc_row(n, 10, 30_000 + 500 * (n % 5)) for n in range(20, 30)]
    trace = import_trace(ucc_file(tmp_path, rows), trace_format("ucc5g", "uplink"))
    assert trace.limited == [(0.0, 20.0, "acknowledgements of the other direction")]
    assert trace.limited_share == pytest.approx(2 / 3)


def test_idle_rows_are_told(tmp_path):
    rows = [ucc_row(n, 40_000 + 300 * n, 1000, "I" if 4 <= n < 9 else "D") for n in range(12)]
    trace = import_trace(ucc_file(tmp_path, rows), trace_format("ucc5g"))
    assert trace.limited == [(4.0, 9.0, "nothing was being sent")]


def test_nuwins_reports_printed_together_are_one(tmp_path):
    """Several rows within a millisecond are one report of their mean, and tell of the time before they were printed."""
    path = written(
        tmp_path,
        "tcp_uplink.csv",
        ["time,throughput_mbps,retrans,cwnd_kb", "2024-05-27T10:57:12.565318,18.0,0,1660",
         "2024-05-27T10:57:12.565355,26.0,0,1660", "2024-05-27T10:57:13.565318,31.0,0,1660",
         "2024-05-27T10:57:15.565318,20.0,0,1660", "2024-05-27T10:57:15.565718,30.0,0,1660"],
    )  # fmt: skip
    trace = import_trace(path, trace_format("nuwins"))
    assert trace.times_s == pytest.approx([0, 1])
    assert trace.mbps == pytest.approx([31, 25])
    assert (trace.num_rows, trace.num_merged) == (5, 2)


def test_lumos5g_is_a_row_per_second(tmp_path):
    path = written(
        tmp_path,
        "lumos.csv",
        ["run_num,latitude,longitude,Throughput", "1,44.9,-93.2,650.5", "1,44.9,-93.2,0", "1,44.9,-93.2,1200"],
    )
    trace = import_trace(path, trace_format("lumos5g"))
    assert trace.times_s.tolist() == [0, 1, 2]
    assert trace.mbps.tolist() == [650.5, 0, 1200]


def test_ghent_bytes_are_of_the_time_before(tmp_path):
    path = written(
        tmp_path,
        "report_bus.log",
        ["1453121790686 39287 51.0386 3.7322 2493100 1000", "1453121791687 40288 51.0386 3.7322 2763504 1001",
         "1453121792686 41287 51.0386 3.7323 2728896 0999"],
    )  # fmt: skip
    trace = import_trace(path, trace_format("ghent"))
    assert trace.times_s == pytest.approx([0, 1.001])
    assert trace.mbps == pytest.approx([2763504 * 8e-6 / 1.001, 2728896 * 8e-6 / 0.999], rel=1e-6)


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("bit/s", 5e6),
        ("kbit/s", 5000),
        ("Mbit/s", 5),
        ("byte/s", 625e3),
        ("kbyte/s", 625),
        ("bytes", 312500),
        ("bits", 2.5e6),
    ],
)
def test_any_table_by_column_and_unit(tmp_path, unit, value):
    lines = ["when,rate", *(f"{500 * n},{value}" for n in range(6))]
    layout = trace_format("csv", rate_column="rate", unit=unit, time_column="when", time_format="ms")
    trace = import_trace(written(tmp_path, "own.csv", lines), layout)
    assert np.diff(trace.times_s) == pytest.approx(0.5)
    assert trace.mbps == pytest.approx(5.0)


def test_rows_out_of_order_are_sorted_and_told(tmp_path):
    path = written(tmp_path, "own.csv", ["time_s,mbps", "2,3", "0,1", "1,2"])
    trace = import_trace(path, trace_format("csv"))
    assert trace.mbps.tolist() == [1, 2, 3]
    assert trace.num_reordered == 1


@pytest.mark.parametrize(
    ("gaps", "times_s", "mbps"),
    [
        ("cut", [0, 1, 2, 3, 4], [4, 5, 6, 7, 8]),
        ("hold", [0, 1, 2, 60, 61], [4, 5, 6, 7, 8]),
        ("zero", [0, 1, 2, 3, 60, 61], [4, 5, 6, 0, 7, 8]),
    ],
)
def test_gaps(tmp_path, gaps, times_s, mbps):
    path = written(tmp_path, "own.csv", ["time_s,mbps", "10,4", "11,5", "12,6", "70,7", "71,8"])
    trace = import_trace(path, trace_format("csv"), gaps)
    assert trace.gaps == [(2.0, 58.0)]
    assert trace.times_s.tolist() == times_s
    assert trace.mbps.tolist() == mbps


def test_constant_rates_are_told(tmp_path):
    rates = [20 + 3 * math.sin(n) for n in range(20)] + [10.0] * 15 + [18 + 2 * math.cos(n) for n in range(10)]
    path = written(tmp_path, "own.csv", ["time_s,mbps", *(f"{n},{rate}" for n, rate in enumerate(rates))])
    trace = import_trace(path, trace_format("csv"))
    assert trace.limited == [(20.0, 34.0, "a constant 10 Mbit/s")]


def test_mahimahi_in_bins(tmp_path):
    path = written(tmp_path, "lte.up", ["10", "20", "150", "150", "150", "390", "400"])
    trace = import_trace(path, None, bin_s=0.1)
    # 1500 bytes in 100 ms are 0.12 Mbit/s.
    assert trace.mbps == pytest.approx([0.24, 0.36, 0, 0.24])


@pytest.mark.parametrize("last_ms", [1000, 1001, 1050, 1099])
def test_the_last_bin_of_mahimahi_is_as_long_as_it_is(tmp_path, last_ms):
    """An opportunity a millisecond is 12 Mbit/s to the end, and neither length nor bits change."""
    path = written(tmp_path, "lte.up", [str(n) for n in range(1, last_ms + 1)])
    trace = import_trace(path, None, bin_s=0.1)
    assert trace.mbps == pytest.approx(12.0)
    assert trace.duration_s == pytest.approx(last_ms * 1e-3)
    assert trace.num_rows == last_ms


def test_what_is_kept_of_mahimahi_does_not_grow_with_its_time(tmp_path):
    path = written(tmp_path, "lte.up", ["50", "50", "2591999950"])
    trace = import_trace(path, None, bin_s=0.001)
    assert trace.mbps.tolist() == [0, 24, 0, 0, 12]
    assert trace.times_s == pytest.approx([0, 0.049, 0.05, 2591999.948, 2591999.949])
    assert trace.duration_s == pytest.approx(2591999.95)
    assert trace.gaps == []


@pytest.mark.parametrize(
    ("times_ms", "bin_s", "message"),
    [
        (["5", "3", "2000", "1000"], 0.1, "lte.up:2: time goes back from 5 to 3 ms"),
        (["9" * 20], 0.1, r"lte.up:1: .*at most 2592000000 \(30 days\)"),
        (["0", "99999999999"], 0.1, r"lte.up:2: .*at most 2592000000 \(30 days\)"),
        (["1", "99"], 0.1, "lte.up: lasts 0.099 s; valid: more than one bin of 0.1 s"),
        (["1", "99"], 0.0125, "bin_s: got 0.0125; valid: whole milliseconds"),
    ],
)
def test_wrong_mahimahi_traces_are_told(tmp_path, times_ms, bin_s, message):
    with pytest.raises(ValueError, match=message):
        import_trace(written(tmp_path, "lte.up", times_ms), None, bin_s=bin_s)


@pytest.mark.parametrize(("pause_s", "is_gap"), [(2.9, False), (3.0, True), (5.0, True)])
def test_a_pause_of_three_steps_is_a_gap(tmp_path, pause_s, is_gap):
    times = [n + (pause_s - 1 if n > 3 else 0) for n in range(8)]
    path = written(tmp_path, "own.csv", ["time_s,mbps", *(f"{time},{n % 7 + 1}" for n, time in enumerate(times))])
    assert import_trace(path, trace_format("csv")).gaps == ([(3.0, pytest.approx(pause_s))] if is_gap else [])


def test_rows_without_a_measurement_are_counted_and_keep_their_second(tmp_path):
    path = written(tmp_path, "own.csv", ["Time_s,MBPS", "0,", "1,5", "", "2,NaN", "3,7"])
    trace = import_trace(path, trace_format("csv"))
    assert (trace.mbps.tolist(), trace.num_rows, trace.num_skipped) == ([5, 7], 2, 2)
    for blank in ("", "nan"):
        path = written(tmp_path, "lumos.csv", ["", "Throughput", "", "# drive", "1", blank, "# stop", "2", "3", ""])
        trace = import_trace(path, trace_format("lumos5g"))
        assert trace.times_s.tolist() == [0, 2, 3]
        assert trace.num_skipped == 1


def test_a_line_that_is_there_twice_is_one_measurement(tmp_path):
    lines = [f"{1453120000000 + at} {at} 51 3 {count} 1000" for at, count in ((0, 9), (1000, 2000), (2000, 1000))]
    path = written(tmp_path, "ghent.log", [*lines[:2], lines[1], lines[2]])
    trace = import_trace(path, trace_format("ghent"))
    assert trace.mbps == pytest.approx([0.016, 0.008])
    assert (trace.num_rows, trace.num_merged) == (4, 1)
    # A second of the same rate, and a packet of the same size, is another one.
    path = written(tmp_path, "lumos.csv", ["Throughput", "5", "5", "5"])
    assert len(import_trace(path, trace_format("lumos5g")).mbps) == 3
    path = written(tmp_path, "packets.csv", ["time_s,mbps", "0,9", "1,1000", "1,1000", "2,1000"])
    assert import_trace(path, trace_format("csv", unit="bytes")).mbps == pytest.approx([0.016, 0.008])


def test_rates_below_what_is_written_and_steps_shorter_than_a_microsecond(tmp_path):
    path = written(tmp_path, "own.csv", ["time_s,mbps", "0,1e-7", "1,4e-7"])
    with pytest.raises(ValueError, match="all rates are zero, or below 1 bit/s"):
        import_trace(path, trace_format("csv"))
    path = written(tmp_path, "own.csv", ["time_s,mbps", "0,1", "1e-7,3", "1,4", "2,5"])
    again = written(tmp_path, "again.csv", [import_trace(path, trace_format("csv"), merge_s=0).as_csv("a\nb")])
    assert load_trace(again).period_ns == 3_000_000_000


def test_what_is_written_can_be_loaded(tmp_path):
    path = written(tmp_path, "own.csv", ["time_s,mbps", "0,4", "0.5,0", "1,6"])
    trace = import_trace(path, trace_format("csv"))
    again = tmp_path / "again.csv"
    again.write_text(trace.as_csv("own.csv"))
    capacity = load_trace(again)
    assert capacity.period_ns == trace.duration_s * 1e9 == 1.5e9
    assert capacity.offered(1_500_000_000) == pytest.approx(trace.mean_mbps * 1.5e6 * 1e9)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["time_s,rate", "0,1"], r"own.csv: no column 'mbps'; valid: time_s, rate"),
        (["time_s,mbps", "0,1", "1,fast"], r"own.csv:3: expected a number of Mbit/s, >= 0 and <= 1e\+09, got 'fast'"),
        (["time_s,mbps", "0,1", "1,1_0"], r"own.csv:3: expected a number of Mbit/s"),
        (["time_s,mbps", "0,1", "\u0661,1"], r"own.csv:3: expected a time as 's', got"),
        (["time_s,mbps", "0,1", "1,1e300"], r"own.csv:3: expected a number of Mbit/s, .*<= 1e\+09, got '1e300'"),
        (["time_s,mbps", "0,1", "1e300,1"], r"own.csv:3: expected a time as 's' of at most 1e\+12 s, got '1e300'"),
        (
            ["time_s,mbps", "0,1", "2e9,1"],
            r"own.csv:3: expected a time within 1e\+09 s of the first row's, 0 s, got 2000000000 s",
        ),
        (["time_s,mbps", "0,1,5", "1,2,5"], r"own.csv:2: got 3 columns; valid: 2, as the header has"),
        (["time_s;mbps", "0;1,5"], r"no column 'mbps'; .*separated by commas, not by ';'"),
        (["time_s,mbps,MBPS,mbps", "0,1,2,3"], r"2 columns are called 'mbps'"),
        (["time_s,mbps", "0,1", "noon,1"], r"own.csv:3: expected a time as 's', got 'noon'"),
        (["time_s,mbps", "0,1\r2"], r"own.csv:2: not a line of comma-separated values"),
        (["time_s,mbps", "0,1", "1"], r"own.csv:3: got 1 columns; valid: at least 2"),
        (["time_s,mbps", "0,1", "0,2"], r"own.csv: got 1 measurements at different times"),
        (["time_s,mbps", "0,0", "1,0"], r"own.csv: all rates are zero"),
    ],
)
def test_wrong_files_are_told(tmp_path, lines, message):
    path = written(tmp_path, "own.csv", lines)
    with pytest.raises(ValueError, match=message):
        import_trace(path, trace_format("csv"))


@pytest.mark.parametrize("name", ["ghent", "csv", "lumos5g"])
def test_files_without_a_measurement_are_told(tmp_path, name):
    header = {"ghent": [], "csv": ["time_s,mbps", "0,", "1,nan"], "lumos5g": ["Throughput", "-", "", "null"]}
    path = written(tmp_path, "own.csv", header[name])
    num_skipped = len(header[name][1:])
    with pytest.raises(ValueError, match=f"own.csv: holds no measurement, and {num_skipped} rows without one"):
        import_trace(path, trace_format(name))


def test_amounts_are_bounded_by_the_rate_that_they_make(tmp_path):
    path = written(tmp_path, "own.csv", ["time_s,mbps", "0,1", "1,1e15", "1.1,1e15"])
    with pytest.raises(ValueError, match=r"own.csv:4: 1e\+15 bits in 0.1 s are more than 1e\+09 Mbit/s"):
        import_trace(path, trace_format("csv", unit="bits"))


def test_wrong_formats_are_told(tmp_path):
    for name in ("lumos5g", "ghent"):
        with pytest.raises(ValueError, match="direction: got 'uplink'; valid: downlink"):
            trace_format(name, "uplink")
    assert trace_format("lumos5g", "uplink", "Up").rate_column == "Up"
    with pytest.raises(ValueError, match="no such trace file"):
        import_trace(tmp_path / "absent.csv", trace_format("csv"))
    with pytest.raises(ValueError, match="unit: got 'mph'"):
        trace_format("csv", unit="mph")
    with pytest.raises(ValueError, match="column: got 'rate'; valid: a number from 0"):
        trace_format("ghent", rate_column="rate")
    with pytest.raises(ValueError, match="time_format: got 'noon'"):
        trace_format("csv", time_format="noon")
