"""Points of a sweep share the parts that their changes leave alone, and are what a scenario read anew would be."""

from __future__ import annotations

from typing import Any

import pytest

from sim.scenario.overrides import apply_overrides
from sim.scenario.points import expand
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from sim.scenario.shared_parts import SharedParts

BASE: dict[str, Any] = {
    "devices": {"count": 3, "requests": 2},
    "workload": {"max_new_tokens": 8},
    "protocol": {"name": "tslt", "draft_length": 3, "top_k": 6},
    "link": {"kind": "fixed", "uplink_mbps": 2},
    "compute": {"device": "fixed", "edge": "fixed", "cloud": "fixed"},
    "sweep": {"replications": 2},
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"link.uplink_mbps": 1},
    {"link.uplink_mbps": 1.0, "seed": 7},
    {"link.kind": "shannon", "link.snr_db": 3},
    {"protocol": "dsd"},
    {"protocol.name": "dsd", "protocol.draft_length": 2},
    {"protocol.draft_length": 2},
    {"edge.max_batch": 2, "cloud.one_way_delay_s": 0.5, "cloud.max_batch": 3},
    {"compute.edge": {"kind": "fixed", "per_forward_s": 0.5}, "compute.device.per_token_s": 0.1},
    {"models": "smollm2"},
    {"models.draft": "target#layers=2", "workload.temperature": 0},
    {"name": "other", "slo.ttft_s": 1},
    {"devices": [{"name": "phones", "count": 2}, {"name": "cars", "count": 1, "think_time_s": 9}]},
]


def test_each_is_the_scenario_that_is_read_anew_with_its_changes():
    scenario = Scenario.from_dict(BASE)
    base = scenario.dump()
    del base["sweep"]
    parts = SharedParts(scenario)
    for changes in (*CHANGES, *reversed(CHANGES)):
        made = parts.changed(changes)
        assert made == Scenario.from_dict(apply_overrides(base, changes)), changes
        assert made.sweep is None


def test_values_that_are_equal_but_of_other_types_are_no_part_of_each_other():
    parts = SharedParts(Scenario.from_dict(BASE))
    parts.changed({"edge.max_batch": 1})
    with pytest.raises(ScenarioProblems, match=r"edge\.max_batch"):
        parts.changed({"edge.max_batch": True})


@pytest.mark.parametrize(
    "changes",
    [
        {"link.uplink_mbps": -1},
        {"link.speed": 1},
        {"speed": 1},
        {"seed.x": 1},
        {"devices.arrivals": "poisson"},
        {"controller.name": "multi_spin"},
    ],
)
def test_what_is_wrong_is_told_as_for_the_whole_scenario(changes: dict[str, Any]):
    scenario = Scenario.from_dict(BASE)
    base = scenario.dump()
    del base["sweep"]
    with pytest.raises(ScenarioProblems) as whole:
        Scenario.from_dict(apply_overrides(base, {**changes, "protocol.top_k": 5}))
    with pytest.raises(ScenarioProblems) as shared:
        SharedParts(scenario).changed({**changes, "protocol.top_k": 5})
    assert shared.value.problems == whole.value.problems


def test_points_of_a_sweep_share_what_they_have_in_common():
    axes = {"link.uplink_mbps": [1, 2], "protocol.top_k": [4, 8]}
    points = expand(Scenario.from_dict({**BASE, "sweep": {"axes": axes, "replications": 2}}))
    assert len(points) == 8
    for part, different in (("link", 2), ("protocol", 2), ("workload", 1), ("models", 1), ("compute", 1), ("edge", 1)):
        assert len({id(getattr(point.scenario, part)) for point in points}) == different, part


def test_a_value_that_stands_in_two_places_by_a_yaml_alias_is_changed_in_one():
    shared = {"kind": "fixed", "per_forward_s": 0.1}
    changed = apply_overrides({"compute": {"device": shared, "edge": shared}}, {"compute.edge.per_forward_s": 0.5})
    assert changed["compute"]["edge"]["per_forward_s"] == 0.5
    assert changed["compute"]["device"]["per_forward_s"] == 0.1
    assert shared["per_forward_s"] == 0.1
