"""Costs by model role: each model at a site has its own size or time, and what is left out is an error at loading."""

from __future__ import annotations

from typing import Any

import pytest

from sim.compute.base import WorkSize
from sim.compute.fixed import FixedSettings, make_fixed
from sim.compute.registry import COMPUTE
from sim.compute.roles import make_cost_model, problem_of
from sim.compute.roofline import RooflineSettings, make_roofline
from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.scenario.schema import Scenario
from tests.worlds import FIXED_COMPUTE, simulate, small_scenario

ROOFLINE = {"kind": "roofline", "hardware": "l4"}
WORK = [WorkSize(3, 200, 3)]


def cost_model(kind: str, role: str, **keys: Any) -> Any:
    entry = COMPUTE.find(kind)
    return make_cost_model(entry, entry.settings(**keys), role, None, "edge")


def test_each_role_has_the_price_of_its_own_size() -> None:
    sizes = {"draft": "160M", "middle": "1B", "target": "7B"}
    for role, size in sizes.items():
        mixed = cost_model("roofline", role, hardware="l4", model_size=sizes)
        alone = make_roofline(RooflineSettings(hardware="l4", model_size=size), None)
        assert mixed.price(WORK) == alone.price(WORK)
        assert mixed.describe() == alone.describe()


def test_one_value_means_every_role() -> None:
    prices = {cost_model("roofline", role, hardware="l4", model_size="7B").price(WORK) for role in ("draft", "target")}
    assert len(prices) == 1


def test_bytes_and_processors_may_differ_too() -> None:
    keys = {
        "hardware": "l4",
        "model_size": {"draft": "1B", "target": "13B"},
        "bytes_per_weight": {"draft": 2, "target": 0.5},
        "num_processors": {"draft": 1, "target": 2},
    }
    draft, target = (cost_model("roofline", role, **keys) for role in ("draft", "target"))
    assert (draft.step.precision.bytes_per_weight, draft.num_processors) == (2, 1)
    assert (target.step.precision.bytes_per_weight, target.num_processors) == (0.5, 2)
    by_name = cost_model(
        "roofline", "target", hardware="l4", model_size="8B", weights={"draft": "bf16", "target": "fp8"}
    )
    assert by_name.step.precision.name == "fp8"


def test_stated_times_by_role() -> None:
    keys = {"per_forward_s": {"draft": 0.001, "target": 0.02}, "per_token_s": 0.003}
    assert cost_model("fixed", "draft", **keys).price(WORK).seconds == pytest.approx(0.001 + 3 * 0.003)
    assert cost_model("fixed", "target", **keys).price(WORK).seconds == pytest.approx(0.02 + 3 * 0.003)


def test_a_role_that_is_left_out_has_no_price() -> None:
    message = "compute.edge: per_forward_s is given for draft only, not for the target model"
    with pytest.raises(InputError, match=message):
        cost_model("fixed", "target", per_forward_s={"draft": 0.1}).price(WORK)
    with pytest.raises(InputError, match="is given for draft only"):
        FixedSettings(per_forward_s={"draft": 0.1}).for_role("target")
    with pytest.raises(InputError, match=r"given per model role \(draft\)"):
        make_fixed(FixedSettings(per_forward_s={"draft": 0.1}), None)
    assert problem_of(Settings(), "target") is None


@pytest.mark.parametrize(
    ("edge", "protocol", "message"),
    [
        (
            {**ROOFLINE, "model_size": {"drafft": "160M", "target": "7B"}},
            "tslt",
            r"^compute\.edge\.model_size\.drafft: input should be 'draft', 'middle' or 'target', got 'drafft'$",
        ),
        (
            {**ROOFLINE, "model_size": {"draft": "160M"}},
            "tslt",
            r"^compute\.edge: model_size is given for draft only, not for the target model, which protocol 'tslt' runs",
        ),
        (
            {**ROOFLINE, "model_size": {"target": "7B"}},
            "colocated",
            r"^compute\.edge: model_size is given for target only, not for the draft model, which protocol 'colocated'",
        ),
        (
            {**ROOFLINE, "model_size": {"draft": "160M", "target": "7B"}},
            "hsd",
            r"not for the middle model, which protocol 'hsd' runs there$",
        ),
        (
            {**ROOFLINE, "model_size": {"draft": "8B", "target": "7B"}},
            "colocated",
            r"^compute\.edge: models of sizes draft 8B and target 7B fill 29\.5 GB of each processor together",
        ),
        ({**ROOFLINE, "model_size": {"target": "huge"}}, "tslt", "unknown model size 'huge'"),
        (
            {**ROOFLINE, "bytes_per_weight": {"target": 9}},
            "tslt",
            r"bytes_per_weight\.target: .*less than or equal to 8",
        ),
        (
            {"kind": "fixed", "per_token_s": {"target": -1}},
            "tslt",
            r"per_token_s\.target: .*greater than or equal to 0",
        ),
    ],
)
def test_wrong_roles_are_told_when_the_scenario_is_read(edge: dict[str, Any], protocol: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Scenario.from_dict({"protocol": protocol, "compute": {"edge": edge}})


def test_only_what_runs_at_a_site_must_be_named_and_fit_there() -> None:
    apart = {**ROOFLINE, "model_size": {"draft": "8B", "target": "7B"}}
    Scenario.from_dict({"protocol": "tslt", "compute": {"edge": apart}})  # the draft runs at the device
    edge = {**ROOFLINE, "model_size": {"target": "7B"}}
    scenario = Scenario.from_dict({"protocol": "tslt", "compute": {"edge": edge}})
    assert Scenario.from_dict(scenario.dump()) == scenario
    changed = scenario.replace("compute.edge.model_size.target", "1B")
    assert changed.dump()["compute"]["edge"]["model_size"] == {"target": "1B"}


def test_a_draft_at_the_edge_costs_what_its_role_says() -> None:
    """Co-located decoding: the draft's seconds are its own, and change nothing of the target's."""

    def parts(draft_s: float) -> tuple[float, float]:
        edge = {"kind": "fixed", "per_forward_s": {"draft": draft_s, "target": 0.05}}
        output = simulate(small_scenario(protocol="colocated", compute={**FIXED_COMPUTE, "edge": edge}))
        rows = output.requests
        return sum(row["draft_compute_s"] for row in rows), sum(row["verify_compute_s"] for row in rows)

    slow, fast = parts(0.02), parts(0.01)
    assert slow[0] == pytest.approx(2 * fast[0])
    assert slow[1] == pytest.approx(fast[1])


@pytest.mark.parametrize(
    ("protocol", "way_out"),
    [
        ("colocated", r"price draft and target model alike.*model_size: \{draft: 160M, target: 7B\}"),
        ("hsd", r"price middle and target model alike.*model_size: \{middle: 0\.5B, target: 7B\}"),
        (
            {"name": "hsd", "sites": ["edge", "edge", "edge"]},
            r"price draft, middle and target model alike.*\{draft: 160M, middle: 0\.5B, target: 7B\}",
        ),
    ],
)
def test_one_size_for_several_models_is_refused_with_the_way_out(protocol: Any, way_out: str) -> None:
    with pytest.raises(InputError, match=rf"^compute\.edge: model_size 8B would {way_out}.*or leave the key out"):
        Scenario.from_dict({"protocol": protocol, "compute": {"edge": {**ROOFLINE, "model_size": "8B"}}})
    plain = {key: value for key, value in ROOFLINE.items() if key != "model_size"}
    Scenario.from_dict({"protocol": protocol, "compute": {"edge": plain}})
    Scenario.from_dict({"protocol": "tslt", "compute": {"edge": {**ROOFLINE, "model_size": "8B"}}})
