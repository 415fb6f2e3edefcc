"""How results and their sides are named to ``specran plot`` and ``specran compare``."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sim.cli import _main
from sim.cli.plot import PlotRequest, compare_command, plot_command
from sim.core.errors import InputError
from sim.figures.result_names import names_by_difference, result_at
from tests.figures.tables import UPLINK, requests_table, sweep_table

POLICY = "edge.sites.handover"


def _write(folder: Path, table: pd.DataFrame, name: str = "sweep") -> Path:
    folder.mkdir(parents=True)
    table.to_parquet(folder / f"{name}.parquet")
    return folder


def _policies() -> pd.DataFrame:
    """A sweep over a key with names, without variants."""
    table = sweep_table()
    table[POLICY] = table["variant"].map({"full rows": "anchor", "top-8": "re_prefill", "edge only": "move_kv"})
    return table.assign(variant="")


@pytest.mark.parametrize("variant", ["", None])
def test_a_side_of_a_sweep_without_variants_is_named_by_column(tmp_path: Path, variant: str | None) -> None:
    sweep = _write(tmp_path / "sweep", _policies().assign(variant=variant))
    with pytest.raises(InputError) as raised:
        compare_command(sweep, None, "e2e_mean_s", side_a="re_prefill", side_b="anchor")
    assert str(raised.value) == (
        f"--a re_prefill: there are no variants here; name rows by COLUMN=VALUE, such as {POLICY}=re_prefill; "
        f"varied here: {UPLINK}=0.5, 2, 10, 100; {POLICY}=anchor, re_prefill, move_kv"
    )
    compare_command(sweep, None, "e2e_mean_s", side_a=f"{POLICY}=re_prefill", side_b=f"{POLICY}=anchor")


def test_a_side_that_is_no_variant_is_refused_with_both_kinds_of_names(tmp_path: Path) -> None:
    sweep = _write(tmp_path / "sweep", sweep_table())
    with pytest.raises(
        InputError, match=r"--b: unknown variant 'top-9' .did you mean 'top-8'.*; or COLUMN=VALUE of link"
    ):
        compare_command(sweep, None, "e2e_mean_s", side_a="top-8", side_b="top-9")
    run = _write(tmp_path / "run", requests_table(), "requests")
    with pytest.raises(InputError, match="--a x: there are no variants here, and nothing was varied"):
        compare_command(run, None, "e2e_mean_s", side_a="x", side_b="y")


def test_a_sweep_beside_a_run_is_refused_as_such(tmp_path: Path) -> None:
    sweep = _write(tmp_path / "sweep", sweep_table())
    run = _write(tmp_path / "run", requests_table(), "requests")
    with pytest.raises(InputError, match=r"A is a sweep .a row per point., B is a run .a row per request."):
        compare_command(sweep, run, "e2e_mean_s")


def test_a_pattern_after_a_name_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write(Path("a/sweep-1"), sweep_table())
    _write(Path("b/sweep-[x]"), sweep_table())
    asked = PlotRequest(["A=a/sweep-*", "B=b/sweep-[x]"], UPLINK, by="variant", latex=Path("t.tex"))
    plot_command(asked)
    assert all(rf"\textit{{{name}}}" in Path("t.tex").read_text() for name in "AB")


def test_a_pattern_that_matches_none_or_several_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (1, 2, 3):
        os.utime(_write(Path(f"a/sweep-{place}"), sweep_table()), (place % 3, place % 3))
    with pytest.raises(InputError) as raised:
        plot_command(PlotRequest(["A=a/sweep-*"], UPLINK))
    assert str(raised.value) == (
        "A=a/sweep-*: 3 files or folders match; name one of them, newest first: a/sweep-2, a/sweep-1, a/sweep-3"
    )
    with pytest.raises(InputError, match=r"^A=a/none-\*: no file or folder matches$"):
        plot_command(PlotRequest(["A=a/none-*"], UPLINK))


def _of_scenario(folder: Path, **keys: object) -> Path:
    _write(folder, sweep_table())
    (folder / "scenario.yaml").write_text(yaml.safe_dump({"name": "cell", "seed": 1, **keys}))
    return folder


def test_results_are_called_by_the_keys_in_which_they_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    axes = {"axes": {"link.bandwidth_mhz": [5, 20]}}
    _of_scenario(Path("cell/sweep-5ae"), devices={"count": 3}, protocol={"top_k": 8}, sweep=axes)
    wider = {"axes": {"link.bandwidth_mhz": [5, 20, 100]}}
    _of_scenario(Path("cell/sweep-0b1"), devices={"count": 8}, protocol={"top_k": 8}, sweep=wider)
    folders = ["cell/sweep-5ae", "cell/sweep-0b1"]
    plot_command(PlotRequest(folders, UPLINK, by="variant", facet="result", latex=Path("t.tex")))
    for name in ("Devices = 3, bandwidth 5, 20 MHz", "Devices = 8, bandwidth 5, 20, 100 MHz"):
        assert rf"\textit{{{name}}}" in Path("t.tex").read_text()
    plot_command(PlotRequest([f"mine={folders[0]}", folders[1]], UPLINK, by="variant", latex=Path("t.tex")))
    assert r"\textit{sweep-0b1}" in Path("t.tex").read_text()  # the only one without a name differs from nothing


def test_results_that_differ_in_no_key_keep_the_names_of_their_folders(tmp_path: Path) -> None:
    places = [_of_scenario(tmp_path / "a" / "sweep-1"), _of_scenario(tmp_path / "b" / "sweep-2")]
    assert names_by_difference(places) is None
    assert names_by_difference([places[0], tmp_path / "no" / "scenario"]) is None
    other = _of_scenario(
        tmp_path / "c" / "sweep-3", protocol={"top_k": 4, "name": "tslt"}, link={"mcs": 3, "one_way_delay_s": 1}
    )
    assert names_by_difference([places[0], other]) == [
        "no MCS, no one-way delay, no protocol, ...",
        "MCS = 3, one-way delay 1 s, protocol tslt, ...",
    ]


def test_a_comparison_lists_the_keys_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = _of_scenario(tmp_path / "a", protocol={"top_k": 256})
    b = _of_scenario(tmp_path / "b", protocol={"top_k": 4096}, devices={"count": 2})
    compare_command(a, b, "e2e_mean_s")
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("differs")] == [
        "differs: protocol.top_k: 256 -> 4096",
        "differs: devices.count: not set -> 2",
    ]


def test_the_folder_of_a_scenario_is_its_newest_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _write(tmp_path / "cell" / "5ae", requests_table(), "requests")
    assert result_at(tmp_path / "cell") == run
    for place, name in enumerate(("sweep-2", "sweep-1")):
        table = _write(tmp_path / "cell" / name, sweep_table()) / "sweep.parquet"
        os.utime(table, (place, place))
    assert result_at(tmp_path / "cell") == tmp_path / "cell" / "sweep-1"
    assert result_at(run) == run
    plot_command(PlotRequest([str(tmp_path / "cell")], UPLINK, out=tmp_path / "x.png"))
    assert f"newest:  {tmp_path / 'cell' / 'sweep-1'}" in capsys.readouterr().err
    with pytest.raises(InputError, match="no table here"):
        plot_command(PlotRequest([str(tmp_path)], UPLINK))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["one", "--latex", "p.png", "--out", "./p.png"], "--out and --latex both name p.png"),
        (["a=one", "b=one", "a=two"], "2 results are called 'a'; give each a name of its own"),
        (["one", "--color", "a=b"], "--color: unknown series 'a'"),
        (["one", "--xlim", "nan:5"], "--xlim: the ends of an axis are finite numbers"),
        (["one", "--style", "one/sweep.csv"], "--style: one/sweep.csv:1: "),
    ],
)
def test_what_a_plot_refuses(tmp_path: Path, monkeypatch, capsys, arguments: list[str], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    table = sweep_table()
    for name in ("one", "two"):
        _write(tmp_path / name, table[table["variant"] == "top-8"])
    Path("one/sweep.csv").write_text("a,b\n1,2\n")
    assert _main(["plot", *arguments, "--x", "link.uplink_mbps"]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1
    assert not Path("p.png").exists() and not Path("plot.png").exists()
