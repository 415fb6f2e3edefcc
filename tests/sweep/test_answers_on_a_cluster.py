"""``specran capacity`` and ``specran advise`` on a Dask cluster behind TLS: as on processes of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.cli import _main
from sim.scenario.schema import Scenario
from tests.sweep.dask_processes import dask_processes


def _ask(command: list[str], out: Path, where: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a command prints; where its files are is not part of it."""
    assert _main([*command, *where, "--out", str(out), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {name: value for name, value in told.items() if name not in ("folder", "files", "report")}


@pytest.mark.usefixtures("cache", "no_pictures")
def test_capacity_and_advice_are_those_of_this_machine(
    tiny_keys: dict[str, Any], tmp_path: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The load bracketed, every run of the curve, and the candidates tried, to the byte."""
    del tiny_keys["sweep"]
    tiny_keys["devices"] = {"count": 2, "arrivals": "poisson", "total_rate_hz": 2.0, "duration_s": 4.0}
    tiny_keys["slo"] = {"e2e_s": 0.5}
    tiny_keys["workload"]["distinct_requests"] = 4
    path = tmp_path / "asked.yaml"
    path.write_text(Scenario.from_dict(tiny_keys).to_yaml(), encoding="utf-8")
    questions = {
        "capacity": [str(path), "--slo-share", "0.8", "--replications", "2", "--tolerance", "0.5"],
        "advise": [str(path), "--minimise", "e2e_mean_s", "--over", "draft_length=1,3", "--trials", "2",
                   "--replications", "2", "--no-sensitivity"],
    }  # fmt: skip
    with dask_processes(tmp_path, certificate) as (address, _):
        secured = [item for part in ("ca", "cert", "key") for item in (f"--tls-{part}", str(certificate))]
        for command, question in questions.items():
            here = _ask([command, *question], tmp_path / "here", ["--jobs", "1"], capsys)
            away = _ask([command, *question], tmp_path / "away", ["--scheduler", address, *secured], capsys)
            assert here == away
    tables = {
        place: {path.name: path.read_bytes() for path in sorted((tmp_path / place).rglob("*.csv"))}
        for place in ("here", "away")
    }
    assert tables["here"] == tables["away"] and {"capacity.csv", "candidates.csv"} <= set(tables["here"])
