"""The part of a report that can be asked: the table is in the page, whole and escaped; what is drawn, browsers test."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sim.figures.statistics import mean_interval
from sim.report.asked import asked_of_requests, asked_of_sweep
from sim.report.page import write_report
from tests.figures.tables import UPLINK, requests_table, sweep_table


def data_of(section: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" class="asked">(.*?)</script>', section, re.S)
    assert found is not None
    data = json.loads(found[1])
    return {**data, "columns": {column["name"]: column for column in data["columns"]}}


def test_a_sweeps_points_have_means_and_their_intervals() -> None:
    table = sweep_table()
    data = data_of(asked_of_sweep(table, [UPLINK]))
    assert (data["x"], data["y"], data["by"], data["keys"]) == (UPLINK, "e2e_mean_s", "variant", [UPLINK, "variant"])
    columns = data["columns"]
    points = list(zip(columns[UPLINK]["values"], columns["variant"]["values"], strict=True))
    assert len(points) == table.groupby([UPLINK, "variant"]).ngroups
    for place, (rate, variant) in enumerate(points):
        own = table[(table[UPLINK] == rate) & (table["variant"] == variant)]
        mean, half, _ = mean_interval(own["e2e_mean_s"])
        assert columns["e2e_mean_s"]["values"][place] == pytest.approx(mean, rel=1e-5)
        assert columns["e2e_mean_s"]["halves"][place] == pytest.approx(half, rel=1e-5)
    assert columns[UPLINK]["order"] == [0.5, 2, 10, 100]
    assert {"seed", "replication", "run_id"}.isdisjoint(columns)


def test_what_was_varied_together_is_one_choice() -> None:
    table = sweep_table().assign(**{"link.downlink_mbps": lambda frame: 5 * frame[UPLINK]})
    data = data_of(asked_of_sweep(table, [UPLINK, "link.downlink_mbps"]))
    assert data["keys"] == [UPLINK, "variant"]
    assert "link.downlink_mbps" in data["columns"]


def test_what_is_no_number_is_null_and_one_replication_has_no_interval() -> None:
    columns = data_of(asked_of_sweep(sweep_table(replications=1), [UPLINK]))["columns"]
    assert None in columns["acceptance_rate"]["values"]
    assert "halves" not in columns["e2e_mean_s"]


def test_names_cannot_leave_the_script() -> None:
    nasty = '</script><script>alert("x")'
    section = asked_of_sweep(sweep_table().replace({"variant": {"top-8": nasty}}), [UPLINK])
    assert section.count("</script>") == 1
    assert nasty in data_of(section)["columns"]["variant"]["values"]


def test_requests_are_points_of_a_run() -> None:
    data = data_of(asked_of_requests(requests_table().assign(issued_s=range(12))))
    assert (data["x"], data["y"], data["joined"]) == ("issued_s", "e2e_s", False)
    assert len(data["columns"]["ttft_s"]["values"]) == 12


def test_there_is_nothing_to_ask_of_one_point() -> None:
    table = sweep_table()
    assert asked_of_sweep(table[(table[UPLINK] == 2) & (table["variant"] == "top-8")], [UPLINK]) == ""
    assert asked_of_sweep(table.head(0), [UPLINK]) == ""
    assert asked_of_requests(requests_table(1)) == ""


def test_points_beyond_a_picture_are_counted() -> None:
    table = pd.DataFrame({UPLINK: range(700), "variant": "", "replication": 0, "e2e_mean_s": range(700)})
    section = asked_of_sweep(table, [UPLINK])
    assert "The first 500 of 700 points." in section
    assert len(data_of(section)["columns"]["e2e_mean_s"]["values"]) == 500


def test_pages_without_it_have_no_script_for_it(tmp_path: Path) -> None:
    write_report(tmp_path, "plain", [], {}, [], "", {}, [])
    assert ".ask" not in (tmp_path / "report.html").read_text(encoding="utf-8").split("<script>")[1]
