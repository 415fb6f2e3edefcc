"""Tables for people, at the widths that terminals have."""

from __future__ import annotations

import io
import json
import re
import threading
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from sim.cli import _main, output
from sim.core.errors import InputError
from sim.figures.labels import label_of


def shown(width: int, monkeypatch: pytest.MonkeyPatch, title: str, columns: list[str], rows: list[list[object]]) -> str:
    """What a terminal of a width shows of a table."""
    screen = io.StringIO()
    monkeypatch.setattr(output, "results_console", lambda: Console(file=screen, width=width, highlight=False))
    output.print_table(title, columns, rows)
    return screen.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_title_wider_than_its_table_stays_on_one_line(width: int, monkeypatch: pytest.MonkeyPatch):
    title = "Where the time of a mean request goes"
    rows = [["edge queue", 0.1021, "4.6%"], ["transport", 1.5, "95.4%"]]
    lines = shown(width, monkeypatch, title, ["part", "seconds", "share"], rows).splitlines()
    assert title in [line.rstrip() for line in lines]
    assert lines[-2].split() == ["edge", "queue", "0.102", "4.6%"]
    # Numbers and shares stand flush right.
    assert lines[-1].endswith(" 95.4%") and lines[-2].endswith("  4.6%")


def test_shares_of_a_run_without_an_answer_are_dashes(monkeypatch: pytest.MonkeyPatch):
    """All requests were given up: nothing completed, no mean, and a dash for each share."""
    from sim.cli import run
    from sim.results.columns import BREAKDOWN_COLUMNS
    from tests.worlds import small_scenario

    screen = io.StringIO()
    monkeypatch.setattr(output, "results_console", lambda: Console(file=screen, width=120, highlight=False))
    names = [column.removesuffix("_s") + "_mean_s" for column in BREAKDOWN_COLUMNS]
    summary = {"requests": 0, "completed_rps": 0.0, **dict.fromkeys(["e2e_mean_s", *names], float("nan"))}
    run._print_run(small_scenario(), summary)
    shown_text = screen.getvalue()
    assert "nan" not in shown_text
    assert re.search(r"Requests completed +0 ", shown_text) and re.search(r"uplink air +- +-", shown_text)


@pytest.mark.parametrize("width", [80, 120])
def test_long_names_are_broken_at_their_joints_if_at_all(width: int, monkeypatch: pytest.MonkeyPatch):
    columns = ["link.bandwidth_mhz", "variant", "e2e_mean_s", "ttft_mean_s", "tpot_mean_s", "acceptance_rate"]
    columns += ["uplink_bits_per_token", "tokens_per_s"]
    rows: list[list[object]] = [[10, "full rows", 7.42, 0.721, 0.216, 0.649, 203141.0, 30.8]]
    lines = shown(width, monkeypatch, "quickstart: 1 runs", columns, rows).splitlines()
    assert max(map(len, lines)) <= width
    words = {word for line in lines[2:-2] for word in line.split()}
    joints = {part for name in columns for part in name.replace("_", "_ ").replace(".", ". ").split()}
    assert words <= joints | set(columns)
    assert lines[-1].split() == ["10", "full", "rows", "7.42", "0.721", "0.216", "0.649", "203,141", "30.8"]


def _compared(a: Path, b: Path, monkeypatch: pytest.MonkeyPatch, metric: str = "e2e_mean_s") -> list[str]:
    from sim.cli.plot import compare_command

    screen = io.StringIO()
    console = Console(file=screen, width=160, highlight=False)
    monkeypatch.setattr(output, "results_console", lambda: console)
    monkeypatch.setattr(output, "error_console", console)
    compare_command(a, b, metric)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def _sweep(folder: Path, factor: float, rates: tuple[int, ...]) -> Path:
    rows = [
        {
            "link.uplink_mbps": rate,
            "link.one_way_delay_s": delay,
            "variant": "base",
            "seed": seed,
            "e2e_mean_s": factor * (rate + delay + seed / 10),
        }
        for rate in rates
        for delay in (0.0, 0.5)
        for seed in (1, 2, 3)
    ]
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / "sweep.parquet")
    return folder


def test_a_comparison_is_one_table_with_a_line_per_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    a, b = _sweep(tmp_path / "a", 1.0, (1, 2)), _sweep(tmp_path / "b", 1.5, (1, 2, 3))
    lines = [line.split() for line in _compared(a, b, monkeypatch)]
    head, first, *conditions = [line for line in lines if "pairs" in line or "to" in line]
    assert head[:3] == ["link.uplink_mbps", "link.one_way_delay_s", "pairs"]
    assert first[:2] == ["all", "12"]
    assert [line[:2] for line in conditions] == [["1", "0"], ["1", "0.5"], ["2", "0"], ["2", "0.5"]]
    assert [line[9] for line in conditions] == ["1.50"] * 4


def test_a_comparison_says_what_its_intervals_are_over_and_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    a, b = _sweep(tmp_path / "a", 1.0, (1, 2)), _sweep(tmp_path / "b", 1.5, (2, 3, 4))
    lines = _compared(a, b, monkeypatch)
    assert "intervals: Student's t over 3 seeds" in lines
    assert "A has 6 rows without a partner, which are left out" in lines
    assert "B has 12 rows without a partner, which are left out" in lines


def _run(folder: Path, seed: int, bandwidth: int, latency_s: float) -> Path:
    folder.mkdir()
    keys = {"name": "r", "seed": seed, "link": {"kind": "nr", "bandwidth_mhz": bandwidth}, "devices": {"count": 2}}
    (folder / "scenario.yaml").write_text(json.dumps(keys))
    (folder / "summary.json").write_text(json.dumps({"e2e_mean_s": latency_s, "uplink_prb_utilisation": None}))
    requests = pd.DataFrame({"device": [0, 1], "request": 0, "e2e_s": [latency_s - 0.5, latency_s + 0.5]})
    requests.to_parquet(folder / "requests.parquet")
    return folder


def test_what_is_compared_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _main(["compare", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_runs_are_compared_by_their_requests_and_only_under_one_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    a, b, c = (_run(tmp_path / f"{i}", seed, 10 * i, 1.0 * i) for i, seed in ((1, 7), (2, 7), (3, 8)))
    lines = _compared(a, b, monkeypatch)
    assert "e2e_s" in lines
    assert "intervals: Student's t over 2 pairs" in lines
    with pytest.raises(InputError, match="seed 7, B with seed 8"):
        _compared(a, c, monkeypatch)


def test_runs_are_plotted_as_a_sweep_made_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the runs differ in is an axis, seeds are replications; with a column of requests they are requests."""
    from sim.cli.plot import PlotRequest, plot_command
    from sim.figures import style

    drawn: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, path: drawn.append(figure))
    runs = [_run(tmp_path / f"{mhz}-{seed}", seed, mhz, 10.0 / mhz + seed) for mhz in (10, 20) for seed in (1, 2)]
    paths = [str(run) for run in runs]
    plot_command(PlotRequest(paths, out=tmp_path / "x.png"))
    plot_command(PlotRequest(paths[:1], "device", out=tmp_path / "x.png"))
    sweep = _sweep(tmp_path / "swept", 1.0, (5,))
    pd.read_parquet(sweep / "sweep.parquet").assign(**{"link.bandwidth_mhz": 30}).to_parquet(sweep / "sweep.parquet")
    plot_command(PlotRequest([f"mine={sweep}", paths[0]], "link.bandwidth_mhz", out=tmp_path / "x.png"))
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()] == ["mine", "10-1"]
    swept, requests, both = (figure.axes[0] for figure in drawn)
    assert [line.get_xdata().tolist() for line in both.lines if line.get_marker() != "None"] == [[30], [10]]
    assert swept.get_xlabel() == "Bandwidth (MHz)"
    assert swept.lines[0].get_xydata().tolist() == [[10, 2.5], [20, 2.0]]
    assert swept.get_title(loc="right") == "bands: 95 % CI, n = 2"
    assert requests.lines[0].get_xydata().tolist() == [[0, 1.5], [1, 2.5]]


def test_an_overview_names_all_keys_that_were_varied_together():
    from sim.sweep.run import SweepResult

    table = pd.DataFrame({"a": [1, 1, 2], "b": [8, 8, 9], "variant": "base", "e2e_mean_s": [1.0, 3.0, 5.0]})
    columns, rows = SweepResult(table, None, ["a"], [], ["b"]).overview()
    assert columns == ["a", "b", "e2e_mean_s"]
    assert rows == [[1, 8, 2.0], [2, 9, 5.0]]


def test_an_overview_leaves_out_what_does_not_vary_and_shows_the_cell_instead():
    from sim.sweep.run import SweepResult

    rows = {"a": [1, 2], "variant": "base", "e2e_mean_s": [1.0, 2.0], "acceptance_rate": 0.4, "overlap": [0.1, 0.2]}
    cell = {"uplink_prb_utilisation": [0.5, 0.9], "uplink_jain_index": [1.0, 0.8], "downlink_jain_index": 1.0}
    table = pd.DataFrame({**rows, **cell})
    columns, _ = SweepResult(table, None, ["a"]).overview()
    assert columns == ["a", "e2e_mean_s", "overlap", "uplink_prb_utilisation", "uplink_jain_index"]
    # Of a single row nothing varies, and everything is shown.
    assert "acceptance_rate" in SweepResult(table[:1], None, ["a"]).overview()[0]


def test_heads_of_words_are_broken_between_them_and_numbers_keep_their_zeros(monkeypatch: pytest.MonkeyPatch):
    columns = [label_of(name) for name in ("link.background.0.rate_hz", "variant", "e2e_mean_s", "uplink_jain_index")]
    columns += [label_of(name) for name in ("ttft_mean_s", "uplink_prb_utilisation", "acceptance_rate")]
    rows: list[list[object]] = [
        ["0.5", "max C/I", 14.0, 1.0, 2.8, 0.4, 5.0],
        ["4", "fair", 9.69, 0.424, 2.42, 0.5, 6.0],
    ]
    lines = shown(80, monkeypatch, "cell: 2 runs", columns, rows).splitlines()
    assert max(map(len, lines)) <= 80
    heads = " ".join(lines[1:-3]).split()
    assert {"Background", "files", "(Hz)", "utilisation", "End-to-end", "Acceptance"} <= set(heads)
    assert lines[-2].split() == ["0.5", "max", "C/I", "14.0", "1.00", "2.80", "0.400", "5"]
    assert lines[-1].split() == ["4", "fair", "9.69", "0.424", "2.42", "0.500", "6"]


def test_a_narrow_terminal_leaves_out_what_can_be_spared_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    names = ("link.bandwidth_mhz", "variant", "e2e_mean_s", "ttft_mean_s", "tpot_mean_s", "acceptance_rate", "overlap")
    columns = [label_of(name) for name in (*names, "uplink_bits_per_token", "tokens_per_s")]
    rows: list[list[object]] = [["5", "full rows", 2.4, 1.2, 0.2, 0.4, 0.5, 1425479.0, 22.1]]
    screen = io.StringIO()
    for width in (80, 140):
        console = Console(file=screen, width=width, highlight=False)
        monkeypatch.setattr(output, "results_console", lambda console=console: console)
        output.print_table("one run", columns, rows, [columns[6], columns[4]])
    narrow, wide = (text.splitlines() for text in screen.getvalue().split("one run\n")[1:])
    assert max(map(len, narrow)) <= 80
    assert narrow[-1].split() == ["5", "full", "rows", "2.40", "1.20", "0.400", "1,425,479", "22.1"]
    assert len(wide[-1].split()) == 10
    words = " ".join(narrow[:-2]).split()
    assert {"Throughput", "(tokens/s)", "(bit/token)", "Acceptance", "Bandwidth"} <= set(words)
    assert capsys.readouterr().err == f"no room: {columns[6]}, {columns[4]}\n"


def test_what_libraries_print_is_not_among_the_results(capsys):
    with output.only_results_on_stdout():
        print("from a library")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "from a library\n"


def test_without_a_terminal_a_line_says_now_and_then_how_far_the_work_is(monkeypatch, capsys):
    said: list[str] = []
    told = threading.Event()

    def say(message: str) -> None:
        said.append(message)
        told.set()

    monkeypatch.setattr(output, "PROGRESS_S", 0.001)
    monkeypatch.setattr(output, "say", say)
    with output.ProgressBars() as progress:
        assert told.wait(10)
        progress("simulating", 4, 36)  # 4 are of an earlier sweep
        progress("simulating", 16, 36)
        told.clear()
        assert told.wait(10)
    assert said[0].startswith("running: reading and preparing, 0 s so far")
    assert re.fullmatch(r"running: simulating 16/36, \d+ s so far, about \d+ s left of it", said[-1])
    count = len(said)
    threading.Event().wait(0.01)
    assert len(said) == count
    assert not capsys.readouterr().out


def test_what_is_left_is_reckoned_from_what_was_done_since(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(output.time, "monotonic", lambda: now_s)
    lines = output.ProgressLines()
    lines.update("decoding", 10, 40)
    assert lines.line() == "running: decoding 10/40, 0 s so far"
    now_s = 130.0
    lines.update("decoding", 20, 40)
    assert lines.line() == "running: decoding 20/40, 30 s so far, about 60 s left of it"
