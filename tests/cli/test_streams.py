"""Results on stdout, all else on stderr; texts from files are inert; a run that lost its folder has failed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest

from sim.cli import INTERRUPTED, _main, _tell_interrupted
from sim.cli.output import print_table, say
from sim.cli.terminal import inert
from sim.results.csv_file import csv_text, write_csv
from tests.figures.tables import UPLINK, sweep_table

_TINY = """devices: {count: 1, requests: 1}
workload: {max_new_tokens: 2}
protocol: {name: edge_only}
models: embedded
compute:
  device: {kind: fixed, per_forward_s: 0.01}
  edge: {kind: fixed, per_forward_s: 0.01}
  cloud: {kind: fixed, per_forward_s: 0.01}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    Path("case.yaml").write_text(_TINY)
    return tmp_path


def saved(folder: Path, table: pd.DataFrame) -> Path:
    folder.mkdir()
    table.to_parquet(folder / "sweep.parquet")
    return folder


def test_version(capsys):
    assert _main(["--version"]) == 0
    assert capsys.readouterr().out == f"specran {metadata.version('specran')}\n"


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_a_comparison_goes_to_stdout_and_its_notes_to_stderr(work, capsys, form):
    table = sweep_table()
    a = saved(work / "a", table)
    b = saved(work / "b", table.assign(e2e_mean_s=table.e2e_mean_s + 0.5).head(30))
    assert _main(["compare", str(a), str(b), *form]) == 0
    captured = capsys.readouterr()
    assert "rows without a partner" in captured.err and "Student" in captured.err
    assert "partner" not in captured.out and "Student" not in captured.out
    if form == ["--json"]:
        rows = json.loads(captured.out)
        assert [row["difference"] for row in rows] == pytest.approx([0.5] * len(rows))
    elif form == ["--csv"]:
        rows = list(csv.DictReader(io.StringIO(captured.out)))
        assert [float(row["difference"]) for row in rows] == pytest.approx([0.5] * len(rows))
        assert {row["condition"] for row in rows if row["condition"] == "all"} == {"all"}
    else:
        assert "95 % interval" in captured.out


def test_a_variant_may_be_named_like_a_condition(work, capsys):
    table = sweep_table()
    plain = sorted(set(table["variant"]))
    names = dict(zip(plain, ["top_k=8", "=1+2", *plain[2:]], strict=True))
    folder = saved(work / "a", table.assign(variant=table["variant"].map(names)))
    assert _main(["compare", str(folder), "--a", "top_k=8", "--b", "=1+2", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["pairs"] > 0


@pytest.mark.parametrize("command", ["compare a b --json --csv", "tape list --csv", "run case.yaml --csv"])
def test_forms_that_a_command_has_not(work, capsys, command):
    assert _main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("specran: ") and not captured.out


def test_a_run_prints_its_table_on_stdout_and_where_its_files_are_on_stderr(work, capsys):
    assert _main(["run", "case.yaml"]) == 0
    captured = capsys.readouterr()
    assert "End-to-end latency, mean" in captured.out and "files:" not in captured.out
    assert "files: " in captured.err and "End-to-end" not in captured.err
    assert _main(["run", "case.yaml", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["requests"] == 1 and "files: " in captured.err


def test_a_sweep_prints_its_table_on_stdout_and_where_its_files_are_on_stderr(work, capsys):
    assert _main(["sweep", "case.yaml", "--vary", "link.uplink_mbps=1e-1,1", "--jobs", "1"]) == 0
    captured = capsys.readouterr()
    assert "case: 2 runs" in captured.out and "sweep.csv" not in captured.out
    assert "sweep.csv" in captured.err and "2 runs" not in captured.err


def test_a_run_that_loses_its_folder_under_way_has_failed(work, capsys, monkeypatch):
    from sim.runs import run as runs

    write_run = runs.write_run

    def losing(result, folder):
        shutil.rmtree(work / "results")
        write_run(result, folder)

    monkeypatch.setattr(runs, "write_run", losing)
    assert _main(["run", "case.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("specran: cannot write results") and captured.err.count("\n") == 1
    assert not captured.out and not list(work.glob("results/*/*"))


def test_a_sweep_that_loses_its_folder_under_way_has_failed(work, capsys, monkeypatch):
    from sim.sweep import run as sweeps

    gather = sweeps.gather

    def losing(place, *rest, **more):
        shutil.rmtree(work / "results")
        (work / "results").write_text("a file now")
        gather(place, *rest, **more)

    monkeypatch.setattr(sweeps, "gather", losing)
    assert _main(["sweep", "case.yaml", "--vary", "link.uplink_mbps=1,2", "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "cannot write results" in captured.err and "Traceback" not in captured.err
    assert not captured.out


@pytest.mark.parametrize("when", ["finish", "load", "gather"])
def test_a_sweep_whose_folder_is_removed_before_its_files_are_written_has_failed(work, capsys, monkeypatch, when):
    from sim.results.saved_points import SavedPoints
    from sim.sweep import run as sweeps

    place, name = (sweeps, "gather") if when == "gather" else (SavedPoints, when)
    called = getattr(place, name)

    def losing(*rest, **more):
        if when == "finish":
            rest[0].close()
        if when == "load":  # As if the folder had been made anew for the lock.
            for path in rest[0].folder.glob("*"):
                if path.suffix != ".lock":
                    path.unlink()
        else:
            shutil.rmtree(work / "results")
        return called(*rest, **more)

    monkeypatch.setattr(place, name, losing)
    keep = ["--set", "sweep.keep=summary"]
    assert _main(["sweep", "case.yaml", "--vary", "link.uplink_mbps=1,2", "--jobs", "1", *keep]) == 1
    assert "cannot write results" in capsys.readouterr().err
    assert not [path for path in work.glob("results/**/*") if path.is_file()]


@pytest.mark.parametrize("is_drawn", [False, True])
def test_a_sweep_whose_folder_is_removed_while_it_draws_leaves_nothing(work, capsys, monkeypatch, is_drawn):
    from sim.figures import sweep_figures

    draw = sweep_figures.draw_sweep

    def losing(*rest, **more):
        drawn = draw(*rest, **more) if is_drawn else []
        shutil.rmtree(work / "results")
        return drawn or draw(*rest, **more)

    monkeypatch.setattr(sweep_figures, "draw_sweep", losing)
    assert _main(["sweep", "case.yaml", "--vary", "link.uplink_mbps=1,2", "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "cannot write results" in captured.err and "Traceback" not in captured.err
    assert not [path for path in work.glob("results/**/*") if path.is_file()]


@pytest.mark.parametrize("cache", ["/proc", "/proc/specran", "/dev/null/below"])
def test_a_cache_that_cannot_be_used_says_what_it_is(work, capsys, monkeypatch, cache):
    monkeypatch.setenv("SPECRAN_CACHE", cache)
    assert _main(["run", "case.yaml"]) == 2
    captured = capsys.readouterr().err
    assert "SPECRAN_CACHE" in captured and "Traceback" not in captured and captured.count("\n") == 1
    assert "cannot " in captured and "held" not in captured


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["sweep", "case.yaml", "--jobs", "1"], "go on with: specran sweep case.yaml --jobs 1 --resume\n"),
        (["sweep", "my case.yaml", "--resume"], "go on with: specran sweep 'my case.yaml' --resume\n"),
        (["run", "case.yaml"], "nothing of this run was written"),
    ],
)
def test_an_interrupt_says_what_is_left(work, capsys, monkeypatch, command, says):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    Path("my case.yaml").write_text(_TINY)
    monkeypatch.setattr("sim.runs.run.run", interrupted)
    monkeypatch.setattr("sim.sweep.run.sweep", interrupted)
    assert _main(command) == INTERRUPTED
    _tell_interrupted(command)
    captured = capsys.readouterr()
    assert captured.err.startswith("specran: interrupted; ") and says in captured.err and captured.err.count("\n") == 1


_STEERING = "a\x1b[31mred\x07\x9b2J\u202eevil\r\u2028\x00"


def test_texts_show_and_steer_nothing(work, capsys):
    say(_STEERING)
    print_table(_STEERING, [_STEERING], [[_STEERING]])
    Path("a\x1b[31m.yaml").write_text("seed: x\n")
    assert _main(["validate", "a\x1b[31m.yaml"]) == 2
    assert _main(["run", "no\x1b[2Jsuch"]) == 2
    assert _main(["list", "\x1b]0;title\x07"]) == 2
    table = sweep_table().rename(columns={UPLINK: "link.\x1b[31m"})
    a, b = saved(work / "a", table), saved(work / "b", table)
    assert _main(["compare", str(a), str(b)]) == 0
    assert _main(["compare", str(a), str(b), "--csv"]) == 0
    captured = capsys.readouterr()
    for stream in (captured.out, captured.err):
        assert not set(stream) & set("\x1b\x07\x9b\u202e\u2028\x00")
    assert "\\x1b[31m" in captured.out and "\\x1b[31m" in captured.err
    assert inert("tab\tand\nline") == "tab\tand\nline"


@pytest.mark.parametrize("key", ["name", "workload.prompts", "protocol.name"])
def test_control_characters_are_refused_in_scenarios(work, capsys, key):
    assert _main(["run", "case.yaml", "--set", f'{key}="x\\e[31m"']) == 2
    captured = capsys.readouterr().err
    assert f"--set {key}: " in captured and "\x1b" not in captured


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"])
def test_formulas_are_texts_in_csv(tmp_path, cell):
    write_csv(pd.DataFrame({"name": [cell, "plain"], "number": [-1.5, 2], "mixed": ["-3", "+4e1"]}), tmp_path / "a.csv")
    rows = list(csv.reader((tmp_path / "a.csv").open(newline="")))
    assert rows[1] == [f"'{cell}", "-1.5", "-3"] and rows[2] == ["plain", "2.0", "+4e1"]
    assert csv_text(["=head"], [[cell], [-1]]).splitlines()[0] == "'=head"


def test_a_carriage_return_ends_no_row(tmp_path):
    write_csv(pd.DataFrame({"name": ["a\rb", "\r=1"], "other": [1, 2]}), tmp_path / "a.csv")
    rows = list(csv.reader((tmp_path / "a.csv").open(newline="")))
    assert rows[1:] == [["a\\rb", "1"], ["'\\r=1", "2"]]


def test_a_terminal_that_shows_a_csv_file_obeys_nothing_in_it(tmp_path):
    cell = "a\x1b[31m\x07\x9b2J\x7f\tb\nc"
    write_csv(pd.DataFrame({"name": [cell], "other": [1]}), tmp_path / "a.csv")
    (row,) = csv.DictReader((tmp_path / "a.csv").open(newline=""))
    assert row["name"] == "a\\x1b[31m\\x07\\x9b2J\\x7f\tb\nc"


def test_names_of_variants_and_categories_are_no_formulas_in_results(work, capsys):
    Path("prompts.jsonl").write_text('{"ids": [3, 4, 5], "category": "=1+1"}\n')
    more = ["--set", "workload.prompts=prompts.jsonl", "--out", "out"]
    assert _main(["run", "case.yaml", *more]) == 0
    (requests,) = Path("out").rglob("requests.csv")
    assert [row["category"] for row in csv.DictReader(requests.open(newline=""))] == ["'=1+1"]
    Path("sweep.yaml").write_text(_TINY + "sweep:\n  variants: {'=2+3': {}, '$x_$': {link.uplink_mbps: 1}}\n")
    assert _main(["sweep", "sweep.yaml", "--jobs", "1", "--out", "out"]) == 0
    (table,) = Path("out").rglob("sweep.csv")
    assert [row["variant"] for row in csv.DictReader(table.open(newline=""))] == ["'=2+3", "$x_$"]
    assert pd.read_parquet(table.with_suffix(".parquet"))["variant"].tolist() == ["=2+3", "$x_$"]


def test_a_reader_that_leaves_is_not_taken_for_own_code():
    command = [sys.executable, "-c", "from sim.cli import main; main()", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 1
    assert told == b""
