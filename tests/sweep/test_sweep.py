"""Sweeps: the same table on any executor, resumed or not; a failed point is reported and stops no other."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pandas as pd
import pytest

from sim.core.errors import InputError, RunError
from sim.results.point_log import encode_point, read_points
from sim.results.reading import read_point, read_table
from sim.scenario.schema import Scenario
from sim.sweep.run import _Sweep, sweep
from sim.sweep.tasks import InProcess


def table_bytes(folder: Path) -> tuple[bytes, bytes]:
    """The sweep's table as it lies on disk."""
    return (folder / "sweep.parquet").read_bytes(), (folder / "sweep.csv").read_bytes()


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a sweep; of manifest and report what must not depend on how they were made."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    manifest = json.loads(files.pop("manifest.json"))
    report = files.pop("report.html", b"").decode()
    del manifest["run_facts"]
    files["manifest"] = json.dumps(manifest).encode()
    files["report"] = re.sub(r'(?s)<tbody id="run-facts">.*?</tbody>', "", report).encode()
    return files


def test_one_process_and_eight_make_the_same_bytes(tiny: Scenario, tmp_path: Path):
    one = sweep(tiny, tmp_path / "one", jobs=1)
    eight = sweep(tiny, tmp_path / "eight", jobs=8)
    assert not one.failed and not eight.failed
    assert len(one.table) == 8
    assert table_bytes(one.folder) == table_bytes(eight.folder)
    for name in ("scenario.yaml", "manifest.json", "report.html"):
        assert (one.folder / name).stat().st_size > 0
    assert list((one.folder / "figures").glob("*.png"))
    assert files_of(one.folder) == files_of(eight.folder)
    requests = pd.read_parquet(one.folder / "points" / "requests.parquet")
    assert list(requests["run_id"]) == [run_id for run_id in one.table["run_id"] for _ in range(4)]
    for run_id in one.table["run_id"]:
        # Each point can be had on its own, by its id or as if it were a folder.
        alone = read_table(one.folder / "points" / run_id)
        whole = requests[requests["run_id"] == run_id].drop(columns="run_id").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, whole, check_exact=True)
    with pytest.raises(InputError, match=r"keeps requests of its points, not rounds; see sweep\.keep"):
        read_point(one.folder, run_id, "rounds")
    with pytest.raises(InputError, match="no point has the run id 'abc'"):
        read_table(one.folder / "points" / "abc")


@pytest.mark.usefixtures("no_pictures", "cache")
def test_a_table_that_was_changed_and_sealed_anew_is_one_message(tiny_keys: dict, tmp_path: Path):
    keys = {**tiny_keys, "sweep": {"axes": {"seed": [1]}}}
    done = sweep(Scenario.from_dict(keys), tmp_path, jobs=1)
    path = done.folder / "points" / "finished.points"
    (point,) = read_points(path)
    for table in (b"", b"x" * 30, zlib.compress(b"no stream"), zlib.compress(bytes(4000))[:-3]):
        path.write_bytes(encode_point(point.address, point.summary, {"requests": (table, point.tables["requests"][1])}))
        with pytest.raises(RunError, match=r"finished\.points: damaged: .*; remove this file, and its points are run"):
            read_table(done.folder / "points" / point.address[:12])
    (done.folder / "points" / "requests.parquet").unlink()
    with pytest.raises(RunError, match=r"finished\.points: damaged: "):
        sweep(Scenario.from_dict(keys), tmp_path, jobs=1, resume=True)


@pytest.mark.usefixtures("no_pictures")
def test_recording_in_two_processes_makes_the_same_bytes(tiny: Scenario, cache: Path, tmp_path: Path, monkeypatch):
    first = sweep(tiny, tmp_path / "one", jobs=2)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "other-cache"))
    second = sweep(tiny, tmp_path / "two", jobs=1)
    assert not first.failed and not second.failed
    assert table_bytes(first.folder) == table_bytes(second.folder)
    here = {path.name: path.read_bytes() for path in (cache / "tape").glob("*/*.json")}
    there = {path.name: path.read_bytes() for path in (tmp_path / "other-cache" / "tape").glob("*/*.json")}
    assert here == there and len(here) == 8


@pytest.mark.usefixtures("no_pictures")
def test_resuming_skips_what_is_finished(tiny: Scenario, tmp_path: Path):
    done: list[tuple[str, int, int]] = []
    first = sweep(tiny, tmp_path, jobs=1, progress=lambda *at: done.append(at))
    # Bars stand from the beginning, not from when the first task is done.
    assert done[0] == ("decoding", 0, 8) and ("simulating", 0, 8) in done and done[-1] == ("writing", 1, 1)
    before = table_bytes(first.folder)
    done.clear()
    again = sweep(tiny, tmp_path, jobs=1, resume=True, progress=lambda *at: done.append(at))
    assert table_bytes(again.folder) == before
    assert json.loads((again.folder / "manifest.json").read_text())["run_facts"]["resumed"] == 8
    assert [at for at in done if at[0] == "simulating"] == [("simulating", 8, 8)]


@pytest.mark.usefixtures("no_pictures", "cache")
def test_a_sweep_with_more_values_runs_only_what_is_new(tiny_keys: dict, tmp_path: Path):
    wider = Scenario.from_dict(tiny_keys)
    key, values = next(iter(tiny_keys["sweep"]["axes"].items()))
    narrow = wider.replace("sweep.axes", {key: values[:2]})
    expected = table_bytes(sweep(wider, tmp_path / "alone", jobs=1).folder)
    first = sweep(narrow, tmp_path / "out", jobs=1)
    damage(first.folder, first.table["run_id"][0], "bit")
    second = sweep(wider, tmp_path / "out", jobs=1, resume=True)
    assert second.folder != first.folder
    # A table of one of the first sweep's four does not have its hash, and so that one is no finished point.
    assert json.loads((second.folder / "manifest.json").read_text())["run_facts"]["resumed"] == 3
    assert table_bytes(second.folder) == expected
    assert pd.read_parquet(second.folder / "points" / "requests.parquet")["run_id"].nunique() == 8
    finer = sweep(wider.replace("sweep.keep", "rounds"), tmp_path / "out", jobs=1, resume=True)
    assert json.loads((finer.folder / "manifest.json").read_text())["run_facts"]["resumed"] == 0


@pytest.mark.usefixtures("no_pictures", "cache", "protocols_restored")
def test_nothing_is_resumed_that_another_version_of_the_users_own_file_has_made(tiny_keys: dict, tmp_path, monkeypatch):
    own = """
from sim.decoding.protocols.edge_only import edge_only
from sim.decoding.protocols.registry import protocol
from sim.core.settings import Settings

@protocol("slow_edge", Settings, models=("target",), lossless=True)
def slow_edge(request, settings, draw):
    \"\"\"As edge_only.\"\"\"
    return edge_only(request, settings, draw)
"""
    (tmp_path / "own_scheme.py").write_text(own)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tiny_keys["protocol"] = {"name": "own_scheme:slow_edge"}
    tiny_keys["sweep"]["variants"] = {}
    scenario = Scenario.from_dict(tiny_keys)
    folder = sweep(scenario, tmp_path / "out", jobs=1).folder
    resumed = []
    for text in (own, own + "# Edited.\n"):
        (tmp_path / "own_scheme.py").write_text(text)
        result = sweep(scenario, tmp_path / "out", jobs=1, resume=True)
        resumed.append((result.resumed, result.folder == folder))
    assert resumed == [(4, True), (0, False)]


@pytest.mark.usefixtures("no_pictures")
def test_without_resuming_all_is_run_again(tiny: Scenario, tmp_path: Path):
    first = sweep(tiny, tmp_path, jobs=1)
    before = table_bytes(first.folder)
    again = sweep(tiny, tmp_path, jobs=1)
    assert table_bytes(again.folder) == before
    assert json.loads((again.folder / "manifest.json").read_text())["run_facts"]["resumed"] == 0


def damage(folder: Path, run_id: str, kind: str) -> None:
    """Harm one point of a finished sweep: a digit of its summary, a bit of its table, or all that follows it."""
    path = folder / "points" / "finished.points"
    data = bytearray(path.read_bytes())
    start = data.index(f'"run":"{run_id}'.encode())
    match kind:
        case "digit":
            place = data.index(b'"e2e_mean_s":', start) + 13
            data[place] ^= 1
        case "bit":
            end = data.find(b"\nPOINT ", start)
            data[(end if end >= 0 else len(data)) - 9] ^= 4
        case "length":
            place = data.rindex(b"\n", 0, start) - 1
            data[place] = ord("1") if data[place] != ord("1") else ord("2")
        case "half":
            del data[start + 40 :]
    path.write_bytes(data)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("kind", "resumed"), [("digit", 7), ("bit", 7), ("length", 7), ("half", 3), ("missing", 0)])
def test_a_damaged_point_is_run_again(tiny: Scenario, tmp_path: Path, kind: str, resumed: int):
    first = sweep(tiny, tmp_path, jobs=1)
    before = files_of(first.folder)
    if kind == "missing":
        (first.folder / "points" / "finished.points").unlink()
    else:
        damage(first.folder, first.table["run_id"][3], kind)
    again = sweep(tiny, tmp_path, jobs=1, resume=True)
    assert json.loads((again.folder / "manifest.json").read_text())["run_facts"]["resumed"] == resumed
    assert files_of(again.folder) == before


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("name", ["sweep.csv", "points/requests.parquet", "scenario.yaml"])
def test_a_damaged_file_is_written_again(tiny: Scenario, tmp_path: Path, name: str):
    first = sweep(tiny, tmp_path, jobs=1)
    before = files_of(first.folder)
    path = first.folder / name
    path.write_bytes(path.read_bytes()[:-9])
    sweep(tiny, tmp_path, jobs=1, resume=True)
    assert files_of(first.folder) == before


def with_traces(keys: dict, folder: Path, *names: str) -> dict:
    """Change keys to a sweep over traces; one that is missing is found out when its link is built."""
    for name, mbps in (("slow", 0.2), ("fast", 2)):
        (folder / f"{name}.csv").write_text(f"time_s,mbps\n0,{mbps}\n1,{mbps}\n")
    keys["link"] = {"kind": "trace", "uplink_trace": str(folder / "slow.csv"), "downlink_mbps": 2}
    keys["sweep"] = {"axes": {"link.uplink_trace": [str(folder / f"{name}.csv") for name in names]}}
    return keys


def test_a_point_that_fails_is_told_and_stops_no_other(tiny_keys: dict, cache: Path, tmp_path: Path):
    result = sweep(Scenario.from_dict(with_traces(tiny_keys, tmp_path, "slow", "missing", "fast")), tmp_path, jobs=1)
    assert len(result.table) == 2
    assert len(result.failed) == 1
    assert result.failed[0].startswith("link.uplink_trace=") and "missing.csv" in result.failed[0]
    assert (result.folder / "report.html").exists()


def test_the_command_line_says_so_with_exit_code_1(tiny_keys: dict, cache: Path, tmp_path: Path, capsys, monkeypatch):
    from sim.cli import _main

    monkeypatch.setattr("sim.cli.run.ROWS_SHOWN", 1)
    with_traces(tiny_keys, tmp_path, "slow", "missing")
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    assert _main(["sweep", str(path), "--jobs", "1", "--out", str(tmp_path / "out"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert len(told["points"]) == 1 and "missing.csv" in told["failed"][0]
    with_traces(tiny_keys, tmp_path, "slow", "fast")
    path.write_text(json.dumps(tiny_keys))
    assert _main(["sweep", str(path), "--jobs", "1", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert ("slow.csv" in shown.out, "fast.csv" in shown.out) == (True, False)
    assert "and 1 more rows in sweep.csv; --json prints them all" in shown.err


@pytest.mark.usefixtures("no_pictures")
def test_workers_import_no_torch_when_everything_is_on_tape(tiny: Scenario, tmp_path: Path):
    sweep(tiny, tmp_path, jobs=1)
    code = """
import sys, pickle
from sim.sweep.work import simulate_points
task, packed = pickle.load(open(sys.argv[1], "rb"))
(done,) = simulate_points(task, packed)
assert done.summary["requests"] == 4, done
print(sorted({"torch", "transformers", "matplotlib", "scipy.stats"} & set(sys.modules)))
"""
    ready = _Sweep(tiny, tmp_path, 1, None, False, lambda *_: None)
    task = ready._tasks(ready.points[:1], InProcess(), per_task=1)[0]
    (tmp_path / "task.pickle").write_bytes(pickle.dumps((task.task, task.shared)))
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "task.pickle")], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr


def test_a_results_folder_below_a_file_gives_one_clear_message(tiny: Scenario, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write results to .*: part of that path is a file"):
        sweep(tiny, tmp_path / "file" / "out", jobs=1)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("number", "says"), [(28, "the disk is full"), (30, "read-only"), (13, "no permission")])
def test_a_disk_that_cannot_be_written_gives_one_clear_message(tiny: Scenario, tmp_path, monkeypatch, number, says):
    from sim.results import point_log

    def refuse(*_: object) -> None:
        raise OSError(number, "as the system says it")

    monkeypatch.setattr(point_log.PointWriter, "add", refuse)
    with pytest.raises(RunError, match=f"cannot write results to .*: .*{says}"):
        sweep(tiny, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_pictures")
def test_replications_stop_when_the_mean_is_known(tiny_keys: dict, cache: Path, tmp_path: Path):
    tiny_keys["sweep"] = {
        "axes": {"link.uplink_bandwidth_mhz": [0.02, 5.0]},
        "replications": 8,
        "precision": "60%",
    }
    loose = sweep(Scenario.from_dict(tiny_keys), tmp_path, jobs=1).table
    two = sweep(Scenario.from_dict(tiny_keys), tmp_path / "two", jobs=2).table
    pd.testing.assert_frame_equal(loose, two, check_exact=True)
    tiny_keys["sweep"]["precision"] = "0.01%"
    tight = sweep(Scenario.from_dict(tiny_keys), tmp_path, jobs=1).table
    assert len(loose) == 6  # three of each are the fewest
    assert len(tight) == 16
    shared = tight[tight["replication"] < 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(loose, shared, check_exact=True)
