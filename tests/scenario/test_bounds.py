"""Every number of a scenario is bounded, and what would run for days is refused before it runs."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import ValidationError

from sim.cli.keys import CHOSEN
from sim.core.settings import Settings
from sim.scenario.points import expand
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import MAX_SEED, CloudSettings, DevicesSettings, ModelsSettings, Scenario, WorkloadSettings
from sim.scenario.sweep_schema import SEED_STRIDE, SweepSettings

_PARTS: list[type[Settings]] = [DevicesSettings, WorkloadSettings, ModelsSettings, SweepSettings, CloudSettings]
_PARTS += {entry.settings: None for _, registry in CHOSEN.values() for entry in registry}


def numeric_fields() -> list[tuple[type[Settings], str]]:
    return [
        (part, name)
        for part in _PARTS
        for name, field in part.model_fields.items()
        if name not in part.unbounded_fields and is_number(field.annotation)
    ]


def is_number(annotation: Any) -> bool:
    """Whether one number alone is a value."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(is_number(one) for one in get_args(annotation))
    return annotation in (int, float)


def test_there_are_many() -> None:
    assert len(numeric_fields()) > 120


@pytest.mark.parametrize("value", [1e300, -1e300, float("inf"), float("nan"), 10**30, -(10**30)])
def test_no_key_takes_a_number_without_bounds(value: float) -> None:
    taken = []
    for part, name in numeric_fields():
        try:
            part.model_validate({name: value})
            taken.append((part.__name__, name))
        except ValidationError as error:
            if not any(detail["loc"][:1] == (name,) for detail in error.errors()):
                taken.append((part.__name__, name, str(error)))
    assert not taken


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"seed": MAX_SEED + 1}, "seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": MAX_SEED, "sweep": {"replications": 2}}, "seed"),
        ({"sweep": {"replications": 100_000_000}}, "sweep.replications"),
        ({"sweep": {"axes": {"seed": {"from": 1, "to": 2, "points": 10**9}}}}, "sweep.axes.seed"),
        ({"sweep": {"axes": {"link.uplink_mbps": {"from": 5e-324, "to": 1, "points": 3, "scale": "log"}}}}, None),
        ({"sweep": {"axes": {"link.uplink_mbps": {"from": 1, "to": 10**400, "points": 3}}}}, None),
        ({"sweep": {"axes": {"link.uplink_mbps": {"from": 0, "to": 1, "points": 3, "scale": "log"}}}}, None),
        ({"devices": {"requests": 10**9}}, "devices.requests"),
        ({"devices": {"count": 1000, "requests": 10_000}}, "devices.requests"),
        ({"devices": {"arrivals": "poisson", "arrival_rate_hz": 1e-300}}, "devices.arrival_rate_hz"),
        ({"workload": {"temperature": 1e-300}}, "workload.temperature"),
        ({"workload": {"max_new_tokens": 10**12}}, "workload.max_new_tokens"),
        ({"edge": {"batch_window_s": 1e300, "engine": "fcfs"}}, "edge.batch_window_s"),
        ({"link": {"kind": "shannon", "header_bits": 10**12}}, "link.header_bits"),
        ({"protocol": {"name": "tslt", "draft_length": 4, "candidates": [16, 16, 16, 16]}}, "protocol"),
        ({"protocol": {"name": "tslt", "draft_length": 64, "candidates": 4096}}, "protocol"),
        ({"protocol": {"name": "tslt", "draft_length": 1, "candidates": 10**12}}, "protocol"),
    ],
)
def test_what_would_never_end_is_refused(keys: dict[str, Any], where: str | None) -> None:
    with pytest.raises(ScenarioProblems) as caught:
        Scenario.from_dict(keys)
    if where is not None:
        assert caught.value.problems[0].key.startswith(where)


@pytest.mark.parametrize("nodes", [4096, 4097])
def test_the_largest_tree(nodes: int) -> None:
    keys = {"protocol": {"name": "tslt", "draft_length": 1, "candidates": nodes}}
    if nodes <= 4096:
        Scenario.from_dict(keys)
        return
    with pytest.raises(ScenarioProblems, match="make a tree of more than 4096 nodes"):
        Scenario.from_dict(keys)


def test_the_largest_seed_leaves_room_for_replications() -> None:
    Scenario.from_dict({"seed": MAX_SEED})
    last = MAX_SEED - 2 * SEED_STRIDE
    scenario = Scenario.from_dict({"seed": last, "sweep": {"replications": 3}})
    assert expand(scenario)[-1].scenario.seed == MAX_SEED
    with pytest.raises(ScenarioProblems, match=f"valid: 0 to {last}"):
        Scenario.from_dict({"seed": last + 1, "sweep": {"replications": 3}})
    with pytest.raises(ScenarioProblems, match="seed"):
        expand(Scenario.from_dict({"sweep": {"replications": 3, "axes": {"seed": [1, last + 1]}}}))


def test_a_sweep_of_too_many_runs_is_refused_before_any_is_made() -> None:
    many = {"from": 1, "to": 1000, "points": 1000}
    scenario = Scenario.from_dict({"sweep": {"axes": {"link.uplink_mbps": many, "link.downlink_mbps": many}}})
    with pytest.raises(ScenarioProblems, match="sweep: makes 1000000 runs; valid: at most 100000"):
        expand(scenario)
    wide = {f"link.{key}": {"from": 1, "to": 2, "points": 10_000} for key in ("uplink_mbps", "downlink_mbps")}
    Scenario.from_dict({"sweep": {"zip": wide}})
    with pytest.raises(ScenarioProblems, match="the axes have 30000 values; valid: at most 20000 in all"):
        Scenario.from_dict({"sweep": {"zip": {**wide, "seed": {"from": 1, "to": 10_000, "points": 10_000}}}})


@pytest.mark.parametrize(
    ("axis", "values", "held"),
    [
        ("link.uplink_mbps", ["1", 2], [1.0, 2.0]),
        ("link.uplink_mbps", [1, 2.5], [1.0, 2.5]),
        ("protocol.top_k", [16.0, 64], [16, 64]),
        ("workload.top_k", [None, 5], [None, 5]),
        ("protocol.name", ["tslt", "dsd"], ["tslt", "dsd"]),
        ("protocol", ["tslt", "dsd"], ["tslt", "dsd"]),
        ("compute.edge", ["calibrated", "measured"], ["calibrated", "measured"]),
        ("workload.stop_at_eos", [True, False], [True, False]),
    ],
)
def test_tables_hold_the_value_that_the_key_has(axis: str, values: list[Any], held: list[Any]) -> None:
    points = expand(Scenario.from_dict({"link": "fixed", "sweep": {"axes": {axis: values}}}))
    found = [point.labels[axis] for point in points]
    assert found == held and [type(value) for value in found] == [type(value) for value in held]


@pytest.mark.parametrize("values", [[1, "1"], [1.0, 1], [0.5, "5e-1"]])
def test_a_value_that_is_written_in_two_ways_is_one_value(values: list[Any]) -> None:
    with pytest.raises(ScenarioProblems, match="twice"):
        expand(Scenario.from_dict({"sweep": {"axes": {"link.uplink_mbps": values}}}))


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:x", "CUDA", "", "cpu:0"])
def test_a_device_that_no_machine_has_is_refused(device: str) -> None:
    with pytest.raises(ScenarioProblems, match=r"unknown device .*valid: auto, cpu, cuda, cuda:0, mps") as caught:
        Scenario.from_dict({"models": {"device": device}})
    assert caught.value.problems[0].key == "models.device"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:11", "mps"])
def test_a_device_that_another_machine_may_have_is_taken(device: str) -> None:
    assert Scenario.from_dict({"models": {"device": device}}).models.device == device
