"""Capacity: bracketing finds where a known curve crosses the share, and where queueing theory says that it does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes

from sim.cli import _main
from sim.core.errors import InputError
from sim.scenario.schema import Scenario
from sim.sweep import capacity as module
from sim.sweep.capacity import Search, draw_capacity, find_capacity
from sim.sweep.cluster import Cluster
from tests.world.test_steady_load import one_token_requests, poisson

LOAD = {"count": 4, "arrivals": "poisson", "total_rate_hz": 3.0, "duration_s": 10.0}


def scenario(**slo: float) -> Scenario:
    return Scenario.from_dict({**one_token_requests(LOAD).dump(), "slo": slo})


def curve(monkeypatch: pytest.MonkeyPatch, limit: float, noise: float = 0.0) -> list[float]:
    """Runs whose goodput share falls from 1 at no load to 0 at twice the limit; notes the loads."""
    asked: list[float] = []

    def evaluate(one: Scenario, out: Path, **_: Any) -> tuple[pd.DataFrame, list[str]]:
        assert one.sweep is not None
        ((key, (load,)),) = one.sweep.axes.items()
        asked.append(load)
        share = max(0.0, 1 - load / (2 * limit))
        shares = [share + noise * place for place in range(-1, one.sweep.replications - 1)]
        rows = [{key: load, "goodput_rps": own * load, "offered_rps": load} for own in shares]
        return pd.DataFrame(rows), []

    monkeypatch.setattr(module, "evaluate", evaluate)
    return asked


@pytest.mark.parametrize("start", [1.0, 7.0, 90.0])
def test_the_crossing_is_found_from_below_and_from_above(monkeypatch: pytest.MonkeyPatch, start: float) -> None:
    asked = curve(monkeypatch, 10.0)
    search = Search("devices.total_rate_hz", share=0.5, low=start, tolerance=0.02)
    found = find_capacity(scenario(ttft_s=1.0), search)
    assert found.load == pytest.approx(10.0, rel=0.02) and len(asked) == len(set(asked)) <= 16
    assert found.low <= found.load <= found.high <= found.low * 1.03
    assert len(found.runs) == 3 * len(asked) and [point.load for point in found.points] == sorted(asked)


def test_noise_widens_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    curve(monkeypatch, 10.0, noise=0.02)
    found = find_capacity(scenario(ttft_s=1.0), Search("devices.total_rate_hz", share=0.5, tolerance=0.02))
    # Half of the interval is 4.30 * 0.02 / sqrt(3) = 0.05, which is a load of 1 on this curve.
    assert found.low < 9.4 and found.high > 10.6


def test_whole_numbers_are_bracketed_by_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    curve(monkeypatch, 37.5)
    found = find_capacity(scenario(ttft_s=1.0), Search("devices.count", share=0.5))
    assert {37.0, 38.0} <= {point.load for point in found.points} and 37 <= found.load <= 38


@pytest.mark.parametrize(
    ("changes", "search", "message"),
    [
        ({}, Search("devices.total_rate_hz"), r"slo: goodput needs an objective; set slo\.ttft_s"),
        ({"tpot_s": 1.0}, Search("devices.total_rate_hz", "ttft"), r"slo: ttft needs an objective; set slo\.ttft_s"),
        ({"ttft_s": 1.0}, Search("devices.arrivals"), r"devices\.arrivals: expected a key with a number"),
        ({"ttft_s": 1.0}, Search("devices.nothing"), r"devices\.nothing: expected a key with a number"),
        (
            {"ttft_s": 0.01},
            Search("devices.count", "goodput"),
            r"devices\.count: no load holds goodput at 0.95: at 1 it is 0",
        ),
    ],
)
def test_what_cannot_be_found_is_told(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, float], search: Search, message: str
) -> None:
    if search.key == "devices.count":
        curve(monkeypatch, 0.01)
    with pytest.raises(InputError, match=message):
        find_capacity(scenario(**changes), search)


def test_the_command_finds_what_queueing_theory_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """M/D/1 whose requests must not wait at all: the share of those is 1 - rho, half of them at half of capacity."""
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    load = {**poisson(0.4, 400.0, 50), "arrival_rate_hz": None, "total_rate_hz": 4.0}
    keys = {**one_token_requests(load).dump(), "models": "embedded", "slo": {"e2e_s": 0.1001}}
    path = tmp_path / "load.yaml"
    path.write_text(Scenario.from_dict(keys).to_yaml(), encoding="utf-8")
    options = ["--slo-share", "0.5", "--tolerance", "0.1", "--jobs", "1", "--out", str(tmp_path), "--json"]
    assert _main(["capacity", str(path), *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["capacity"] == pytest.approx(5.0, rel=0.08)
    assert told["interval"]["low"] <= told["capacity"] <= (told["interval"]["high"] or math.inf)
    folder = Path(told["folder"])
    assert folder.parent == tmp_path / "small" and folder.name.startswith("capacity-devices.total_rate_hz-")
    assert {path.name for path in folder.iterdir()} >= {"capacity.csv", "capacity.json", "capacity.png"}


def test_one_replication_gives_a_bracket_and_no_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bracket of the search is told as one; three replications give an interval, in a folder of their own."""
    curve(monkeypatch, 10.0)
    path = tmp_path / "load.yaml"
    path.write_text(Scenario.from_dict({**scenario(ttft_s=1.0).dump(), "models": "embedded"}).to_yaml(), "utf-8")
    options = ["capacity", str(path), "--slo-share", "0.5", "--tolerance", "0.1", "--out", str(tmp_path)]
    folders = set()
    for replications in ("1", "3"):
        own = [*options, "--replications", replications]
        assert _main([*own, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["bracket"]["low"] <= told["capacity"] <= told["bracket"]["high"] <= 1.1 * told["bracket"]["low"]
        assert json.loads((Path(told["folder"]) / "capacity.json").read_text())["interval"] == told["interval"]
        folders.add(told["folder"])
        assert _main(own) == 0
        text = capsys.readouterr().out
        assert (told["interval"] is None) == (replications == "1") == ("95 % interval" not in text)
        if replications == "1":
            low, high = told["bracket"].values()
            remark = f"between {low:.4g} and {high:.4g} (bracket of the search; one replication gives no interval)"
            assert remark in " ".join(text.split())
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("command", "called"),
    [
        (["capacity"], "sim.sweep.capacity.find_capacity"),
        (["advise", "--over", "protocol.top_k", "--minimise", "e2e_mean_s"], "sim.sweep.advice.advise.advise"),
        (["sweep"], "sim.sweep.run.sweep"),
    ],
)
def test_certificates_reach_the_cluster(
    command: list[str],
    called: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All commands that run on a cluster take the same options of TLS, and refuse them without one."""
    asked: list[Any] = []

    def note(*_: Any, scheduler: Any, **__: Any) -> None:
        asked.append(scheduler)
        raise InputError("this far")

    monkeypatch.setattr(called, note)
    certificate = tmp_path / "own.pem"
    certificate.write_text("")
    path = tmp_path / "load.yaml"
    keys = {**scenario(ttft_s=1.0).dump(), "models": "embedded", "sweep": {"axes": {"devices.count": [1, 2]}}}
    path.write_text(Scenario.from_dict(keys).to_yaml(), encoding="utf-8")
    options = [command[0], str(path), *command[1:]]
    tls = ["--tls-ca", str(certificate), "--tls-cert", str(certificate)]
    assert _main([*options, "--scheduler", "tls://127.0.0.1:1", *tls]) == 2
    assert asked == [Cluster("tls://127.0.0.1:1", certificate, certificate)]
    assert "this far" in capsys.readouterr().err
    assert _main([*options, *tls]) == 2 and len(asked) == 1
    assert "are about --scheduler" in capsys.readouterr().err
    assert _main([*options, "--scheduler", "tls://127.0.0.1:1"]) == 2 and len(asked) == 1
    assert "TLS needs --tls-ca, --tls-cert, too" in capsys.readouterr().err


def test_the_curve_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    curve(monkeypatch, 10.0, noise=0.02)
    search = Search("devices.total_rate_hz", share=0.5)
    written = draw_capacity(find_capacity(scenario(ttft_s=1.0), search), search, tmp_path)
    assert {path.suffix for path in written} == {".png", ".pdf", ".svg"}


def test_a_curve_of_single_replications_has_no_error_bars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(Axes, "errorbar", lambda *_, yerr, **__: drawn.append(yerr))
    curve(monkeypatch, 10.0, noise=0.02)
    for replications in (1, 3):
        search = Search("devices.total_rate_hz", share=0.5, replications=replications)
        draw_capacity(find_capacity(scenario(ttft_s=1.0), search), search, tmp_path)
    assert drawn[0] is None and all(half > 0 for half in drawn[1])
