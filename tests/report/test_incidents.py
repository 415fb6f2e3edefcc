"""An outage is seen where its run is looked at: the terminal's table, warnings, the report, a sweep's overview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sim.cli import _main
from sim.report.results import means_with_intervals
from sim.report.warnings import incident_warnings, sweep_warnings
from tests.figures.tables import UPLINK, sweep_table

_SCENARIO = """\
name: outage
models: embedded
devices: {count: 2, requests: 2, think_time_s: 0.05}
workload: {max_new_tokens: 6}
protocol: {name: tslt, draft_length: 2, top_k: 8}
link: {kind: nr, fading: none}
edge: {sites: {outages: [{site: 0, from_s: 0.1, to_s: 5}], fallback: none, detection_s: 0.05}}
compute: {device: {kind: fixed, per_forward_s: 0.005}, edge: {kind: fixed, per_forward_s: 0.05}}
"""


def test_a_run_with_an_outage_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    Path("outage.yaml").write_text(_SCENARIO, encoding="utf-8")
    assert _main(["run", "outage.yaml", "--set", "workload.max_new_tokens=4"]) == 0
    shown = capsys.readouterr()
    assert "Requests given up for want of a site" in shown.out
    assert "requests were given up" in shown.err
    assert "since their site was down and nobody went on with them" in shown.err
    (report,) = Path("results").rglob("report.html")
    assert "Requests given up for want of a site" in report.read_text(encoding="utf-8")


def test_no_word_of_what_did_not_happen() -> None:
    quiet: dict[str, Any] = {"requests": 3, "failed": 0, "cloud_requests": 0, "radio_link_failures": 0.0}
    assert incident_warnings(quiet) == []


def test_each_way_to_go_on_is_told_apart() -> None:
    found = incident_warnings(
        {"requests": 7, "failed": 3, "unserved_requests": 2, "failed_messages": 1, "cloud_requests": 4}
        | {"draft_alone_requests": 5, "draft_alone_tokens": 60}
    )
    assert found[0].startswith("3 of 10 requests were given up, 2 since their site was down")
    assert "1 messages found no radio link" in found[0]
    assert "took over 4 requests" in found[1]
    assert "5 requests were ended by the draft alone, and 60 of their tokens" in found[2]


def test_a_sweep_shows_incidents_where_there_are_any() -> None:
    table: pd.DataFrame = sweep_table()
    assert "failed" not in means_with_intervals(table.assign(failed=0), [UPLINK])
    broken = table.assign(failed=[1] + [0] * (len(table) - 1))
    assert "failed" in means_with_intervals(broken, [UPLINK])
    assert f"requests were given up in 1 of {len(table)} runs" in " ".join(sweep_warnings(broken, [UPLINK]))
