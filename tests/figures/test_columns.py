"""The data dictionary: every column of every table that a run writes stands in it."""

from __future__ import annotations

from typing import Any

import pytest

from sim.cli.inspect import list_command
from sim.decoding.protocols.registry import PROTOCOLS
from sim.links.registry import LINKS
from sim.results.columns import REQUEST_COLUMNS, ROUND_COLUMNS, SLOT_COLUMNS, SUMMARY_COLUMNS, SWEEP_COLUMNS, TABLES
from sim.runs.run import RunResult, simulate
from sim.scenario.points import expand
from tests.worlds import inputs, small_scenario

NR = {"kind": "nr", "bandwidth_mhz": 5, "channel": "ideal", "mcs": 4, "record_slots": True}
LINK_KEYS: dict[str, dict[str, Any]] = {
    "fixed": {"kind": "fixed"},
    "shannon": {"kind": "shannon"},
    "trace": {"kind": "trace", "uplink_trace": "scenarios/traces/driving_uplink.csv", "downlink_mbps": 50},
    "nr": NR,
}


def _result(**changes: Any) -> RunResult:
    scenario = small_scenario(**changes)
    return simulate(scenario, inputs(scenario))


def _check(result: RunResult) -> None:
    assert set(result.summary) <= set(SUMMARY_COLUMNS)
    assert set(result.requests) <= set(REQUEST_COLUMNS)
    assert set(result.rounds) <= set(ROUND_COLUMNS)


@pytest.mark.parametrize("name", [entry.name for entry in PROTOCOLS])
def test_every_column_of_a_protocol_is_declared(name: str) -> None:
    _check(_result(protocol={"name": name}))


@pytest.mark.parametrize("kind", [entry.name for entry in LINKS])
def test_every_column_of_a_link_is_declared(kind: str) -> None:
    _check(_result(link=LINK_KEYS[kind]))


def test_the_slots_of_a_cell_have_the_columns_that_are_declared() -> None:
    result = _result(link=NR)
    assert list(result.link.slots()[0]) == list(SLOT_COLUMNS)
    directed = {name for name in SUMMARY_COLUMNS if name.startswith(("uplink_", "downlink_")) and "_per_m" in name}
    assert {name for name in directed if "_connection_" not in name} <= set(result.summary)
    released = _result(link={**NR, "rrc_inactivity_s": 1.0})
    assert directed <= set(released.summary)


def test_labels_of_a_point_are_declared() -> None:
    scenario = small_scenario(sweep={"axes": {"link.uplink_mbps": [1, 2]}, "variants": {"a": {"protocol.top_k": 4}}})
    labels = expand(scenario)[0].labels
    assert set(labels) - {"link.uplink_mbps"} == set(SWEEP_COLUMNS)


def test_the_dictionary_is_listed_in_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    list_command("columns", None, "table")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(len(columns) for columns in TABLES.values())
    begins = {len(line) - len(line.partition(" ")[2].lstrip()) for line in lines}
    assert len(begins) == 1
    # Names are written as ``plot`` takes them.
    assert any(line.split()[:2] == ["e2e_mean_s", "summary:"] for line in lines)
