"""``specran channel import``: facts on stdout, warnings on stderr, a trace that the link reads, and refusals."""

from __future__ import annotations

import json

import pytest

from channels.bandwidth_traces import load_trace
from sim.cli import _main


@pytest.fixture
def measured(tmp_path):
    path = tmp_path / "drive.csv"
    rows = [f"{n},{20 + n % 7}" for n in range(20)] + [f"{n},8" for n in range(60, 75)]
    path.write_text("\n".join(["time_s,mbps", *rows]) + "\n")
    return path


def test_a_measurement_becomes_a_trace(measured, capsys):
    assert _main(["channel", "import", "--format", "csv", str(measured), "--json"]) == 0
    shown = capsys.readouterr()
    models_info = json.loads(shown.out)
    assert models_info["trace"] == str(measured.with_name("drive_downlink.csv"))
    assert models_info["num_rows"] == 35
    assert models_info["gaps"] == [{"start_s": 19.0, "length_s": 41.0}]
    assert [stretch["reason"] for stretch in models_info["application_limited"]] == ["a constant 8 Mbit/s"]
    assert models_info["application_limited_share"] == pytest.approx(14 / 35)
    assert "no measurement for 41 s from 19 s on (cut)" in shown.err
    assert "a constant 8 Mbit/s" in shown.err
    capacity = load_trace(measured.with_name("drive_downlink.csv"))
    assert capacity.period_ns == 35 * 10**9
    assert capacity.offered(10**9) == 20 * 10**6 * 10**9


def test_columns_units_and_times_can_be_named(tmp_path, capsys):
    path = tmp_path / "own.txt"
    path.write_text("stamp;down;up\n" + "".join(f"2024-05-27T10:00:{n:02d};{n};{10 * n + 1}\n" for n in range(5)))
    path.write_text(path.read_text().replace(";", ","))
    out = tmp_path / "out.csv"
    arguments = ["--column", "up", "--unit", "Mbyte/s", "--time-column", "stamp", "--time-format", "iso"]
    assert _main(["channel", "import", "--format", "csv", *arguments, "--out", str(out), str(path)]) == 0
    assert "168 Mbit/s in the mean, 8 to 328" in capsys.readouterr().out
    assert out.read_text().splitlines()[1:4] == ["time_s,mbps", "0.000000,8.000000", "1.000000,88.000000"]


@pytest.mark.parametrize(
    ("name", "arguments", "direction", "says"),
    [
        ("lte.up", [], "downlink", "lte.up is imported as downlink; its name says uplink (--direction uplink)"),
        ("tcp_downlink.tr", ["--direction", "uplink"], "uplink", "its name says downlink (--direction downlink)"),
        ("lte.up", ["--direction", "uplink"], "uplink", None),
        ("drive.tr", ["--direction", "uplink"], "uplink", None),
    ],
)
def test_whose_rate_it_is_said(tmp_path, capsys, name, arguments, direction, says):
    path = tmp_path / name
    path.write_text("".join(f"{n}\n" for n in range(1, 501)))
    assert _main(["channel", "import", "--format", "mahimahi", *arguments, str(path)]) == 0
    shown = capsys.readouterr()
    assert f"direction: {direction}, as --direction says; the file holds one\n" in shown.out
    assert shown.err == "" if says is None else f"{says}\n" in shown.err
    assert path.with_name(f"{path.stem}_{direction}.csv").exists()


def test_wrong_units_and_missing_rows_are_told(tmp_path, capsys):
    path = tmp_path / "own.csv"
    times = [n * 4 if n < 15 else 100 + n for n in range(60)]
    path.write_text("time_s,mbps\n" + "".join(f"{time},{20_000 + 999 * (n % 9)}\n" for n, time in enumerate(times)))
    with path.open("a") as file:
        file.write("200,\n201,nan\n")
    assert _main(["channel", "import", "--format", "csv", str(path), "--json"]) == 0
    shown = capsys.readouterr()
    assert "half of the rates are over 10 Gbit/s" in shown.err
    assert "(empty or NaN) that were skipped: 2\n" in shown.err
    assert shown.err.count("no measurement for 4 s") == 10
    assert "5 more such gaps" in shown.err
    found = json.loads(shown.out)
    assert (found["num_skipped"], found["direction"], len(found["gaps"])) == (2, "downlink", 15)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "csw"], "unknown format 'csw'"),
        (["--format", "mahimahi", "--direction", "sideways"], "direction: got 'sideways'; valid: downlink, uplink"),
        (["--format", "lumos5g", "--direction", "uplink"], "files of lumos5g have no rate of the uplink"),
        (["--format", "csv", "--column", "speed"], "no column 'speed'; valid: time_s, mbps"),
        (["--format", "csv", "--unit", "mph"], "unit: got 'mph'; valid: bit/s, kbit/s"),
        (["--format", "csv", "--gaps", "fill"], "gaps: got 'fill'; valid: cut, hold, zero"),
        (["--format", "csv", "--out", "trace.txt"], "--out must end in .csv"),
        (["--format", "mahimahi"], "drive.csv:1: expected a whole number of milliseconds"),
    ],
)
def test_wrong_use_is_told_and_writes_nothing(measured, capsys, arguments, says):
    before = sorted(measured.parent.iterdir())
    assert _main(["channel", "import", *arguments, str(measured)]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert not shown.out
    assert sorted(measured.parent.iterdir()) == before
