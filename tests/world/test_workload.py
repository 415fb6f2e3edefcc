"""The workload: prompts, limits and end-of-text, and which request gets what."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.compute.fixed import FixedCompute, FixedSettings
from sim.core.errors import InputError
from sim.inputs.identity import RunAddresses
from sim.inputs.prompts import prompts_named, read_prompts
from sim.inputs.requests import DrawnRequests
from sim.inputs.scenario_models import model_names
from sim.inputs.workload import contents_to_encode, make_request
from sim.models.info import ModelInfo
from sim.models.tabular import TabularModel
from sim.scenario.overrides import apply_overrides
from sim.scenario.schema import Scenario
from tests.worlds import inputs, simulate, small_scenario, table_models

FACTS = {
    "draft": ModelInfo("draft", 16, 128, frozenset({3}), 1, "d", 1),
    "target": ModelInfo("target", 16, 100, frozenset({3}), 1, "t", 1),
}


def encode(text: str) -> list[int]:
    """One id per letter."""
    return [ord(letter) % 16 for letter in text]


def plan(tmp_path: Path, lines: str, **workload: object):
    """CompiledTrace a scenario whose prompts are these lines."""
    path = tmp_path / "prompts.txt"
    path.write_text(lines)
    scenario = small_scenario(workload={"prompts": str(path), "max_new_tokens": 12, **workload})
    return DrawnRequests(scenario, FACTS, encode).recordings()


def test_every_device_walks_through_all_prompts_before_any_repeats(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f'{{"ids": [{i}, {i}]}}\n' for i in range(6)))
    scenario = small_scenario(workload={"prompts": str(path)}, devices={"count": 3, "requests": 6})
    planned = DrawnRequests(scenario, FACTS, encode).recordings()
    for device in range(3):
        prompts = [one.prompt for one in planned if one.device == device]
        assert len(set(prompts)) == 6
    fewer = DrawnRequests(
        small_scenario(workload={"prompts": str(path)}, devices={"requests": 6}), FACTS, encode
    ).recordings()
    assert [one.prompt for one in fewer] == [one.prompt for one in planned if one.device == 0]


def test_prompts_change_the_plan(tmp_path: Path):
    assert {one.prompt for one in plan(tmp_path, "abc\n")} != {one.prompt for one in plan(tmp_path, "abd\n")}


def test_an_over_long_prompt_is_refused_or_cut_to_its_end(tmp_path: Path):
    with pytest.raises(InputError, match="leaves room for 88"):
        plan(tmp_path, "a" * 90 + "\n")
    cut = plan(tmp_path, "a" * 90 + "bc\n", max_prompt_tokens=5)
    assert cut[0].prompt == tuple(encode("aaabc"))


def test_an_empty_prompt_becomes_the_begin_of_text(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"ids": []}\n')
    planned = DrawnRequests(small_scenario(workload={"prompts": str(path)}), FACTS, encode).recordings()
    assert planned[0].prompt == (1,)


@pytest.mark.parametrize(
    ("line", "says"),
    [('{"text": "a"}\n{"txt": "b"}\n', ":2:"), ("{broken\n", ":1:"), ('{"ids": [-1]}\n', ":1:"), ("\n", "no prompt")],
)
def test_a_broken_prompt_file_is_refused(tmp_path: Path, line: str, says: str):
    path = tmp_path / "prompts.jsonl"
    path.write_text(line)
    with pytest.raises(InputError, match=says):
        read_prompts(str(path))


def test_an_id_outside_the_vocabulary_is_refused(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"ids": [99]}\n')
    with pytest.raises(InputError, match="token id 99"):
        DrawnRequests(small_scenario(workload={"prompts": str(path)}), FACTS, encode).recordings()


def test_end_of_text_ends_a_request_unless_told_otherwise():
    scenario = small_scenario()
    planned = inputs(scenario).planned[0]
    assert make_request(planned, scenario, FACTS).eos_ids == {3}
    assert make_request(planned, small_scenario(workload={"stop_at_eos": False}), FACTS).eos_ids == frozenset()


@pytest.mark.parametrize("protocol", ["edge_only", "tslt", "dssd", "gumbel", "specedge"])
def test_a_generation_stops_right_behind_its_end_of_text(protocol: str):
    models = table_models()
    ends = {
        role: TabularModel(model.row, model.vocab_size, name=role, eos_ids=frozenset({3, 7}))
        for role, model in models.items()
        if isinstance(model, TabularModel)
    }
    scenario = small_scenario(protocol={"name": protocol}, workload={"max_new_tokens": 40})
    output = simulate(scenario, dict(ends))
    assert any(row["tokens"] < 40 for row in output.requests)


def test_a_model_that_the_protocol_needs_must_be_named():
    scenario = small_scenario(models={"draft": "a", "target": "b"}, protocol={"name": "hsd"})
    with pytest.raises(InputError, match=r"models\.middle"):
        model_names(scenario.models, scenario.protocol.trait("models"))


@pytest.mark.parametrize("role", ["draft", "target", "middle"])
def test_models_are_those_that_are_named(role: str):
    scenario = small_scenario(models={"draft": "a", "target": "b", "middle": "c", role: "mine"})
    assert model_names(scenario.models, ("draft", "middle", "target"))[role] == "mine"


def address(scenario: Scenario) -> str:
    """The address of a scenario's run over fixed costs."""
    fixed = {role: FixedCompute(FixedSettings()) for role in FACTS}
    return RunAddresses().of(scenario, FACTS, dict.fromkeys(("device", "edge"), fixed))


def test_prompts_suit_the_target_unless_they_are_named():
    """Prompts of the default pair are chats, those of the embedded pair, which knows no language, Python code."""
    plain = Scenario.from_dict({})
    assert (plain.models.draft, plain.models.target) == ("smollm2/draft", "smollm2/target")
    for changes, expected in (
        ({}, "chat"),
        ({"models": "embedded"}, "embedded"),
        ({"models.draft": "embedded/draft"}, "chat"),
        ({"models.target": "facebook/opt-125m"}, "chat"),
        ({"models": "embedded", "workload.prompts": "chat"}, "chat"),
    ):
        scenario = Scenario.from_dict(apply_overrides(plain.dump(), changes))
        assert prompts_named(scenario.workload, scenario.models) == expected, changes
        named = scenario.replace("workload.prompts", expected)
        assert contents_to_encode(scenario) == contents_to_encode(named)
        assert address(scenario) == address(named)
