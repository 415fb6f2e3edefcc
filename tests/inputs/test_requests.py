"""Who asks what: traces, drawn lengths, system prompts and chats, and what of them is cut is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.core.errors import InputError
from sim.inputs.prompts import NoHumanTurn, parse_prompt
from sim.inputs.requests import DrawnRequests
from sim.models.info import ModelInfo
from sim.report.warnings import run_warnings
from sim.results.summary import SummaryBuilder
from sim.results.tables import RunTables
from sim.runs.inputs import SimulationInputs
from sim.runs.run import simulate
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.scenario.traffic import TRAFFIC
from tests.inputs.test_trace_files import AZURE_2023, BURST, MOONCAKE
from tests.worlds import drawn_inputs, recorded_inputs, small_scenario

MODELS = {
    "draft": ModelInfo("draft", 16, 8192, frozenset(), 1, "d", 1),
    "target": ModelInfo("target", 16, 8192, frozenset(), 1, "t", 1),
}
DEVICES = {"count": 2, "requests": 3}


def encode(text: Any) -> list[int]:
    """One id per letter."""
    return [ord(letter) % 16 for letter in str(text)]


def source(devices: dict[str, Any] = DEVICES, models: dict[str, ModelInfo] = MODELS, **workload: Any) -> DrawnRequests:
    return DrawnRequests(small_scenario(devices=devices, workload=workload), models, encode)


def test_a_trace_gives_times_and_lengths_to_the_same_requests(tmp_path: Path) -> None:
    path = tmp_path / "azure.csv"
    path.write_text(AZURE_2023)
    drawn = source({"count": 2, "arrivals": "trace"}, prompts=str(path))
    first, second = drawn.recordings()
    assert (first.num_prompt_tokens, first.max_new_tokens) == (4808, 10) and first.device == 0
    assert (second.num_prompt_tokens, second.max_new_tokens) == (110, 27) and second.device == 1
    assert len(first.prompt) == 4808 and not drawn.notes
    short = source({"count": 2, "arrivals": "trace"}, prompts=str(path), decoded_prompt_tokens=100).recordings()
    assert (len(short[0].prompt), short[0].num_prompt_tokens) == (100, 4808)


def test_requests_of_a_trace_that_are_not_issued_are_told(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.csv"
    path.write_text("time_s\n0\n1\n2\n3\n4\n")
    assert source({"count": 2, "arrivals": str(path)}).notes == [
        "devices.arrivals: 2 of the trace's 5 requests are issued, 1 from each device (devices.requests); "
        "devices.duration_s takes all up to its end"
    ]
    assert source({"count": 2, "arrivals": str(path), "duration_s": 2.5}).notes == [
        "devices.arrivals: 3 of the trace's 5 requests come before the window ends"
    ]
    assert source({"count": 2, "arrivals": str(path), "duration_s": 10}).notes == []
    assert source({"count": 5, "arrivals": str(path)}).notes == []


def test_what_of_a_trace_is_left_out_or_cut_is_told(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text(BURST)
    drawn = source({"count": 1, "arrivals": "trace", "requests": 2}, prompts=str(path), max_prompt_tokens=500)
    assert [one.num_prompt_tokens for one in drawn.recordings()] == [472, 500]
    assert drawn.notes == [
        "workload.prompts: 1 row left out: failed requests, without response tokens",
        "1 request: prompts cut to workload.max_prompt_tokens",
    ]
    assert drawn.notes[0] in run_warnings({}, {"workload_notes": drawn.notes})
    small = {role: ModelInfo(role, 16, 480, frozenset(), 1, role, 1) for role in ("draft", "target")}
    with pytest.raises(InputError, match=r"burst\.csv:3 has 1087 tokens, and the models' context is 480; set workload"):
        source({"arrivals": "trace"}, small, prompts=str(path)).request(0, 0, 1)


def test_equal_blocks_of_mooncake_are_found_in_the_prefix_cache(tmp_path: Path) -> None:
    path = tmp_path / "mooncake.jsonl"
    path.write_text(MOONCAKE)
    devices = {"count": 1, "arrivals": "trace", "duration_s": 9.0, "trace_speedup": 0.5}
    workload = {"prompts": str(path), "decoded_prompt_tokens": 4, "max_new_tokens": 4}
    scenario = small_scenario(devices=devices, workload=workload, protocol={"name": "edge_only"}, edge="continuous")
    summary = simulate(scenario, drawn_inputs(scenario), keep="summary").summary
    # Of the second prompt's 512 tokens all blocks but the last, which holds the token that is fed, are the first's.
    assert summary["edge_prefix_hit_share"] == pytest.approx(496 / (600 + 512), abs=0.02)


def test_drawn_lengths_follow_their_distribution() -> None:
    lengths = {"distribution": "uniform", "min": 5, "max": 9}
    drawn = source({"count": 40, "requests": 5}, prompt_tokens=lengths, output_tokens={"mean": 7})
    planned = drawn.recordings()
    assert {one.num_prompt_tokens for one in planned} == {5, 6, 7, 8, 9}
    assert {one.max_new_tokens for one in planned} == {7}
    assert (
        planned == source({"count": 40, "requests": 5}, prompt_tokens=lengths, output_tokens={"mean": 7}).recordings()
    )


def test_answers_that_do_not_fit_are_cut_and_told() -> None:
    small = {role: ModelInfo(role, 16, 30, frozenset(), 1, role, 1) for role in ("draft", "target")}
    drawn = source(DEVICES, small, prompt_tokens={"mean": 20}, output_tokens={"mean": 15})
    assert {one.max_new_tokens for one in drawn.recordings()} == {10}
    assert drawn.notes == ["6 requests: answers cut to what the models' context leaves beside the prompt"]


def test_system_prompts_come_first_and_are_shared() -> None:
    plain, behind = source(), source(system_prompt_tokens=40)
    for one, other in zip(plain.recordings(), behind.recordings(), strict=True):
        assert other.prompt[40:] == one.prompt and other.shared_tokens == 40 + one.shared_tokens
    assert len({one.prompt[:40] for one in behind.recordings()}) == 1


def chat(turns: int = 3, **edge: Any) -> Scenario:
    devices = {"count": 2, "requests": 6, "think_time_s": 0.2}
    workload = {"turns": turns, "max_new_tokens": 8, "system_prompt_tokens": 16}
    return small_scenario(devices=devices, workload=workload, protocol={"name": "edge_only"}, edge=edge)


def test_the_next_prompt_of_a_chat_holds_the_last_answer() -> None:
    scenario = chat(max_num_seqs=8, block_tokens=4)
    inputs = drawn_inputs(scenario)
    asked: dict[tuple[int, int], Any] = {}
    answers: dict[tuple[int, int], tuple[int, ...]] = {}
    answered = inputs.source.answered  # type: ignore[union-attr]

    def note(planned: Any, answer: Any) -> None:
        asked[planned.device, planned.index] = planned
        answers[planned.device, planned.index] = tuple(answer)
        answered(planned, answer)

    inputs.source.answered = note  # type: ignore[union-attr, method-assign]
    builder = SummaryBuilder()
    output = World(scenario, inputs, RunTables(on_request=builder.add)).run()
    assert len(output.requests) == 12
    for (device, index), planned in asked.items():
        if index % 3:
            before = asked[device, index - 1]
            conversation = (*before.prompt, *answers[device, index - 1])
            assert planned.prompt[: len(conversation)] == conversation and len(planned.prompt) > len(conversation)
            assert planned.session == before.session
        else:
            assert len(planned.prompt) == 16 + 3
    assert len({planned.session for planned in asked.values()}) == 4
    without = simulate(chat(max_num_seqs=8, prefix_cache=False), drawn_inputs(chat(max_num_seqs=8, prefix_cache=False)))
    assert builder.summary(output)["edge_prefix_hit_share"] > 0.5
    assert [row["tokens"] for row in without.output.requests] == [row["tokens"] for row in output.requests]


def test_affinity_sends_a_chat_to_where_its_history_is() -> None:
    def hit_share(routing: str) -> float:
        scenario = chat(replicas=3, routing=routing, block_tokens=4)
        return float(simulate(scenario, drawn_inputs(scenario)).summary["edge_prefix_hit_share"])

    assert hit_share("session_affinity") > hit_share("round_robin") + 0.1


def test_chats_of_an_open_loop_go_on_after_each_answer(tmp_path: Path) -> None:
    """Chats begin when they arrive, also while others are under way at the device; turns follow their own answers."""
    path = tmp_path / "times.csv"
    path.write_text("time_s,device\n0.5,0\n0.51,0\n0.6,1\n")
    scenario = chat().replace("devices", {"count": 2, "requests": None, "duration_s": 60.0, "arrivals": str(path)})
    scenario = scenario.replace("devices.think_time_s", 0.3)
    inputs = drawn_inputs(scenario)
    asked: dict[tuple[int, int], Any] = {}
    answered = inputs.source.answered  # type: ignore[union-attr]
    inputs.source.answered = lambda planned, answer: (  # type: ignore[union-attr, method-assign]
        asked.update({(planned.device, planned.index): (planned, tuple(answer))}),
        answered(planned, answer),
    )
    rows = {(row["device"], row["request"]): row for row in World(scenario, inputs).run().requests}
    assert set(rows) == {(0, index) for index in range(6)} | {(1, index) for index in range(3)} == set(asked)
    assert [rows[place]["issued_s"] for place in ((0, 0), (0, 3), (1, 0))] == [0.5, 0.51, 0.6]
    thoughts = []
    for (device, index), row in rows.items():
        if index % 3:
            before, answer = asked[device, index - 1]
            assert asked[device, index][0].prompt[: len(before.prompt) + len(answer)] == (*before.prompt, *answer)
            thoughts.append(row["issued_s"] - rows[device, index - 1]["issued_s"] - rows[device, index - 1]["e2e_s"])
    assert len(set(thoughts)) == 6 and min(thoughts) > 0 and 0.1 < sum(thoughts) / 6 < 0.6
    assert rows[0, 3]["issued_s"] < rows[0, 1]["issued_s"]  # the chats of a device take turns
    short = scenario.replace("devices.duration_s", 0.7)
    assert len(World(short, drawn_inputs(short)).run().requests) < 9  # none is issued after the window


def test_how_many_chats_an_open_loop_has() -> None:
    devices = {"count": 3, "requests": 4, "arrivals": "poisson", "arrival_rate_hz": 1.0}
    scenario = chat(turns=2).replace("devices", devices)
    assert [(one.device, one.index) for one in drawn_inputs(scenario).planned] == [
        (device, index) for device in range(3) for index in (0, 2)
    ]
    assert len(World(scenario, drawn_inputs(scenario)).run().requests) == 12
    together = scenario.replace("devices", {**devices, "arrival_rate_hz": None, "total_rate_hz": 3.0})
    assert len(World(together, drawn_inputs(together)).run().requests) == 12


def test_what_chats_need_is_told(tmp_path: Path) -> None:
    path = tmp_path / "azure.csv"
    path.write_text(AZURE_2023)
    with pytest.raises(InputError, match=r"workload\.turns: turns above 1 need arrivals of their own: each entry of a"):
        source({"count": 2, "arrivals": "trace"}, prompts=str(path), turns=2)
    with pytest.raises(
        InputError, match=r"devices\.think_time_s: think_time_s has a meaning with arrivals: closed, or"
    ):
        small_scenario(devices={"arrivals": "poisson", "arrival_rate_hz": 1, "think_time_s": 1})
    with pytest.raises(InputError, match=r"take distinct_requests out"):
        small_scenario(workload={"turns": 2, "distinct_requests": 1})


def test_entries_that_are_left_out_are_told_once_for_all_kinds(tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    asked = {"conversations": [{"from": "human", "value": "abc"}]}
    path.write_text("\n".join(map(json.dumps, [asked, {"conversations": []}])))
    drawn = source({"count": 2}, prompts=str(path))
    note = f"1 of 2 entries left out, a conversation without a message of a user; the first is {path}:2"
    assert drawn.notes == [f"workload.prompts: {note}"]
    one = SimulationInputs([], {}, {"device": {}}, source=drawn)
    assert replace(one, others=[one]).notes == drawn.notes
    drawn._cut["prompts cut"] += 1  # Counted by kind.
    assert replace(one, others=[one]).notes == [*drawn.notes, drawn.notes[1]]


def test_an_azure_file_under_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "azure.txt"
    path.write_text(AZURE_2023)
    with pytest.raises(
        InputError, match=r"azure\.txt:1: these are the columns of Azure LLM inference trace, not prompt"
    ):
        source(prompts=str(path))
    path = tmp_path / "times.csv"
    path.write_text("time_s\n1\n")
    with pytest.raises(InputError, match=r"times\.csv:1: a file of arrival times holds no prompts"):
        source(prompts=str(path))


def test_share_gpt_is_a_chat_with_its_answers_left_out(tmp_path: Path) -> None:
    path = tmp_path / "sharegpt.json"
    turns = [{"from": "human", "value": "abc"}, {"from": "gpt", "value": "defg"}]
    path.write_text(json.dumps([{"id": "1", "conversations": turns}]))
    assert source({"count": 1}, prompts=str(path), chat_template="never").recordings()[0].prompt == tuple(encode("abc"))


@pytest.mark.parametrize("name", list(TRAFFIC))
def test_traffic_by_the_names_of_3gpp(name: str) -> None:
    workload = small_scenario(workload={"traffic": name}).workload
    assert workload.prompt_tokens is not None and workload.output_tokens is not None
    own = small_scenario(workload={"traffic": name, "prompt_tokens": {"mean": 7}, "system_prompt_tokens": 3}).workload
    assert own.prompt_tokens is not None and own.prompt_tokens.mean == 7 and own.system_prompt_tokens == 3
    assert own.output_tokens == workload.output_tokens
    planned = source({"count": 30, "requests": 10}, traffic=name).recordings()
    lengths = [one.num_prompt_tokens - workload.system_prompt_tokens for one in planned]
    assert sum(lengths) / 300 == pytest.approx(workload.prompt_tokens.mean, rel=0.2)
    assert max(len(one.prompt) for one in planned) <= 64 + workload.system_prompt_tokens
    assert {one.uplink_bytes for one in planned} == {workload.uplink_attachment_bytes}


def test_unknown_traffic_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match=r"workload\.traffic: .*chat_basic.*computer_control_agent"):
        small_scenario(workload={"traffic": "chat"})


@pytest.mark.parametrize("is_recorded", [False, True])
def test_attachments_are_sent_once_each_way(is_recorded: bool) -> None:
    def rows(**workload: int) -> list[dict[str, Any]]:
        scenario = small_scenario(
            protocol={"name": "tslt", "draft_length": 3}, workload={"max_new_tokens": 9, **workload}
        )
        inputs = recorded_inputs(scenario) if is_recorded else drawn_inputs(scenario)
        return World(scenario, inputs).run().requests

    plain = rows()
    attached = rows(uplink_attachment_bytes=1000, downlink_attachment_bytes=500)
    for one, other in zip(plain, attached, strict=True):
        assert other["uplink_payload_bits"] == one["uplink_payload_bits"] + 8000
        assert other["downlink_payload_bits"] == one["downlink_payload_bits"] + 4000
        assert other["ttft_s"] > one["ttft_s"] and other["tokens"] == one["tokens"]


def test_conversations_may_have_roles_and_contents():
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    answer = {"role": "assistant", "content": "So."}
    found = parse_prompt({"conversations": [*turns, answer]}, "here")
    assert found.chat == (("system", "Be brief."), ("user", "Why?"))
    with pytest.raises(NoHumanTurn):
        parse_prompt({"conversations": [answer]}, "here")
    with pytest.raises(InputError, match="expected from and value"):
        parse_prompt({"conversations": [*turns, {"from": "gpt", "value": "So."}]}, "here")


@pytest.mark.parametrize("devices", [[0, 1], [0]])
def test_prompts_that_no_device_asks_are_told(devices: list[int], tmp_path: Path):
    path = tmp_path / "labelled.jsonl"
    own = [{"text": f"own {device}", "device": device} for device in devices]
    path.write_text("\n".join(map(json.dumps, [{"text": "common"}, *own])))
    note = "workload.prompts: 1 prompt without a device is not asked by devices 0 to 1, which have own ones"
    assert source({"count": 2}, prompts=str(path)).notes == ([note] if devices == [0, 1] else [])
