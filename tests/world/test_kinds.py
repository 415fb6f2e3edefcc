"""Kinds of devices: what each changes counts for its devices, and what all share is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.cli import _main
from sim.core.errors import InputError
from sim.links.nr import NrLink
from sim.results.reading import read_table
from sim.runs.run import run, simulate
from sim.runs.world import World
from sim.scenario.overrides import apply_overrides
from sim.scenario.points import expand
from sim.scenario.schema import Scenario
from sim.sweep.run import sweep
from tests.worlds import FIXED_COMPUTE, drawn_inputs, recorded_inputs, small_scenario

SLOW = {"kind": "fixed", "per_forward_s": 0.02, "per_token_s": 0.0}
TWO = [
    {"name": "phones", "count": 2, "requests": 3, "compute": SLOW, "protocol": {"draft_length": 2}},
    {"name": "jetsons", "count": 3, "requests": 2, "think_time_s": 0.1, "slo": {"ttft_s": 0.02}},
]


def rows_of(scenario: Scenario) -> list[dict[str, Any]]:
    return World(scenario, recorded_inputs(scenario)).run().requests


def test_one_kind_alone_is_what_a_mapping_says() -> None:
    devices = {"count": 3, "requests": 2, "think_time_s": 0.05}
    alone, mapping = (rows_of(small_scenario(devices=d)) for d in ([{"name": "all", **devices}], devices))
    assert [{**row, "kind": ""} for row in alone] == mapping and alone[0]["kind"] == "all"


def test_what_a_kind_changes_counts_for_its_devices() -> None:
    rows = rows_of(small_scenario(devices=TWO))
    of = {name: [row for row in rows if row["kind"] == name] for name in ("phones", "jetsons")}
    assert {row["device"] for row in of["phones"]} == {0, 1} and len(of["phones"]) == 6
    assert {row["device"] for row in of["jetsons"]} == {2, 3, 4} and len(of["jetsons"]) == 6
    for row in of["phones"]:
        assert row["draft_compute_s"] > 0.0199 * row["drafted_tokens"]
        assert row["drafted_tokens"] <= 2 * row["rounds"] and row["slo_met"] == 1
    assert max(row["drafted_tokens"] / row["rounds"] for row in of["jetsons"]) > 2
    assert any(row["slo_met"] == 0 for row in of["jetsons"])


def test_kinds_share_air_and_servers() -> None:
    busy = {"count": 6, "requests": 6, "think_time_s": 0.0}
    beside = rows_of(small_scenario(devices=[TWO[0], {"name": "others", **busy}]))
    phones = [row for row in beside if row["kind"] == "phones"]
    alone = rows_of(small_scenario(devices=[TWO[0]]))
    assert [row["tokens"] for row in phones] == [row["tokens"] for row in alone]
    assert sum(row["e2e_s"] for row in phones) > 1.2 * sum(row["e2e_s"] for row in alone)


def test_urgent_kinds_are_served_first() -> None:
    def edge_queue_s(priority: int) -> float:
        kinds = [
            {"name": name, "count": 6, "requests": 5, "priority": own}
            for name, own in (("usual", 0), ("urgent", priority))
        ]
        edge = {"policy": "priority", "max_num_seqs": 1, "prefix_cache": False}
        rows = rows_of(small_scenario(devices=kinds, edge=edge, protocol={"name": "edge_only"}))
        return sum(row["edge_queue_s"] for row in rows if row["kind"] == "urgent")

    assert edge_queue_s(5) < 0.7 * edge_queue_s(0)


def test_summaries_by_kind_stand_beside_that_of_all() -> None:
    scenario = small_scenario(devices=TWO)
    result = simulate(scenario, drawn_inputs(scenario))
    assert result.summary["requests"] == 12 and [row["kind"] for row in result.by_kind] == ["phones", "jetsons"]
    assert [row["requests"] for row in result.by_kind] == [6, 6]
    assert result.by_kind[0]["tokens"] + result.by_kind[1]["tokens"] == result.summary["tokens"]
    assert "ttft_attainment" in result.by_kind[1] and result.by_kind[0]["slo_attainment"] == 1


def test_a_kind_may_have_no_objectives() -> None:
    devices = [TWO[0], {**TWO[1], "slo": None}]
    scenario = small_scenario(devices=devices, slo={"ttft_s": 0.02, "deadline_s": 9})
    held, free = (kind.scenario.slo for kind in scenario.by_kind())
    assert held.ttft_s == 0.02 and free.ttft_s is None and free.deadline_s is None
    assert Scenario.from_dict(scenario.dump()) == scenario


def test_a_scenario_of_kinds_survives_its_dump() -> None:
    scenario = small_scenario(devices=TWO)
    assert Scenario.from_dict(scenario.dump()) == scenario and scenario.devices.count == 5
    assert scenario.dump()["devices"][0]["name"] == "phones"


def test_keys_of_a_kind_are_changed_by_its_name() -> None:
    scenario = small_scenario(devices=TWO)
    more = scenario.replace("devices.phones.count", 4).replace("devices.jetsons.slo.ttft_s", 9.0)
    assert more.devices.count == 7 and [kind.first for kind in more.by_kind()] == [0, 4]
    assert more.by_kind()[1].scenario.slo.ttft_s == 9.0
    sweep = {"axes": {"devices.phones.count": [1, 3]}}
    points = expand(Scenario.from_dict({**scenario.dump(), "sweep": sweep}))
    assert [point.scenario.devices.count for point in points] == [4, 6]
    assert [point.changes for point in points] == [{"devices.phones.count": 1}, {"devices.phones.count": 3}]


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ([{"count": 2}], r"devices\.0\.name: this key is required"),
        ([], r"devices: expected at least one kind"),
        ([TWO[0], {**TWO[1], "name": "phones"}], r"devices\.1\.name: two kinds have the name 'phones'"),
        ([TWO[0], {"name": "x", "duration_s": 5}], r"devices\.1\.duration_s: all kinds share one window"),
        ([{"name": "x", "cuont": 2}], r"devices\.0\.cuont: unknown key 'cuont' \(did you mean 'count'\?\)"),
        ([{"name": "x", "models": {"target": "y"}}], r"a kind's models may set draft, middle, got 'target'"),
        ([{"name": "x", "protocol": {"topk": 2}}], r"devices\.0\.protocol\.topk: unknown key 'topk'"),
        ([{"name": "x", "slo": {"ttft_s": -1}}], r"devices\.0\.slo\.ttft_s: "),
    ],
)
def test_what_is_wrong_is_told_at_its_place(devices: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_scenario(devices=devices)


def test_a_key_of_no_kind_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"devices\.count: devices are of several kinds; .* devices\.phones, devices\."
    ):
        apply_overrides({"devices": TWO}, {"devices.count": 3})


def test_places_by_kind_are_those_of_its_devices() -> None:
    link = {"kind": "nr", "bandwidth_mhz": 20}
    near = {"name": "near", "count": 2, "link": {"distances_m": [20.0, 30.0]}}
    far = {"name": "far", "count": 1, "link": {"distances_m": [90.0]}}
    scenario = small_scenario(devices=[near, far], link=link)
    assert scenario.placed_link().distances_m == [20.0, 30.0, 90.0]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"devices\.1\.link\.distances_m: expected 1 values, one per device of 'far'"):
        small_scenario(devices=[near, {**far, "link": {}}], link=link)


def test_speeds_by_kind_are_those_of_its_devices() -> None:
    link = {"kind": "nr", "bandwidth_mhz": 20, "speed_kmh": 5.0, "mobility": "random_waypoint"}
    cars = {"name": "cars", "count": 2, "link": {"speed_kmh": 120}}
    parked = {"name": "parked", "count": 1, "link": {"speed_kmh": [0]}}
    scenario = small_scenario(devices=[cars, {"name": "walkers", "count": 1}, parked], link=link)
    assert scenario.placed_link().speed_kmh == [120.0, 120.0, 5.0, 0.0]  # type: ignore[attr-defined]
    link_of_run = World(scenario, recorded_inputs(scenario)).link
    assert isinstance(link_of_run, NrLink)
    channel = link_of_run.network.channel
    assert channel is not None
    moved = [channel.positions_m(slot) for slot in (0, 20)]
    speeds_kmh = 360 * np.hypot(*(moved[1] - moved[0]).T)
    assert speeds_kmh == pytest.approx([120.0, 120.0, 5.0, 0.0], abs=1e-6)
    with pytest.raises(InputError, match=r"devices\.0\.link\.speed_kmh: .* less than or equal to 1000"):
        small_scenario(devices=[{**cars, "link": {"speed_kmh": 1e4}}], link=link)
    with pytest.raises(InputError, match=r"devices\.0\.link\.speed_kmh: unknown key"):
        small_scenario(devices=[cars], link={"kind": "fixed"})


def test_kinds_with_drafts_and_prompts_of_their_own_run_from_end_to_end(tmp_path: Any) -> None:
    kinds = [
        {"name": "phones", "count": 1, "models": {"draft": "embedded/middle"}, "workload": {"prompts": "chat"}},
        {"name": "jetsons", "count": 2, "protocol": "edge_only"},
    ]
    keys = {"devices": kinds, "workload": {"max_new_tokens": 4, "max_prompt_tokens": 20}, "compute": FIXED_COMPUTE}
    keys["models"] = "embedded"
    scenario = Scenario.from_dict({"name": "kinds", "protocol": {"name": "tslt", "draft_length": 2}, **keys})
    result = run(scenario, tmp_path)
    assert set(result.manifest["kinds"]) == {"phones", "jetsons"}
    assert set(result.manifest["kinds"]["jetsons"]["models"]) == {"target"}
    assert result.folder is not None and (result.folder / "kinds.csv").read_text().count("\n") == 3
    live = run(scenario, None, live=True)
    assert live.requests.drop(columns="category").equals(result.requests.drop(columns="category"))


def test_each_kind_is_told_and_plotted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    kinds = [{"name": "phones", "count": 1, "compute": SLOW}, {"name": "jetsons", "count": 1}]
    keys = {"devices": kinds, "workload": {"max_new_tokens": 4, "max_prompt_tokens": 20}, "compute": FIXED_COMPUTE}
    keys["models"] = "embedded"
    axes = {"axes": {"devices.phones.count": [1, 2]}}
    scenario = Scenario.from_dict(
        {"name": "kinds", "protocol": {"name": "tslt", "draft_length": 2}, "sweep": axes, **keys}
    )
    result = sweep(scenario, tmp_path, jobs=1)
    table = pd.read_csv(result.folder / "kinds.csv")
    assert list(table["kind"]) == ["phones", "jetsons"] * 2 and list(table["requests"]) == [1, 1, 2, 1]
    assert "kinds" not in result.table and list(result.table["requests"]) == [2, 3]
    path = tmp_path / "kinds.yaml"
    path.write_text(scenario.to_yaml(), encoding="utf-8")
    assert _main(["run", str(path), "--out", str(tmp_path)]) == 0
    assert "By kind of device" in capsys.readouterr().out
    again = sweep(scenario, tmp_path, jobs=1, resume=True)
    assert again.resumed == 2 and pd.read_csv(again.folder / "kinds.csv").equals(table)
    options = [
        "--x",
        "devices.phones.count",
        "--y",
        "e2e_mean_s",
        "--by",
        "kind",
        "--out",
        str(tmp_path / "figure.png"),
    ]
    for results in (result.folder / "kinds.csv", result.folder):
        assert _main(["plot", str(results), *options]) == 0
    assert list(read_table(result.folder, by_kind=True)["kind"]) == list(table["kind"])
    assert "kind" not in read_table(result.folder)
